"""Browsers: clients that nobody here wrote draw our tiles, and our own pages fly over them. Real Chromium, software GL."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from terraloom.testing import run_server
from terraloom_engines.http.pages import VIEWER

HERE = Path(__file__).parent / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONG = os.environ.get("TERRALOOM_BROWSER") == "long"
"""`make test-browser`: more places, longer flights."""
COMPLAINTS_ALLOWED = ("GPU stall due to ReadPixels", "GL Driver Message")

PLACES = {
    "alps": "46.2,7.9,90000,20,-18",
    "grand-canyon": "35.95,-112.1,6000,0,-15",
    "fjord": "61.9,6.6,6000,30,-15",
    "sahara": "27.0,8.0,5000,200,-12",
    "fiji": "-17.3,178.4,9000,340,-15",
    "space": "20,20,9000000,0,-85",
}
PLACES_NOW = list(PLACES) if LONG else ["alps"]


def missing() -> str:
    """Why no browser test can run here, or ""."""
    if shutil.which("node") is None:
        return "node is not installed"
    if CHROMIUM is None:
        return "there is no Chromium: make browser installs it where it may"
    if not (HERE / "node_modules/playwright-core").is_dir():
        return "playwright-core is not installed: make browser"
    if not (VIEWER / "index.html").is_file():
        return "the viewer has not been built: make viewer"
    return ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


class Case:
    """One case of cases.mjs in a browser of its own."""

    def __init__(self, name: str, server: str, screenshot: Path, **options: Any) -> None:
        self._command = ["node", HERE / "run.mjs", name, str(CHROMIUM), server, screenshot, json.dumps(options)]
        self._screenshot = screenshot
        self.found: dict[str, Any] = {}

    def asks(self) -> Iterator[str]:
        """Runs it; yields what it wants done, one after the other. Then `found` is what it found."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        said = []
        with subprocess.Popen(self._command, text=True, **pipes) as process:
            assert process.stdout and process.stdin
            try:
                for line in process.stdout:
                    said.append(line)
                    message = json.loads(line) if line.startswith("{") else {}
                    if "please" not in message:
                        self.found |= message
                        continue
                    yield message["please"]
                    process.stdin.write("done\n")
                    process.stdin.flush()
            finally:
                process.terminate()
        assert self.found, "".join(said)

    def result(self) -> dict[str, Any]:
        """What it found; it asked for nothing."""
        assert list(self.asks()) == []
        return self.found

    @property
    def picture(self) -> np.ndarray:
        """The screenshot, shape (row, column, 3)."""
        return np.asarray(Image.open(self._screenshot).convert("RGB"))


def is_sky(picture: np.ndarray) -> np.ndarray:
    """Where the magenta of the background shows, shape (row, column)."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red > 200) & (green < 60) & (blue > 200)


def cracks(picture: np.ndarray) -> int:
    """Pixels of sky below ground: seen from above the ground and without roll, the sky of a column ends where ground begins."""
    sky = is_sky(picture)
    below_ground = np.cumsum(~sky, axis=0) > 0
    return int((sky & below_ground).sum())


def complaints(found: dict[str, Any]) -> list[str]:
    """Errors on the console that mean something."""
    return [text for text in found["complaints"] if not any(allowed in text for allowed in COMPLAINTS_ALLOWED)]


@pytest.mark.parametrize("place", PLACES_NOW)
@pytest.mark.parametrize("client", ["tiles.html", "cesium.html"])
def test_other_renderers_draw_the_ground_without_failed_tiles_or_cracks(client: str, place: str, server: Any, tmp_path: Path) -> None:
    if client == "cesium.html" and not (HERE / "node_modules/cesium/Build").is_dir():
        pytest.skip("CesiumJS is not installed: make test-browser installs it")
    case = Case("renderer", server.http, tmp_path / "picture.png", file=client, view=PLACES[place])
    found = case.result()
    assert found["failed"] == 0 and complaints(found) == []
    assert found["visible"] > 3
    ground = ~is_sky(case.picture)
    if place == "space":
        assert 0.1 < ground.mean() < 0.9
    else:
        assert ground[-120:].all(), "below the horizon there is ground everywhere"
        assert cracks(case.picture) == 0
    assert case.picture[ground].std(axis=0).min() > 5, "and it is not one colour"


def test_the_viewer_restores_deep_links_and_flies_over_unbroken_ground(server: Any, tmp_path: Path) -> None:
    link = "#46.200000,7.900000,60000,20.0,-25.0,earth"
    case = Case("flight", server.http, tmp_path / "picture.png", link=link, seconds=20 if LONG else 3)
    found = case.result()
    assert found["hash"] == link
    assert found["to"]["lat"] > found["from"]["lat"] + 0.01, "W flies north-north-east"
    for name, error in {"lat": 1e-5, "lon": 1e-5, "height": 1.0, "heading": 0.1, "pitch": 0.1}.items():
        assert found["restored"][name] == pytest.approx(found["to"][name], abs=error), "the address of the page names the view"
    assert complaints(found) == []
    assert found["failed"] == 0 and found["holes"] == 0
    lower, upper = case.picture[200:280], case.picture[60:100]
    assert lower.std() > 10, "there is ground"
    assert upper[..., 2].mean() > upper[..., 0].mean() + 30, "under a blue sky"


def test_the_viewer_waits_for_a_server_that_went_away_and_goes_on(tmp_path: Path) -> None:
    port = free_port()
    stopped: list[Any] = []

    def start() -> Any:
        context = run_server("--http-port", str(port), "--store", str(tmp_path / "store"), http=True)
        context.__enter__()
        return context

    running = start()
    try:
        link, away = "#27.0,8.0,900000,200,-80,earth", {"lat": 10.0, "lon": 50.0}
        case = Case("restart", f"http://127.0.0.1:{port}", tmp_path / "picture.png", link=link, away=away)
        for request in case.asks():
            if request == "stop the server":
                running.__exit__(None, None, None)
                stopped.append(running)
            else:
                running = start()
        assert "does not answer" in case.found["notice"]
        assert case.found["failed"] == 0 and case.found["settled"]
        assert case.picture.std() > 10
    finally:
        if running not in stopped:
            running.__exit__(None, None, None)


def test_the_viewer_obeys_the_keyboard_names_its_controls_and_loads_nothing_from_elsewhere(server: Any, tmp_path: Path) -> None:
    found = Case("keyboard", server.http, tmp_path / "picture.png", link="#0,0,5000000,0,-89,earth").result()
    assert found["sought"]["lat"] == pytest.approx(-12.5, abs=0.1) and found["sought"]["lon"] == pytest.approx(30, abs=0.1)
    assert found["focused"] == "view", "after a search the keys fly again"
    assert found["help"]
    assert "load p50/p95" in found["overlay"] and "holes" in found["overlay"]
    assert found["unnamed"] == [] and found["outside"] == []


def test_the_map_draws_raises_its_terrain_and_leads_into_the_viewer(server: Any, tmp_path: Path) -> None:
    case = Case("map", server.http, tmp_path / "picture.png", place="4/46.2/7.9")
    found = case.result()
    assert complaints(found) == []
    assert found["link"].startswith("./#4") and found["link"].endswith(",earth")
    assert found["raised"] > 500, "terrain-RGB gives MapLibre the height of the Alps"
    assert case.picture[100:].std() > 10


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
