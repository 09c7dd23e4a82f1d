"""Folders of users' worlds: those left behind, those half gone, those damaged."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from terraloom.errors import DataLossError, NotFoundError
from terraloom_engines.bundle.raster import RasterFolder, RasterTiles, worlds_folder
from terraloom_engines.cli.world import list_worlds
from terraloom_engines.rasters.folders import delete, workplace


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


def test_an_empty_workplace_without_a_lock_may_be_about_to_get_one(root: Path) -> None:
    for name in (".making-new", ".making-old", ".deleting-old"):
        (root / name).mkdir()
        if name.endswith("old"):
            (root / name / "base.zip").write_bytes(b"")
    with workplace(root):
        pass
    assert [path.name for path in root.iterdir()] == [".making-new"]


MANIFEST = {
    "format": 1, "title": "Whole", "attribution": "", "level": 8, "layers": ["elevation"], "bounds": [1.0, 2.0, 3.0, 4.0],
    "resolution": [30.0], "vertical_scale": 1.0, "sea_level": 0.0, "seed": 0, "earth": "", "files": {},
}  # fmt: skip


def test_damaged_worlds_are_listed_beside_whole_ones(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"a": "{", "b": json.dumps(MANIFEST), "c": json.dumps({"files": {}, "format": 1}), "d": None}
    for name, text in texts.items():
        (root / name).mkdir()
        if text is not None:
            (root / name / "manifest.json").write_text(text)
    list_worlds()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "raster:b: Whole, elevation down to level 8, 1.00 to 3.00 E, 2.00 to 4.00 N, 0.0 MB"
    assert [line.split(": ")[1] for line in lines[:1] + lines[2:]] == ["error"] * 3
    list_worlds(as_json=True)
    assert ["error" in facts for facts in json.loads(capsys.readouterr().out)] == [True, False, True, True]
    with pytest.raises(DataLossError, match="has no manifest.json; delete it and create the world again"):
        RasterFolder.open(root / "d")


def test_a_damaged_archive_says_to_create_the_world_again(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "base.zip").write_bytes(b"no zip")
    with pytest.raises(DataLossError, match=r"file base.zip of world raster:a is missing or corrupt .*; create the world again"):
        RasterTiles(root / "a" / "base.zip")
