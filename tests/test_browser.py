"""Browsers: clients that nobody here wrote draw our tiles, and our own pages fly over them. Real Chromium, software GL."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from terraloom.testing import ServerAddress, run_server
from terraloom_engines.http.pages import VIEWER

HERE = Path(__file__).parent / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONG = os.environ.get("TERRALOOM_BROWSER") == "long"
"""`make test-browser`: more places, larger pictures, finer ground, longer flights."""
COMPLAINTS_ALLOWED = ("GPU stall due to ReadPixels", "GL Driver Message")

PLACES = {
    "alps": (46.2, 7.9, 90_000, 20, -18),
    "grand-canyon": (35.95, -112.1, 6_000, 0, -15),
    "fjord": (61.9, 6.6, 6_000, 30, -15),
    "sahara": (27.0, 8.0, 5_000, 200, -12),
    "fiji": (-18.6, 178.0, 30_000, 0, -20),
    "pole": (-85.5, 40, 400_000, 180, -40),
    "space": (20, 20, 9_000_000, 0, -85),
}
"""Latitude, longitude, height, heading and pitch."""
PLACES_NOW = PLACES if LONG else {name: PLACES[name] for name in ("alps", "fiji", "pole", "space")}
SIZE, ERROR = ((480, 320), 16) if LONG else ((240, 160), 64)
"""Pixels of other renderers' pictures, and of the error at which they refine."""


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
    """What a case of cases.mjs found in the browser, and its pictures."""

    def __init__(self, found: dict[str, Any], pictures: Path) -> None:
        self.found, self._pictures = found, pictures

    def picture(self, name: str = "picture") -> np.ndarray:
        """A screenshot, shape (row, column, 3)."""
        return np.asarray(Image.open(self._pictures / f"{name}.png").convert("RGB"))

    @property
    def complaints(self) -> list[str]:
        """Errors on the console that mean something."""
        return [text for text in self.found["complaints"] if not any(allowed in text for allowed in COMPLAINTS_ALLOWED)]


class Browser:
    """One Chromium, in which cases run one after the other, each as if nobody had been there before."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin and process.stdout
        self._to, self._from = process.stdin, process.stdout

    def run(self, name: str, server: str, pictures: Path, please: dict[str, Callable[[], None]] | None = None, **options: Any) -> Case:
        """Runs a case; does what it asks for on the way."""
        self._say({"name": name, "server": server, "pictures": str(pictures), "options": options})
        for line in self._from:
            said = json.loads(line) if line.startswith("{") else {}
            if "please" in said:
                (please or {})[said["please"]]()
                self._say({"done": said["please"]})
            assert "error" not in said, said["error"]
            if "found" in said:
                return Case(said["found"], pictures)
        raise AssertionError("the browser has ended")

    def _say(self, message: dict[str, Any]) -> None:
        self._to.write(json.dumps(message) + "\n")
        self._to.flush()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["node", HERE / "run.mjs", str(CHROMIUM)], text=True, **pipes) as process:
        yield Browser(process)
        assert process.stdin
        process.stdin.close()


def is_sky(picture: np.ndarray) -> np.ndarray:
    """Where the magenta of the background shows, shape (row, column)."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red > 200) & (green < 60) & (blue > 200)


def cracks(picture: np.ndarray) -> int:
    """Pixels of sky below ground: seen from above the ground and without roll, the sky of a column ends where ground begins."""
    sky = is_sky(picture)
    below_ground = np.cumsum(~sky, axis=0) > 0
    return int((sky & below_ground).sum())


@pytest.mark.parametrize("client", ["tiles.html", "cesium.html"])
def test_other_renderers_draw_the_ground_without_failed_tiles_or_cracks(
    client: str, server: ServerAddress, browser: Browser, tmp_path: Path
) -> None:
    if client == "cesium.html" and not (HERE / "node_modules/cesium/Build").is_dir():
        pytest.skip("CesiumJS is not installed: make browser")
    case = browser.run("renderer", server.http, tmp_path, file=client, views=PLACES_NOW, error=ERROR, size=SIZE)
    assert case.complaints == [] and list(case.found["seen"]) == list(PLACES_NOW)
    for place, seen in case.found["seen"].items():
        picture = case.picture(place)
        ground = ~is_sky(picture)
        assert seen["failed"] == 0 and seen["visible"] > (place != "space"), place
        if place == "space":
            assert 0.1 < ground.mean() < 0.9
        else:
            assert ground[-len(ground) // 3 :].all() and not ground[0].any(), f"{place}: there is ground below the horizon, and a sky above"
            assert cracks(picture) == 0, place
        assert picture[ground].std(axis=0).min() > 2, f"{place} is not one colour"


def test_a_crack_of_one_pixel_is_found() -> None:
    picture = np.full((40, 60, 3), (255, 0, 255), np.uint8)
    picture[20:] = (60, 90, 40)
    assert cracks(picture) == 0
    picture[30, 7] = (255, 0, 255)
    assert cracks(picture) == 1


def test_the_viewer_restores_deep_links_and_flies_over_unbroken_ground(server: ServerAddress, browser: Browser, tmp_path: Path) -> None:
    link = "#46.200000,7.900000,60000,20.0,-25.0,earth"
    case = browser.run("flight", server.http, tmp_path, link=link, seconds=20 if LONG else 8, size=SIZE)
    found = case.found
    assert found["hash"] == link
    assert found["to"]["lat"] > found["from"]["lat"] + 0.01, "W flies north-north-east"
    for name, error in {"lat": 1e-5, "lon": 1e-5, "height": 1.0, "heading": 0.1, "pitch": 0.1}.items():
        assert found["restored"][name] == pytest.approx(found["to"][name], abs=error), "the address of the page names the view"
    assert case.complaints == []
    assert found["failed"] == 0 and found["holes"] == 0 and found["frames"] >= 5 and found["rays"] >= 5
    for picture in (case.picture(), case.picture("landed")):
        upper, lower = picture[len(picture) // 5 : len(picture) // 3], picture[len(picture) * 3 // 5 : -len(picture) // 8]
        assert lower.std() > 10, "there is ground"
        assert upper[..., 2].mean() > upper[..., 0].mean() + 30, "under a blue sky"


def test_nothing_flickers_or_pops_while_the_camera_creeps_and_a_view_comes_back_as_it_was(
    server: ServerAddress, browser: Browser, tmp_path: Path
) -> None:
    steps = 8
    link = "?quality=low#46.2,7.9,90000,20,-18,earth,0,11"
    case = browser.run("creep", server.http, tmp_path, link=link, steps=steps, stride=0.0008, size=SIZE)
    pictures = [case.picture(f"step{step}").astype(int) for step in range(steps + 1)]
    np.testing.assert_array_equal(pictures[-1], pictures[0])
    for before, after in pairwise(pictures[:-1]):
        change = np.abs(after - before).max(axis=2)
        assert 0 < change.mean() < 4, "90 m farther at a height of 90 km: hardly another picture"
        assert (change > 48).mean() < 0.01, "no tile pops from one state into another"
    assert case.found["failed"] == 0 and case.complaints == []


def test_the_viewer_waits_for_a_server_that_went_away_and_goes_on(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    running: list[Any] = []

    def start() -> None:
        running.append(run_server("--http-port", str(port), "--store", str(tmp_path / "store"), http=True))
        running[-1].__enter__()

    def stop() -> None:
        running.pop().__exit__(None, None, None)

    start()
    try:
        link, away = "#27.0,8.0,3000000,200,-80,earth", {"lat": 10.0, "lon": 50.0}
        please = {"stop the server": stop, "start the server": start}
        case = browser.run("restart", f"http://127.0.0.1:{port}", tmp_path, please, link=link, away=away, size=SIZE)
    finally:
        while running:
            stop()
    assert "does not answer" in case.found["notice"]
    assert case.found["failed"] == 0 and case.found["settled"]
    assert case.picture().std() > 10


def test_the_viewer_obeys_the_keyboard_names_its_controls_and_loads_nothing_from_elsewhere(
    server: ServerAddress, browser: Browser, tmp_path: Path
) -> None:
    found = browser.run("keyboard", server.http, tmp_path, link="#0,0,5000000,0,-89,earth", size=SIZE).found
    assert found["sought"]["lat"] == pytest.approx(-12.5, abs=0.1) and found["sought"]["lon"] == pytest.approx(30, abs=0.1)
    assert found["focused"] == "view", "after a search the keys fly again"
    assert found["help"]
    assert "load p50/p95" in found["overlay"] and "holes" in found["overlay"]
    assert found["unnamed"] == [] and found["outside"] == []


def test_every_control_of_the_viewer_does_what_it_says(server: ServerAddress, browser: Browser, tmp_path: Path) -> None:
    case = browser.run("controls", server.http, tmp_path, link="#20,20,6000000,0,-89,earth", size=(640, 400))
    plain = case.picture("plain")[60:340, 10:380].astype(int)
    for name in ("wireframe", "levels", "midnight"):
        assert np.abs(case.picture(name)[60:340, 10:380] - plain).mean() > 8, f"{name} changes the picture"
    assert case.picture("midnight")[60:340, 10:380].mean() < 0.3 * plain.mean(), "night is darker than day"
    assert case.found["clock"] == "00:00" and "tiles drawn" in case.found["overlay"]
    saved = case.picture("saved")
    assert saved.std() > 10 and saved.shape[0] >= 400, "the saved picture shows what the screen shows"
    assert "neither a place of the list" in case.found["refused"]
    assert case.found["named"]["lat"] == pytest.approx(27.9, abs=0.2), "a place is found by its name"
    for name, world in case.found["worlds"].items():
        assert world["drawn"] > 0 and world["failed"] == 0, name
    assert case.complaints == []


def test_fingers_look_move_and_fly(server: ServerAddress, browser: Browser, tmp_path: Path) -> None:
    found = browser.run("touch", server.http, tmp_path, link="#10,10,4000000,0,-60,earth", size=(480, 320), touch=True).found
    before, looked, pinched = found["before"], found["looked"], found["pinched"]
    assert looked["heading"] > before["heading"] + 1 and looked["height"] == pytest.approx(before["height"])
    assert pinched["height"] < 0.98 * looked["height"], "spreading two fingers comes nearer"


def test_a_browser_without_webgl_is_told_so(server: ServerAddress, browser: Browser, tmp_path: Path) -> None:
    assert "WebGL 2" in browser.run("blind", server.http, tmp_path).found["notice"]


def test_the_map_draws_raises_its_terrain_and_leads_into_the_viewer(server: ServerAddress, browser: Browser, tmp_path: Path) -> None:
    case = browser.run("map", server.http, tmp_path, place="4/46.2/7.9", size=(400, 280))
    assert case.complaints == []
    assert case.found["link"].startswith("./#4") and case.found["link"].endswith(",earth")
    assert case.found["raised"] > 500, "terrain-RGB gives MapLibre the height of the Alps"
    assert case.picture()[100:].std() > 10


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
