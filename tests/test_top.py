"""`terraloom top` in a terminal: it draws, waits for a server that went away, draws on, and leaves the terminal as it was."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from terraloom.testing import run_server

PATIENCE = 60.0


class Terminal:
    """A command in a terminal of 100 by 30 characters, and all that it has written there.

    It can be interrupted, even if the tests run where SIGINT is ignored, as in the background of a script.
    """

    def __init__(self, *command: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color"}
        ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored here is ignored there
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
        signal.signal(signal.SIGINT, ignored)
        os.close(theirs)
        self.written = ""

    def read(self) -> bool:
        """Takes what has come; whether more may."""
        with contextlib.suppress(OSError):  # it has ended
            if select.select([self._ours], [], [], 0.1)[0]:
                self.written += os.read(self._ours, 1 << 16).decode(errors="replace")
            return True
        return False

    def until(self, pattern: str) -> None:
        """Forgets what was written, and waits for what matches."""
        self.written, end = "", time.monotonic() + PATIENCE
        while not re.search(pattern, re.sub(r"\x1b\[[\d;?]*\w", "", self.written)):
            assert self.read() and time.monotonic() < end, self.written

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


def test_top_draws_waits_for_a_server_that_went_away_and_leaves_the_terminal_as_it_was(terminal: list[Terminal]) -> None:
    with run_server() as address:
        top = Terminal(sys.executable, "-m", "terraloom_engines.cli", "top", address, "--interval", "0.2")
        terminal.append(top)
        top.until(r"up \d+ s  0 sessions[\s\S]*mesh and encode[\s\S]*before it was needed")
    top.until("refused|failed to connect|Socket closed|shutting down")
    assert top.process.poll() is None
    with run_server(port=int(address.rpartition(":")[2])):
        top.until(r"up \d+ s  0 sessions")
        top.process.send_signal(signal.SIGINT)
        end = time.monotonic() + PATIENCE
        while top.process.poll() is None and time.monotonic() < end:
            top.read()  # or what it still writes would fill the terminal
        while top.read() and "\x1b[?1049l" not in top.written:
            pass
    assert "\x1b[?1049l" in top.written and "\x1b[?25h" in top.written, "the screen before, and the cursor"
    assert "Traceback" not in top.written
    assert top.process.returncode in (0, 130)
