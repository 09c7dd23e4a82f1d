"""Sessions by name: opened, found, and closed when nobody listens any more."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from terraloom.errors import FailedPreconditionError, NotFoundError, ResourceExhaustedError, TerraloomError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.server.callers import Caller
from terraloom_engines.server.lockstep import LockstepSession
from terraloom_engines.server.margins import observe_sending
from terraloom_engines.server.requests import Opening
from terraloom_engines.server.session import Session
from terraloom_engines.server.worlds import ServedWorld
from terraloom_engines.spans import finished, is_on

AnySession = Session | LockstepSession
"""Sessions that follow views as they come, and those that answer step by step."""
MOST_SESSIONS = 2048
"""Sessions open at a time; an idle stream takes some 135 kB, or 270 MB for all."""
RETRY_SECONDS = 5.0
"""When a client that was turned away is asked to come back."""
LONGEST_NAME = 40
"""Characters of a name that an error repeats."""
IDLE_SECONDS = 60.0
"""How long a session without a connection waits for its subscriber to come, or to come back."""

_log = logging.getLogger(__name__)


class Sessions:
    """All sessions of a server. Lives on the event loop's thread."""

    def __init__(self) -> None:
        self._sessions: dict[str, AnySession] = {}
        self._worlds: dict[str, ServedWorld] = {}
        self._callers: dict[str, Caller] = {}
        self._idle: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __getitem__(self, name: str) -> AnySession:
        """The session of that name, whosever it is. Raises NotFoundError."""
        if name not in self._sessions:
            raise _unknown(name)
        return self._sessions[name]

    @property
    def all(self) -> list[AnySession]:
        """Those that are open, the oldest first, and after each its part for collision."""
        return [part for session in self._sessions.values() for part in (session, session.collision) if part is not None]

    def caller_of(self, session: AnySession) -> str:
        """The name of a session's token."""
        return self._callers[session.name].name

    def of(self, caller: Caller, name: str) -> AnySession:
        """The caller's session of that name. Raises NotFoundError, for those of others too."""
        if self._callers.get(name) is not caller:
            raise _unknown(name)
        return self[name]

    @staticmethod
    def require_free(session: AnySession) -> None:
        """Raises FailedPreconditionError for a session whose events somebody consumes."""
        if session.consumed:
            raise FailedPreconditionError(f"session {session.name} has a subscriber already")

    def open(self, served: ServedWorld, opening: Opening, caller: Caller) -> AnySession:
        """A new session in a world, which it keeps open, and which waits for its subscriber. Raises ResourceExhaustedError."""
        caller.require_session()
        if len(self._sessions) >= MOST_SESSIONS:
            text = f"{MOST_SESSIONS} sessions are open, which is the limit: try again later"
            raise ResourceExhaustedError(text, retry_after=RETRY_SECONDS)
        make = LockstepSession if opening.lockstep else Session
        session = make(secrets.token_hex(8), served.contents, opening, caller.allowance)
        self._sessions[session.name], self._worlds[session.name], self._callers[session.name] = session, served, caller
        caller.sessions += 1
        served.hold()
        self._wait(session)
        return session

    def close(self, session: AnySession, error: TerraloomError) -> None:
        """Gives up a session's work; whoever listens hears `error`."""
        if timer := self._idle.pop(session.name, None):
            timer.cancel()
        self._sessions.pop(session.name, None)
        if served := self._worlds.pop(session.name, None):
            served.release()
            told = {"tiles": session.tally.counts.tiles_sent, "bytes": session.tally.counts.bytes_sent, "why": str(error)}
            _log.info("session closed", extra={"session": session.name} | told)
        if caller := self._callers.pop(session.name, None):
            caller.sessions -= 1
        session.end(error)

    def close_of(self, caller: Caller, error: TerraloomError) -> int:
        """Closes all sessions of a caller; how many."""
        names = [name for name, owner in self._callers.items() if owner is caller]
        for name in names:
            self.close(self._sessions[name], error)
        return len(names)

    def close_all(self, error: TerraloomError) -> None:
        """The same for all."""
        for session in list(self._sessions.values()):
            self.close(session, error)

    @contextmanager
    def _kept(self, session: AnySession) -> Iterator[None]:
        """While a connection consumes the session it does not end; without one it does after a while."""
        if timer := self._idle.pop(session.name, None):
            timer.cancel()
        try:
            yield
        finally:
            owner = self._sessions.get(session.name)  # of a part for collision, the session that has it
            if owner is not None and not owner.attached:  # one that was turned away leaves it to the one who listens
                self._wait(owner)

    async def events(self, session: AnySession) -> AsyncGenerator[pb.ServerEvent, None]:
        """The session's events while a connection consumes them."""
        with self._kept(session):
            async with aclosing(session.events()) as events:
                async for event in events:
                    turn = time.perf_counter()
                    yield event
                    if event.HasField("tile"):
                        seconds, tile = time.perf_counter() - turn, event.tile.id
                        observe_sending(event.tile.priority, seconds)
                        if is_on():
                            began = time.time_ns() - int(1e9 * seconds)
                            finished("send", began, session=session.name, tile=f"{tile.z}/{tile.x}/{tile.y}")

    def _wait(self, session: AnySession) -> None:
        gone = NotFoundError(f"session {session.name!r} was closed: nobody listened to it for {IDLE_SECONDS:g} s")
        self._idle[session.name] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.close, session, gone)


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"session {name[:LONGEST_NAME]!r} is not open: it never was, or nobody listened to it for {IDLE_SECONDS:g} s")
