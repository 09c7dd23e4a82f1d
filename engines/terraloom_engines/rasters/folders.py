"""Folders of worlds: where one is made until it is whole, and how it goes away."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from terraloom.errors import NotFoundError
from terraloom_engines.bundle.raster import check_raster_name, raster_names, worlds_folder

__all__ = ["delete", "workplace"]

MAKING, DELETING, LOCK = ".making-", ".deleting-", "lock"


@contextmanager
def workplace(root: Path) -> Iterator[Path]:
    """A folder in `root`, which is made where it is missing, to make a world in; it goes away afterwards.

    What processes that were killed have left there goes away first: its lock went with them.
    """
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    with tempfile.TemporaryDirectory(dir=root, prefix=MAKING) as folder, (Path(folder) / LOCK).open("ab") as lock:
        _lock(lock)
        yield Path(folder)


def delete(name: str) -> None:
    """Removes a world's folder, whole or not. Raises NotFoundError when there is none."""
    check_raster_name(name)
    root = worlds_folder()
    if not (root / name).is_dir():
        raise NotFoundError(f"no world raster:{name}: there are {', '.join(raster_names()) or 'none'}")
    _sweep(root)
    with tempfile.TemporaryDirectory(dir=root, prefix=DELETING) as folder:
        (root / name).rename(Path(folder) / name)  # at once, so that a world is whole or not there


def _sweep(root: Path) -> None:
    """Removes what was being made or deleted by processes that are no more."""
    for folder in (*root.glob(f"{MAKING}*"), *root.glob(f"{DELETING}*")):
        if _left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _left_behind(folder: Path) -> bool:
    try:
        with (folder / LOCK).open("rb+") as lock:
            _lock(lock)
        return True
    except FileNotFoundError:
        return any(folder.glob("*"))  # an empty one may be about to get its lock
    except OSError:
        return False


def _lock(file: BinaryIO) -> None:
    """Locks a file for this process, however that ends. Raises OSError when another has."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
