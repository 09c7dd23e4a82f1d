"""Callers: whose call it is, told by the token that it carries. Without a file of tokens everybody is one caller without limits."""

import asyncio
import hmac
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terraloom.errors import PermissionDeniedError, ResourceExhaustedError, TerraloomError, UnauthenticatedError
from terraloom_engines.server.rates import Allowance, Bucket
from terraloom_engines.server.tokens import Limits, Token, digest_of, read_tokens

__all__ = ["CALLER", "Caller", "Callers"]

SCHEME = "bearer"
LONGEST_TOKEN = 512
_INDEX = 8
"""Bytes of a digest by which its entry is found; the rest is compared in constant time."""

_log = logging.getLogger(__name__)


class Caller:
    """One token's holder: what it may, has and has had."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self.sessions = 0
        """Open now."""
        self.allowance = Allowance()
        self._calls: dict[asyncio.Task[Any], TerraloomError | None] = {}
        """The tasks that serve its calls, and why they are broken off."""
        self.limit(token)

    @property
    def name(self) -> str:
        """For logs and metrics; "" is everybody."""
        return self.token.name

    def limit(self, token: Token) -> None:
        """Takes over the limits of an entry that was changed; what was used stays counted."""
        self.token = token
        for name, rate in (("tiles_bucket", token.limits.tiles_per_second), ("bytes_bucket", token.limits.bytes_per_second)):
            former = getattr(self.allowance, name)
            if (former.rate if former else None) != rate:
                setattr(self.allowance, name, Bucket(rate) if rate is not None else None)

    def require_session(self) -> None:
        """Raises ResourceExhaustedError when it has as many sessions as it may."""
        most = self.token.limits.sessions
        if most is not None and self.sessions >= most:
            self.allowance.refused += 1
            raise ResourceExhaustedError(f"the token {self.name!r} has {most} sessions open, which is its limit", retry_after=5.0)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """While the running task serves a call that may take long, which ends with an error when the caller may call no longer."""
        task = asyncio.current_task()
        assert task is not None, "calls are served by tasks"
        self._calls[task] = None
        try:
            yield
        except asyncio.CancelledError:
            if (error := self._calls[task]) is None:
                raise
            task.uncancel()
            raise error from None
        finally:
            del self._calls[task]

    def break_off(self, error: TerraloomError) -> int:
        """Ends its calls with `error`; how many."""
        for task in self._calls:
            self._calls[task] = error
            task.cancel()
        return len(self._calls)

    def require_operator(self) -> None:
        """Raises PermissionDeniedError for one who may not look at the server."""
        if not self.token.operator:
            raise PermissionDeniedError(f"the token {self.name!r} is not an operator's: its entry needs operator = true")


EVERYBODY = Token("", b"", Limits(), operator=True)
CALLER: ContextVar[Caller] = ContextVar("caller")
"""Whose call the running task serves."""


class Callers:
    """All that may call."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises what `read_tokens` does."""
        self._path = path
        self.everybody = Caller(EVERYBODY)
        self._stamp = self._seen = _stamp(path)
        self._callers: dict[bytes, Caller] = {}
        self._admitted: dict[bytes, Caller] = {}
        """Those whose tokens were valid at the last look."""
        self.denied = 0
        """Calls without a valid token."""
        self._told_at, self._untold = -1.0, 0
        if path is not None:
            self._take_up(read_tokens(path))
            self._admitted = self._callers

    @property
    def are_known(self) -> bool:
        """Whether callers are told apart by tokens."""
        return self._path is not None

    @property
    def all(self) -> list[Caller]:
        """Those that may call now."""
        return [*self._admitted.values()] if self.are_known else [self.everybody]

    def authenticate(self, header: str | None) -> Caller:
        """The caller of a call with this `authorization`. Raises UnauthenticatedError, which never shows what was given."""
        if not self.are_known:
            return self.everybody
        scheme, _, given = (header or "").partition(" ")
        reason = "the token is not known here, or it was revoked"
        if not header:
            reason = "a token is needed: send `authorization: Bearer TOKEN`"
        elif scheme.lower() != SCHEME or not given or len(given) > LONGEST_TOKEN:
            reason = "authorization must be `Bearer TOKEN`"
        else:
            digest = digest_of(given.strip())
            caller = self._callers.get(digest[:_INDEX])
            if caller is not None and hmac.compare_digest(caller.token.digest, digest):
                if caller.token.is_valid(datetime.now(UTC)):
                    return caller
                reason = f"the token {caller.name!r} has expired"
        raise UnauthenticatedError(reason)

    def refresh(self) -> list[Caller]:
        """Reads the file again if it was changed; the callers that may call no longer. A file that does not work changes nothing.

        A changed file counts when two looks find it the same: one that is just being written is empty for a moment, and would revoke all.
        Who has expired stays known: if the clock was wrong and is put right, the token is valid again.
        """
        if self._path is None:
            return []
        now, former = datetime.now(UTC), self._admitted
        stamp = _stamp(self._path)
        if stamp != self._stamp and stamp == self._seen:
            stamp = self._read(stamp)
        self._seen = stamp
        self._admitted = {index: caller for index, caller in self._callers.items() if caller.token.is_valid(now)}
        return [caller for index, caller in former.items() if self._admitted.get(index) is not caller]

    def _read(self, stamp: tuple[int, int, int]) -> tuple[int, int, int]:
        """Takes up the file, unless it is no longer that of `stamp` when it has been read; its stamp now."""
        assert self._path is not None
        found: list[Token] | TerraloomError
        try:
            found = read_tokens(self._path)
        except TerraloomError as error:
            found = error
        if (now := _stamp(self._path)) != stamp:
            return now
        self._stamp = stamp
        if isinstance(found, TerraloomError):
            _log.error("the changed file of tokens cannot be used, the former tokens stay: %s", found)
        else:
            self._take_up(found)
            _log.info("took up the tokens in %s: %d", self._path, len(self._callers))
        return stamp

    def _take_up(self, tokens: list[Token]) -> None:
        former, self._callers = self._callers, {}
        for token in tokens:
            caller = former.get(token.digest[:_INDEX])
            if caller is not None and caller.token.digest == token.digest and caller.name == token.name:
                caller.limit(token)
            else:
                caller = Caller(token)
            self._callers[token.digest[:_INDEX]] = caller

    def deny(self, reason: UnauthenticatedError, peer: str) -> None:
        """Counts a call that was refused, and logs one a second, so that whoever guesses does not fill the log."""
        self.denied += 1
        now = time.monotonic()
        if now < self._told_at + 1.0:
            self._untold += 1
            return
        more = f" ({self._untold} more since the last line)" if self._untold else ""
        self._told_at, self._untold = now, 0
        _log.warning("refused a call from %s: %s%s", peer, reason, more)


def _stamp(path: Path | None) -> tuple[int, int, int]:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        status = None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status is not None else (0, 0, 0)
