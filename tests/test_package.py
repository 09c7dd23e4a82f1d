"""The wheel: what a user installs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LARGEST_WHEEL = 25_000_000
HAS_NODE = shutil.which("npm") is not None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    environment = os.environ if HAS_NODE else {**os.environ, "TERRALOOM_VIEWER": "skip"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_both_packages_as_they_are_imported(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for root in (ROOT / "sdk/python", ROOT / "engines"):
        files = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if "__pycache__" not in path.parts}
        assert files - names == set()
    assert {"terraloom_sims/mujoco.py", "terraloom_sims/py.typed"} <= names
    assert {"terraloom/py.typed", "terraloom/v1/terraloom_pb2.pyi", "terraloom_engines/py.typed"} <= names


def test_the_wheel_holds_the_embedded_bundle(wheel: zipfile.ZipFile) -> None:
    data = ROOT / "engines/terraloom_engines/bundle/data"
    files = {f"terraloom_engines/bundle/data/{path.relative_to(data).as_posix()}" for path in data.rglob("*") if path.is_file()}
    assert files - set(wheel.namelist()) == set()
    assert any(name.endswith(".onnx") for name in files)


def test_the_wheel_stays_small(wheel: zipfile.ZipFile) -> None:
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size <= LARGEST_WHEEL


@pytest.mark.skipif(not HAS_NODE, reason="npm is not there to build the viewer")
def test_the_wheel_holds_the_viewer_built(wheel: zipfile.ZipFile) -> None:
    names = {name.removeprefix("terraloom_engines/http/viewer/") for name in wheel.namelist() if "/http/viewer/" in name}
    assert {"index.html", "map.html"} <= names
    assert any(name.startswith("assets/index-") for name in names)
    assert "cdn" not in wheel.read("terraloom_engines/http/viewer/index.html").decode()
