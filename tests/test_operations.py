"""What whoever runs a server sees: statistics, metrics, `terraloom top`, logs."""

import json
import logging
import math
import re
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from terraloom import Client, CollisionOptions, Radius, StreamOptions, View, connect
from terraloom.errors import PermissionDeniedError
from terraloom.testing import ServerAddress, run_server
from terraloom.v1 import operations_pb2 as ops
from terraloom_engines.cli.figures import figures, quantile
from terraloom_engines.cli.top import picture
from terraloom_engines.server.logs import set_up
from terraloom_engines.server.tokens import digest_of, new_token
from web import get

DOCS = Path(__file__).parent.parent / "docs/operations.md"
COMMAND = [sys.executable, "-m", "terraloom_engines.cli", "top"]
VIEW = View(7.66, 45.98, 3000.0)
COARSE = StreamOptions(selection=Radius(1000.0, 3))


def metrics(server: ServerAddress) -> dict[str, float]:
    """All samples; those of one name are added up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(server.http, "/metrics").body.decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_statistics_tell_of_sessions_queue_and_latencies_and_agree_with_the_metrics(server: ServerAddress, client: Client) -> None:
    before = client.server_stats()
    with client.stream(VIEW, COARSE) as stream, client.collision_stream(VIEW, CollisionOptions(100.0, 4)) as ground:
        tiles = stream.settle(60.0) + ground.settle(60.0)
        while metrics(server)["terraloom_queue_tiles"]:  # what earlier tests began and gave up
            time.sleep(0.02)
        now, told = client.server_stats(), metrics(server)
        assert now.uptime > before.uptime and now.sessions_open >= 2
        mine = {one.session_id: one for one in now.sessions}
        pictures, grids = mine[stream.session.session_id], mine[ground.session.session_id]
        assert pictures.client.startswith("terraloom-python") and pictures.attached and not pictures.collision and grids.collision
        assert pictures.tiles_sent + grids.tiles_sent == len(tiles)
        assert (pictures.world.name, pictures.tiles_held, pictures.tiles_wanted) == ("earth", pictures.tiles_sent, 0)
        assert client.server_stats(sessions=1).sessions[0].session_id == ground.session.session_id, "opened last"
    happened = figures(now, before)
    assert sum(now.sending_seconds.counts) - sum(before.sending_seconds.counts) >= len(tiles)
    assert round(happened.tiles_per_second * happened.seconds) >= len(tiles)
    assert sum(happened.sources.values()) == pytest.approx(1.0)
    assert now.generation_seconds.sum > 0.0 and len(now.generation_seconds.counts) == len(now.generation_seconds.bounds) + 1
    assert told["terraloom_sessions"] == now.sessions_open and told["terraloom_cache_bytes"] == now.cache_bytes > 0
    assert told["terraloom_margin_seconds_count"] == sum(now.margin_seconds.counts)
    assert told["terraloom_caller_tiles_total"] == sum(caller.tiles for caller in now.callers)
    assert told["terraloom_build_info"] == 1.0 and told["process_resident_memory_bytes"] > 1e7


def test_the_page_tells_of_every_metric_and_of_no_other(server: ServerAddress, client: Client) -> None:
    client.get_tile(0, 0, 0)
    told = set(re.findall(r"`((?:terraloom|process)_\w+)`", DOCS.read_text()))
    families = text_string_to_metric_families(get(server.http, "/metrics").body.decode())
    kept = {f"{one.name}_total" if one.type == "counter" else one.name for one in families if one.name.startswith("terraloom_")}
    kept = {name for name in kept if not name.endswith("_created")}
    assert kept - told == set(), "say in docs/operations.md what to look for"
    assert told - kept == {"process_resident_memory_bytes", "terraloom_certificate_expiry_timestamp_seconds"}


def test_top_prints_a_server_for_programs_and_for_people(server: ServerAddress, client: Client) -> None:
    client.get_tile(2, 2, 1)
    done = subprocess.run([*COMMAND, server, "--once", "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["server"]["uptime"] > 0 and isinstance(answer["server"]["contents"]["generated"], int)
    assert set(answer["figures"]["latencies"]) == {"generation", "encoding", "sending", "margin"}
    stats = client.server_stats()
    del stats.sessions[:]
    stats.sessions.extend([ops.SessionSummary(session_id="0123456789abcdef", client="someone's [b]program[/b] with a long name")] * 3)
    stats.sessions[0].client = "\x1b[2Jx"
    stats.sessions[-1].MergeFrom(
        ops.SessionSummary(tiles_sent=123_456, bytes_sent=9 << 30, seconds=86_399.0, tiles_held=2048, collision=True)
    )
    out = StringIO()
    Console(file=out, width=80, force_terminal=False).print(picture(server, stats, figures(stats, None), 12))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and "123456" in out.getvalue() and "c someone's [" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert any(line.strip().startswith("generate") for line in lines) and any("of the time" in line for line in lines)


def test_operators_alone_see_the_server_where_tokens_are_asked_for(tmp_path: Path) -> None:
    boss, guest = new_token(), new_token()
    entries = f'[boss]\nsha256 = "{digest_of(boss).hex()}"\noperator = true\n[guest]\nsha256 = "{digest_of(guest).hex()}"\n'
    (tmp_path / "tokens.toml").write_text(entries)
    with run_server("--tokens", str(tmp_path / "tokens.toml"), "--log-format", "json") as address:
        with connect(address, token=guest) as client, client.stream(VIEW, COARSE) as stream:
            stream.settle(60.0)
            with pytest.raises(PermissionDeniedError, match="'guest' is not an operator's"):
                client.server_stats()
            with connect(address, token=boss) as operator:
                (session,) = operator.server_stats().sessions
                assert (session.caller, session.session_id) == ("guest", stream.session.session_id)
                callers = {caller.name: caller for caller in operator.server_stats().callers}
        assert callers["guest"].sessions == 1 and callers["guest"].tiles >= 4 and callers["boss"].tiles == 0


def test_quantiles_of_distributions() -> None:
    assert quantile([1.0, 2.0, 4.0], [0, 10, 10, 0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 4.0], [0, 10, 10, 0], 0.75) == 3.0
    assert quantile([1.0, 2.0], [0, 0, 5], 0.5) == 2.0, "above the last bound nothing is known"
    assert quantile([-1.0, 0.0], [4, 0, 0], 0.5) == -1.0
    assert math.isnan(quantile([1.0], [0, 0], 0.5))


def test_a_server_that_was_started_anew_is_looked_at_from_its_start() -> None:
    before = ops.ServerStats(uptime=100.0, callers=[ops.CallerSummary(tiles=1000)])
    now = ops.ServerStats(uptime=2.0, callers=[ops.CallerSummary(tiles=10)])
    assert figures(now, before).tiles_per_second == 5.0


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_log_is_one_line_an_event_and_shows_no_token(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    root, former = logging.getLogger(), (logging.getLogger().handlers[:], logging.getLogger().level)
    try:
        set_up(kind, "info")  # type: ignore[arg-type]
        token, log = new_token(), logging.getLogger("terraloom_engines.test")
        log.debug("too quiet to be told")
        log.info("first\nsecond", extra={"session": "abc", "client": f"x {token}", "where": "\x1b[2J\x9b31m"})
        try:
            raise ValueError(f"holds {token}")
        except ValueError:
            log.exception("it failed")
    finally:
        root.handlers[:], root.level = former
    told = capfd.readouterr().err
    assert token not in told and told.count("tl_***") == 2
    lines = told.splitlines()
    assert len(lines) == 2 and all(map(str.isprintable, lines)), "nothing ends a line or moves the cursor"
    if kind == "json":
        first, second = map(json.loads, lines)
        assert (first["level"], first["message"], first["session"]) == ("info", "first\nsecond", "abc")
        assert first["where"] == "\x1b[2J\x9b31m"
        assert "ValueError" in second["exception"] and second["logger"] == "terraloom_engines.test"
    else:
        assert "INFO" in lines[0] and "session=abc" in lines[0] and "ValueError" in lines[1]
