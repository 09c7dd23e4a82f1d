"""The tiles of an export, one file each. What is there is not made again, so an export that was stopped goes on where it stopped."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cascade import never
from terraloom_engines.content import Options, TileContent, build_content, content_hash
from terraloom_engines.maps import MapOptions
from terraloom_engines.tiling import TileId
from terraloom_engines.world import World

__all__ = ["TileFiles", "as_bytes"]

RECORD = "export.json"
"""Says what a folder was made of."""


def as_bytes(content: TileContent) -> bytes:
    """What is written of a content: its picture or its GLB."""
    return content.glb if content.picture is None else content.picture


@dataclass(frozen=True, slots=True)
class TileFiles:
    """Contents of one kind in a folder: `Z/X/Y.SUFFIX`."""

    folder: Path
    world: World
    options: Options
    finish: Callable[[TileContent], bytes] = field(default=as_bytes)
    """Makes the file's bytes of a content."""

    def begin(self) -> None:
        """Makes the folder, or goes on with one that was made of the same. Raises InvalidArgumentError for another."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record, file = self._record(), self.folder / RECORD
        if file.exists():
            if json.loads(file.read_text()) != record:
                raise InvalidArgumentError(f"{self.folder} holds an export with other settings: choose another output, or remove it")
        elif any(self.folder.iterdir()):
            raise InvalidArgumentError(f"{self.folder} is not empty and holds no export: choose another output")
        else:
            write_whole(file, json.dumps(record, indent=1).encode())

    def path(self, tile: TileId) -> Path:
        """Where a tile is, or will be."""
        suffix = self.options.format if isinstance(self.options, MapOptions) else "glb"
        return self.folder / "tiles" / f"{tile}.{suffix}"

    def missing(self, tiles: Iterable[TileId]) -> list[TileId]:
        """Those that are not there yet."""
        return [tile for tile in tiles if not self.path(tile).exists()]

    def make(self, tile: TileId) -> None:
        """Makes one."""
        file = self.path(tile)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, self.finish(build_content(self.world, tile, self.options, never)))

    def read(self, tile: TileId) -> bytes:
        """One that is there."""
        return self.path(tile).read_bytes()

    def _record(self) -> dict[str, object]:
        origin = content_hash(self.world.identity, TileId(self.world.kind.min_level, 0, 0, self.world.kind), self.options).hex()
        return {"world": self.world.name, "seed": self.world.seed, "attribution": self.world.attribution, "made_of": origin}


def write_whole(file: Path, data: bytes) -> None:
    """Writes a file so that it is there wholly or not at all."""
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(data)
    partial.replace(file)
