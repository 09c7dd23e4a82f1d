"""A clock that jumps: nothing of a server hangs on what time it is, but whether a token has expired."""

import ast
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from terraloom import Region, connect
from terraloom.errors import UnauthenticatedError
from terraloom_engines.server.tokens import new_token
from test_faults import COARSE, HERE, PATIENCE, ROOT, THERE, Server, soon
from test_tokens import entry

DAY = 86_400


class Clock:
    """The wall clock of a server's process, which goes wrong by some seconds from one moment to the next."""

    def __init__(self, folder: Path) -> None:
        self._file, self._library = folder / "clock", folder / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self._library, ROOT / "tests/clock.c", "-ldl"], check=True)
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on it is wrong by so much."""
        self._file.with_suffix(".new").write_text(str(seconds))
        self._file.with_suffix(".new").replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "TERRALOOM_CLOCK": str(self._file)}


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if shutil.which("cc") is None:
        pytest.skip("a clock that jumps needs a C compiler")
    return Clock(tmp_path)


def test_a_clock_put_forward_and_back_ends_nothing_but_tokens_that_expire(clock: Clock, tmp_path: Path) -> None:
    lasting, expiring, file = new_token(), new_token(), tmp_path / "tokens.toml"
    noon = (datetime.now(UTC) + timedelta(seconds=DAY / 2)).isoformat()
    file.write_text(entry("lasting", lasting, operator="true") + entry("expiring", expiring, expires=noon))
    with (
        Server("--tokens", str(file), **clock.environment) as server,
        connect(server.address, token=lasting) as client,
        connect(server.address, token=expiring) as other,
        client.stream(HERE, COARSE) as stream,
        other.stream(HERE, COARSE) as short,
    ):
        stream.settle(PATIENCE), short.settle(PATIENCE)
        before = client.server_stats()
        clock.jump(DAY)
        with pytest.raises(UnauthenticatedError, match="'expiring' was revoked, or has expired"):
            list(short.events())
        with pytest.raises(UnauthenticatedError, match="the token 'expiring' has expired"):
            other.describe()
        for wrong, view in ((DAY, THERE), (-2 * DAY, HERE), (0, THERE)):
            clock.jump(wrong)
            stream.move(view)
            stream.settle(PATIENCE)
            answer = client.barrier(Region(-60.0, -10.0, -50.0, 0.0, level=8), deadline=0.2, timeout=PATIENCE)
            assert not answer.complete
        now = client.server_stats()
        assert stream.counters.reconnects == 0 and now.uptime - before.uptime < PATIENCE
        assert sum(now.margin_seconds.counts) > sum(before.margin_seconds.counts) and abs(now.margin_seconds.sum) < DAY / 10
        assert soon(lambda: other.describe().protocol_version == 1), "the clock is right, and the token has not expired"
        assert "Traceback" not in server.log()


def test_nothing_decides_by_the_wall_clock_but_when_tokens_expire() -> None:
    """A clock that is put forward or back changes nothing else: all times are those of monotonic clocks."""
    wall = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("time", "localtime")}
    sources = [*(ROOT / "sdk/python/terraloom").glob("*.py")]
    sources += [path for path in (ROOT / "engines/terraloom_engines").rglob("*.py") if "training" not in path.parts]
    found = [
        path.name
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in wall
    ]
    assert set(found) == {"callers.py"}
