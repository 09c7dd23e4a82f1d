"""Ranges of what comes from outside: each check returns the value, or raises one clear line that names the field."""

import ipaddress
import math

from terraloom.errors import InvalidArgumentError


def in_range(field: str, value: float, low: float, high: float) -> float:
    """`value` if it lies within `low` to `high`, both included; not a number lies nowhere."""
    if not low <= value <= high:
        bounds = f"{low:.12g}..{high:.12g}"
        message = f"{field} = {value:.12g} is out of range: allowed are {low:.12g} to {high:.12g}"
        raise InvalidArgumentError(message, field=field, allowed=(bounds,))
    return value


def count_in_range(field: str, value: int, low: int, high: int) -> int:
    """The same for whole numbers."""
    in_range(field, value, low, high)
    return value


def finite(field: str, value: float) -> float:
    """`value` unless it is infinite or not a number."""
    if not math.isfinite(value):
        raise InvalidArgumentError(f"{field} = {value} is not a finite number", field=field)
    return value


def one_of(field: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of a few words."""
    if value not in allowed:
        raise InvalidArgumentError(f"{field} = {value} is unknown: allowed are {', '.join(allowed)}", field=field, allowed=allowed)
    return value


def visible(text: str) -> str:
    """`text` with what would not be seen, such as line ends and what moves a terminal's cursor, as escapes."""
    return text if text.isprintable() else "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def is_of_this_machine(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_cover(host: str, covered: bool) -> None:
    """Raises InvalidArgumentError for an address that other machines reach, unless the server is `covered`: by TLS, or on purpose not."""
    if not is_of_this_machine(host) and not covered:
        text = f"other machines reach {host!r}, and nothing would be encrypted: give --tls-cert and --tls-key, or --insecure"
        raise InvalidArgumentError(text, field="host", allowed=("127.0.0.1", "::1", "localhost"))
