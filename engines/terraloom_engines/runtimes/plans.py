"""Plans: what TensorRT makes of a network, kept in a folder of the user.

A plan is code that runs with the rights of whoever loads it. So it is loaded only out of folders that nobody else can write to, and only if
its SHA-256 is the one that was noted when it was built. A plan is built once for its key, under a lock that processes share; one that is
damaged, or whose note says that it was made for something else, is built anew.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from terraloom.errors import FailedPreconditionError

State = Literal["kept", "built", "rebuilt"]


@dataclass(frozen=True, slots=True)
class PlanKey:
    """All that a plan depends on: library with version, target (sm89; or a GPU by name), precision, SHA-256 of the network, shape."""

    library: str
    version: str
    target: str
    precision: str
    network: str
    side: int
    batch: int

    @property
    def name(self) -> str:
        """File name without suffix."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.library}-{self.version}-{_plain(self.target)}-{self.precision}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A serialised plan, its SHA-256, and whether it was there already."""

    key: PlanKey
    path: Path
    content: bytes
    digest: str
    state: State


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())


def plans_folder() -> Path:
    """Where plans are kept: `plans` in $TERRALOOM_HOME, else in ~/.local/share/terraloom."""
    home = os.environ.get("TERRALOOM_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share" / "terraloom") / "plans"


class PlanCache:
    """The plans in a folder. Threads and processes may share it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or plans_folder()

    def obtain(self, key: PlanKey, build: Callable[[], bytes]) -> Plan:
        """The plan of that key, built if there is no sound one. Raises FailedPreconditionError for a folder that others can write to."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._check_folder()
        plan = self._read(key)
        if plan is None:
            with _locked(self.folder / f"{key.name}.lock"):
                plan = self._read(key) or self._build(key, build)  # another process may have been faster
        return plan

    def notes(self) -> list[dict[str, Any]]:
        """What is known of every plan: its key, bytes, digest, and `sound`, false where the plan is not what its note says."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            note = _note(path)
            if note is not None:
                content = _content(path.with_suffix(".plan"))
                found.append(note | {"path": str(path.with_suffix(".plan")), "sound": _digest(content or b"") == note["digest"]})
        return found

    def _paths(self, key: PlanKey) -> tuple[Path, Path]:
        return self.folder / f"{key.name}.plan", self.folder / f"{key.name}.json"

    def _read(self, key: PlanKey) -> Plan | None:
        path, beside = self._paths(key)
        note, content = _note(beside), _content(path)
        if note is None or content is None or note["key"] != asdict(key) or _digest(content) != note["digest"]:
            return None
        for file in (path, beside):
            _check_owner(file)
        return Plan(key, path, content, note["digest"], "kept")

    def _build(self, key: PlanKey, build: Callable[[], bytes]) -> Plan:
        path, beside = self._paths(key)
        state: State = "rebuilt" if path.exists() else "built"
        content = build()
        digest = _digest(content)
        _write(path, content)
        _write(beside, json.dumps({"key": asdict(key), "bytes": len(content), "digest": digest}, indent=1).encode())
        return Plan(key, path, content, digest, state)

    def _check_folder(self) -> None:
        _check_owner(self.folder)
        if self.folder.is_symlink():
            raise FailedPreconditionError(f"plans are code, and {self.folder} is a link: name the folder itself")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _note(path: Path) -> dict[str, Any] | None:
    """What was noted beside a plan; None where it is missing or no note."""
    try:
        note = json.loads(_content(path) or b"")
    except ValueError:
        return None
    return note if isinstance(note, dict) and {"key", "bytes", "digest"} <= note.keys() else None


def _write(path: Path, content: bytes) -> None:
    """All or nothing, readable by its owner alone."""
    part = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    with open(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    part.replace(path)


def _check_owner(path: Path) -> None:
    """Raises FailedPreconditionError unless `path` is this user's (or root's) and nobody else may write to it. Windows has no such bits."""
    if sys.platform == "win32":
        return
    status = path.lstat()
    if status.st_uid not in (os.getuid(), 0):
        raise FailedPreconditionError(f"plans are code, and {path} belongs to another user: remove it, or set TERRALOOM_HOME")
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise FailedPreconditionError(f"plans are code, and others can write to {path}: chmod go-w it, or set TERRALOOM_HOME")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock that other processes wait for; it goes with the process, however that ends."""
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
