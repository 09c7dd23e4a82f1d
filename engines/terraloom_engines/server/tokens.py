"""Tokens: who may call, and how much each may have; from a TOML file that holds their hashes, never the tokens.

    [alice]                     # a name for logs and metrics
    sha256 = "9f86d0..."        # of the token
    sessions = 4                # open at a time; what is left out has no limit
    tiles_per_second = 50
    bytes_per_second = 2_000_000
    operator = true             # may read metrics and the server's state
    expires = 2027-01-31T00:00:00Z

A token is 256 random bits, so a plain SHA-256 of it gives nothing away and needs no salt.
"""

import hashlib
import re
import secrets
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terraloom.errors import InvalidArgumentError, NotFoundError

__all__ = ["Limits", "Token", "digest_of", "new_token", "read_tokens"]

LARGEST_FILE = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = ("sha256", "sessions", "tiles_per_second", "bytes_per_second", "operator", "expires")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a token may have; None is without limit."""

    sessions: int | None = None
    tiles_per_second: float | None = None
    bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One entry of the file."""

    name: str
    digest: bytes
    limits: Limits = Limits()
    operator: bool = False
    expires: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires


def new_token() -> str:
    """A token that nobody has."""
    return f"tl_{secrets.token_urlsafe(32)}"


def digest_of(token: str) -> bytes:
    """What the file keeps of a token."""
    return hashlib.sha256(token.encode()).digest()


def read_tokens(path: Path) -> list[Token]:
    """All tokens of a file. Raises NotFoundError or InvalidArgumentError with the entry and what is allowed; never shows a value of it."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InvalidArgumentError(f"{path} is larger than {LARGEST_FILE >> 20} MiB: it is no file of tokens", field="tokens")
        entries = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {path}: {error.strerror}", field="tokens") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path} is not TOML: {error}", field="tokens") from error
    tokens = [_token(f"{path}, [{name}]", name, entry) for name, entry in entries.items()]
    if len({token.digest for token in tokens}) < len(tokens):
        raise InvalidArgumentError(f"{path} has one sha256 twice: every name needs a token of its own", field="tokens")
    return tokens


def check_name(name: str) -> str:
    """A name that may stand in logs and metrics. Raises InvalidArgumentError."""
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(f"{name[:80]!r} is no name of a token: up to 64 letters, digits and any of . _ @ -", field="tokens")
    return name


def _token(where: str, name: str, entry: Any) -> Token:
    check_name(name)
    if not isinstance(entry, dict):
        raise InvalidArgumentError(f"{where} must be a table, such as [{name}] with a line sha256 = ...", field="tokens")
    for key in entry.keys() - set(_KEYS):
        raise InvalidArgumentError(f"{where}: {key!r} is unknown: allowed are {', '.join(_KEYS)}", field="tokens", allowed=_KEYS)
    digest = entry.get("sha256")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise InvalidArgumentError(f"{where}: sha256 must be 64 hexadecimal digits in small letters", field="tokens")
    operator, expires = entry.get("operator", False), entry.get("expires")
    if not isinstance(operator, bool):
        raise InvalidArgumentError(f"{where}: operator must be true or false", field="tokens", allowed=("true", "false"))
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise InvalidArgumentError(f"{where}: expires must be a time with its zone, such as 2027-01-31T00:00:00Z", field="tokens")
    sessions = entry.get("sessions")
    if sessions is not None and (type(sessions) is not int or sessions < 1):
        raise InvalidArgumentError(f"{where}: sessions must be a whole number from 1 up", field="tokens")
    rates = (_rate(where, key, entry.get(key)) for key in ("tiles_per_second", "bytes_per_second"))
    return Token(name, bytes.fromhex(digest), Limits(sessions, *rates), operator, expires and expires.astimezone(UTC))


def _rate(where: str, key: str, value: object) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0.0 < float(value) < 1e15):  # type: ignore[arg-type]
        raise InvalidArgumentError(f"{where}: {key} must be a number above 0", field="tokens")
    return None if value is None else float(value)  # type: ignore[arg-type]
