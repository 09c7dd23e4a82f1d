"""`terraloom fly` as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "terraloom_engines.cli", "fly"]
COARSE = ["--max-level", "5", "--height", "50000"]


def fly(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command; it never takes long."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_a_flight_prints_its_figures_as_json(server: str) -> None:
    result = fly(server, *COARSE, "--seconds", "2", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    figures = json.loads(result.stdout)
    assert 2.0 <= figures["duration"] < 60.0, "of a way of a quarter of an hour"
    assert figures["tiles"] > 0
    assert figures["bytes"] > 10_000 * figures["tiles"]
    assert figures["failed"] == 0
    assert figures["first_tile"] > 0.0
    assert 0.0 < figures["latency_p50"] <= figures["latency_p95"] <= figures["latency_p99"]
    assert 0.0 <= figures["complete_share"] <= 1.0


def test_a_flight_along_a_csv_path_ends_with_a_table(server: str, tmp_path: Path) -> None:
    path = tmp_path / "path.csv"
    path.write_text("seconds,longitude,latitude,height\n0,7,46,50000\n1.5,7.2,46.1,50000\n")
    result = fly(server, "--path", str(path), "--max-level", "5")
    assert result.returncode == 0, result.stderr
    assert "first view to first tile" in result.stdout
    assert "view to tile, p99" in result.stdout


def test_mistakes_are_told_in_one_line(server: str) -> None:
    for arguments, complaint, code in (
        ((server, "--from", "somewhere"), "LONGITUDE,LATITUDE", 2),
        ((server, "--from", "200,0"), "longitude goes from -180 to 180", 2),
        ((server, "--world", "atlantis"), "earth", 2),
        ((server, "--max-level", "99"), "18", 2),
        (("127.0.0.1:1",), "not ready", 3),
    ):
        result = fly(*arguments, "--seconds", "1", "--json")
        assert result.returncode == code
        assert result.stderr.startswith("error: ")
        assert complaint in result.stderr
        assert result.stderr.count("\n") == 1
