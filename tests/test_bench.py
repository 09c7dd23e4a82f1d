"""`terraloom bench`: what it counts is exact, what it measures is all there, and two reports can be compared."""

import json
import math
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from conformance import BUNDLE, spec_of
from terraloom.errors import InvalidArgumentError
from terraloom_engines.bench.envelope import SHARE, demand
from terraloom_engines.bench.generation import Effort
from terraloom_engines.bench.report import Report, comparison, measure, page
from terraloom_engines.bench.work import operations
from terraloom_engines.cli.app import build
from terraloom_engines.cli.output import plain
from terraloom_engines.networks import open_networks

PLACE = (8.0, 46.5)


def test_operations_are_those_of_the_convolutions() -> None:
    """By hand, from the layers that training/networks.py has, 32 and 80 wide, for a window of 64 pixels."""
    side = 64 - 2
    fine = [(44, 32, side - 2), (32, 32, side - 4), (32, 32, side - 18), (32, 32, side - 20)]
    coarse = [(80, 80, side // 2 - 2 - shrunk) for shrunk in (2, 4, 6)]
    products = sum(9 * inputs * outputs * size**2 for inputs, outputs, size in fine + coarse)
    products += 4 * 32 * 80 * ((side // 2 - 2) ** 2 + (side // 2 - 8) ** 2) + 32 * 7 * (side - 20) ** 2
    assert operations(BUNDLE.model("geometry"), "geometry", spec_of("geometry"), 64) == 2 * products


def test_a_finer_target_and_a_lower_flight_ask_for_more_tiles_a_metre() -> None:
    coarse, fine, low = (demand(height, target, 4, PLACE) for height, target in ((500.0, 32.0), (500.0, 16.0), (250.0, 32.0)))
    assert fine.tiles_per_metre > 1.5 * coarse.tiles_per_metre and low.tiles_per_metre > 1.5 * coarse.tiles_per_metre
    assert fine.metres_per_pixel == pytest.approx(coarse.metres_per_pixel / 2, rel=0.01) and fine.tiles > coarse.tiles
    assert math.isnan(demand(100.0, 0.2, 4, PLACE).tiles_per_metre), "more tiles than a session may ask for"


@pytest.fixture(scope="module")
def report() -> Report:
    effort = Effort(first_levels=(5,), strip_level=6, strip=1, area=1, repeats=1)
    return measure(BUNDLE, open_networks(BUNDLE, "onnx-cpu"), 2, effort, lambda _: None)


def test_the_page_tells_machine_runtime_ceilings_stages_tiles_cost_and_envelope(report: Report) -> None:
    text = page(report)
    parts = ("onnx-cpu", "GFLOP/s", "of the ceiling", "geometry", "imagery", "TTFT", "TTST", "square kilometre", "keeps up with", "m/px")
    for part in parts:
        assert part in text
    for stage in report["stages"].values():
        assert 0 < stage["share_of_ceiling"] < 3 and stage["ms"] > 0
    costs = list(report["ms_per_km2"].values())
    assert costs == sorted(costs) and costs[-1] / costs[0] == pytest.approx(4**12, rel=0.01)
    assert all(flight["speed"] > 0 or math.isnan(flight["speed"]) for flight in report["flights"])
    asked = [flight["speed"] * flight["tiles_per_metre"] for flight in report["flights"] if not math.isnan(flight["speed"])]
    assert asked == pytest.approx([SHARE * report["tiles"]["steps_per_s"]] * len(asked)), "tiles a second, at every height"


def test_two_reports_are_compared_figure_by_figure(report: Report, tmp_path: Path) -> None:
    first = json.loads(json.dumps(plain(report)))
    second = json.loads(json.dumps(plain(report)))
    second["tiles"]["steps_per_s"] *= 2
    (tmp_path / "a.json").write_text(json.dumps(first))
    (tmp_path / "b.json").write_text(json.dumps(second))
    result = CliRunner().invoke(build(), ["bench", "--compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    lines = {line[:28].strip(): line.split()[-1] for line in result.output.splitlines()}
    assert result.exit_code == 0 and lines["tiles a second"] == "2.00" and lines["area, us/pixel"] == "1.00"
    with pytest.raises(InvalidArgumentError, match="not a report of terraloom bench"):
        comparison(first, {"format": 9})


def test_the_picture_shows_every_envelope(report: Report) -> None:
    from terraloom_engines.bench.chart import draw

    picture = draw(report)
    assert picture.size == (1280, 640) and len(Image.Image.getcolors(picture, 1 << 16) or []) > 10
