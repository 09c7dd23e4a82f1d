"""Public helpers for tests: a real server, started for the occasion."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from terraloom.errors import UnavailableError

ADDRESS = re.compile(r"\bon (\d+\.\d+\.\d+\.\d+:\d+)\b")
HTTP_ADDRESS = re.compile(r"\bon (https?://\S+:\d+)\b")
SECONDS_TO_STOP = 15.0
"""Longer than the server's own patience with calls in progress; after that it is killed."""


class ServerAddress(str):
    """Address of a gRPC server ("127.0.0.1:port"), with that of its HTTP face in `http` ("http://127.0.0.1:port" or https; "" without)."""

    http: str = ""


@contextmanager
def run_server(*arguments: str, port: int = 0, http: bool = False) -> Iterator[ServerAddress]:
    """Run `terraloom serve` in a process of its own and yield its address ("127.0.0.1:port"); it is terminated at the end.

    `arguments` go to the command as they are. Port 0 takes any free one. With `http` there is an HTTP face, on a free port too. Needs the
    `server` extra. Raises `UnavailableError`, with what the server said, when it ends before it listens.
    """
    ports = ["--port", str(port), *(["--http-port", "0"] if http else ["--no-http"])]
    command = [sys.executable, "-m", "terraloom_engines.cli", "serve", *ports, *arguments]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        try:
            address = ServerAddress(_address(process, complaints, ADDRESS))
            if http:
                address.http = _address(process, complaints, HTTP_ADDRESS)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[str], complaints: IO[str], pattern: re.Pattern[str]) -> str:
    """The next address of a kind that the server prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := pattern.search(line):
            return match.group(1)
    process.wait()
    complaints.seek(0)
    raise UnavailableError(f"the server ended before it listened: {complaints.read().strip()}")
