"""Folders of users' worlds: those left behind, those half gone, those damaged."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from terraloom.errors import NotFoundError
from terraloom_engines.bundle.raster import worlds_folder
from terraloom_engines.rasters.folders import FORGOTTEN, delete, workplace


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of worlds."""
    monkeypatch.setenv("TERRALOOM_HOME", str(tmp_path))
    worlds_folder().mkdir()
    return worlds_folder()


def test_a_folder_without_a_manifest_can_be_deleted(root: Path) -> None:
    (root / "half").mkdir()
    (root / "half" / "base.zip").write_bytes(b"")
    delete("half")
    assert not list(root.iterdir())
    with pytest.raises(NotFoundError, match="no world raster:half: there are none"):
        delete("half")


def test_what_a_killed_process_was_making_goes_away(root: Path) -> None:
    program = (
        "import pathlib, time, terraloom_engines.rasters.folders as folders\n"
        f"with folders.workplace(pathlib.Path({str(root)!r})) as folder:\n    print(folder.name, flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = root / process.stdout.readline().strip()
        with workplace(root) as other:
            assert made.is_dir() and other.is_dir(), "both are at work"
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert made.is_dir()
    with workplace(root):
        assert not made.exists()
    assert not list(root.iterdir())


def test_a_workplace_without_a_lock_has_an_hour(root: Path) -> None:
    for name, age in ((".making-new", 0.0), (".making-old", 2 * FORGOTTEN), (".deleting-old", 2 * FORGOTTEN)):
        (root / name).mkdir()
        os.utime(root / name, (time.time() - age,) * 2)
    with workplace(root):
        pass
    assert [path.name for path in root.iterdir()] == [".making-new"]
