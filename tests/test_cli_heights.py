"""`terraloom heights` as a person and as a program run it."""

import json
import subprocess
import sys

import pytest

from terraloom import Client


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terraloom_engines.cli", "heights", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_heights_are_printed_a_line_each_and_are_those_of_a_server(client: Client) -> None:
    result = run("matterhorn", "--level", "5", "--", "-30,30")
    assert (result.returncode, result.stderr) == (0, "")
    matterhorn, sea = (line.split() for line in result.stdout.splitlines())
    served = client.sample_heights([(7.659, 45.976)], level=5)[0]
    assert matterhorn == ["7.659000", "45.976000", f"{served:.2f}", "m"]
    assert sea == ["-30.000000", "30.000000", "0.00", "m"]


def test_programs_read_json(client: Client) -> None:
    result = run("--json", "--level", "5", "--surface", "ground", "7.66,45.98", "35.5,31.5")
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    served = client.sample_heights([(7.66, 45.98), (35.5, 31.5)], level=5, surface="ground")
    assert [point["height"] for point in answer.pop("points")] == served.tolist()
    assert answer == {"world": "earth", "seed": 0, "level": 5, "surface": "ground"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["mordor"], "matterhorn"),
        (["7,95"], "latitude from -90 to 90"),
        (["7,nan"], "latitude from -90 to 90"),
        (["7;46"], "unknown place '7;46'"),
        (["alps", "--level", "19"], "z=19 is out of range: allowed are 0 to 18"),
        (["alps", "--surface", "roof"], "ground_or_water, ground"),
        (["alps", "--world", "mars"], "unknown world 'mars': allowed are earth"),
        (["alps", "--world", "plane:7"], "a place on a plane is X,Y in metres, such as 1500,-200; got 'alps'"),
        (["1e300,0", "--world", "plane:7"], "x and y of a plane lie within 5.76e+17 m"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and complaint in result.stderr and result.stderr.count("\n") == 1
