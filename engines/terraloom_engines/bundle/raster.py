"""The base `raster:NAME`: a user's own elevation or imagery laid into Earth, down to the level of its pixels.

A folder keeps it, made by `terraloom_engines.rasters`: `manifest.json`, and `base.zip` with tiles of levels 0 to the raster's. A tile
holds ground (elevation, relief, land, water), colour (red, green, blue, texture) or both, each with a mask of the pixels that the raster
has a part in; all other pixels are those of the world `earth`, of the manifest's seed, bit for bit.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import DataLossError, FailedPreconditionError, InvalidArgumentError, NotFoundError
from terraloom_engines.bundle.archive import RasterArchive
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind

__all__ = ["FORMAT", "LAYERS", "RasterBase", "RasterFolder", "RasterTiles", "check_raster_name", "raster_names", "worlds_folder"]

FORMAT = 1
LAYERS = {"ground": ("elevation", "relief", "land", "water"), "colour": ("red", "green", "blue", "texture")}
"""Channels that share a mask."""
_KEYS = {"format", "title", "attribution", "level", "layers", "bounds", "resolution", "vertical_scale", "sea_level", "seed", "earth"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

FieldOf = Callable[[TileId], Field]
Indices = NDArray[np.int_]


def worlds_folder() -> Path:
    """Where users' worlds are kept: `worlds` in $TERRALOOM_HOME, else in ~/.local/share/terraloom."""
    home = os.environ.get("TERRALOOM_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share" / "terraloom") / "worlds"


def raster_names() -> list[str]:
    """Names of the users' worlds on this machine."""
    root = worlds_folder()
    return sorted(path.parent.name for path in root.glob("*/manifest.json")) if root.is_dir() else []


def check_raster_name(name: str) -> str:
    """`name` if a user's world may be called so. Raises InvalidArgumentError."""
    if not _NAME.fullmatch(name):
        text = f"name {name!r} is not allowed: use 1 to 64 small letters, digits, - and _, the first a letter or a digit"
        raise InvalidArgumentError(text, field="world.name")
    return name


@dataclass(frozen=True)
class RasterFolder:
    """An opened folder: its manifest, and a digest over everything in it."""

    path: Path
    digest: str
    manifest: dict[str, Any] = field(repr=False)

    @property
    def middle(self) -> tuple[float, float]:
        """Longitude and latitude of the middle of the raster's bounds, which may lie over the antimeridian."""
        west, south, east, north = self.manifest["bounds"]
        east += 360.0 * (east < west)
        return ((west + east) / 2 + 180.0) % 360.0 - 180.0, (south + north) / 2

    @classmethod
    def open(cls, path: Path) -> "RasterFolder":
        """Raises NotFoundError for a folder that is not there, DataLossError for a damaged one."""
        try:
            text = (path / "manifest.json").read_bytes()
            manifest: dict[str, Any] = json.loads(text)
            sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
            if missing := _KEYS - manifest.keys():
                raise KeyError(min(missing))
        except FileNotFoundError:
            if path.is_dir():
                raise DataLossError(f"world raster:{path.name} has no manifest.json; delete it and create the world again") from None
            known = ", ".join(raster_names()) or "none"
            raise NotFoundError(f"no world raster:{path.name} in {path.parent}: there are {known}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataLossError(f"manifest.json of world raster:{path.name} is damaged ({error!r}); create the world again") from error
        if manifest["format"] != FORMAT:
            raise FailedPreconditionError(f"world raster:{path.name} has format {manifest['format']}, this version reads {FORMAT}")
        for name, size in sizes.items():
            if not (path / name).exists() or (path / name).stat().st_size != size:
                raise DataLossError(f"file {name} of world raster:{path.name} is missing or damaged; create the world again")
        return cls(path, hashlib.sha256(text).hexdigest(), manifest)


class RasterTiles:
    """What a raster has of every level, read tile by tile."""

    def __init__(self, archive: Path) -> None:
        self._tiles = RasterArchive(archive, owner=f"world raster:{archive.parent.name}", remedy="create the world again")

    def laid(self, layer: str, level: int, rows: Indices, columns: Indices) -> tuple[NDArray[np.bool_], list[NDArray[np.int32]]]:
        """The mask of a layer at global rows and columns of a level, and the layer's channels there, 0 outside of the mask."""
        shape = len(rows), len(columns)
        mask, rasters = np.zeros(shape, np.bool_), [np.zeros(shape, np.int32) for _ in LAYERS[layer]]
        for y in np.unique(rows // TILE_SIZE):
            down = np.flatnonzero(rows // TILE_SIZE == y)
            for x in np.unique(columns // TILE_SIZE):
                prefix = f"{level}/{x}/{y}/"
                if prefix + layer not in self._tiles:
                    continue
                across = np.flatnonzero(columns // TILE_SIZE == x)
                here, there = np.ix_(down, across), np.ix_(rows[down] % TILE_SIZE, columns[across] % TILE_SIZE)
                mask[here] = part = self._tiles.read(prefix + layer)[there]
                for raster, name in zip(rasters, LAYERS[layer], strict=True):
                    raster[here] = np.where(part, self._tiles.read(prefix + name)[there], 0)
        return mask, rasters


class RasterBase:
    """A user's raster in Earth. Thread-safe.

    `earth` is the base it lies in, `bundle_digest` that of its networks. Levels from 5 on need `within`, which tells it Earth's fields.
    """

    kind = WorldKind.PLANET

    def __init__(self, folder: RasterFolder, earth: EarthBase, bundle_digest: str) -> None:
        manifest = folder.manifest
        if manifest["earth"] != bundle_digest:
            raise FailedPreconditionError(
                f"world raster:{folder.path.name} was joined to the Earth of another version: delete it and create it again"
            )
        self.title, self.earth, self.earth_seed = str(manifest["title"]), earth, int(manifest["seed"])
        self.attribution = "; ".join(text for text in (str(manifest["attribution"]), earth.attribution) if text)
        self.identity, self.finest_level = f"raster:{folder.digest}", int(manifest["level"])
        self._tiles = RasterTiles(folder.path / "base.zip")
        self._around: FieldOf | None = None

    def within(self, around: FieldOf) -> "RasterBase":
        """This base, with the fields of Earth (of `earth_seed`, at least as much halo as will be asked for) to lie in."""
        self._around = around
        return self

    def field(self, tile: TileId, halo: int) -> Field:
        """Rasters of a tile of `finest_level` or coarser."""
        side, size = TILE_SIZE + 2 * halo, TILE_SIZE << tile.z
        rows = np.clip(np.arange(tile.y * TILE_SIZE - halo, tile.y * TILE_SIZE - halo + side), 0, size - 1)
        columns = np.arange(tile.x * TILE_SIZE - halo, tile.x * TILE_SIZE - halo + side) % size
        data = np.zeros((len(CHANNELS), side, side), np.int32)
        earth: Field | None = None
        for layer, names in LAYERS.items():
            mask, rasters = self._tiles.laid(layer, tile.z, rows, columns)
            if not mask.all():
                earth = earth or self._earth(tile, halo)
                rasters = [np.where(mask, raster, earth.channel(name)) for raster, name in zip(rasters, names, strict=True)]
            for raster, name in zip(rasters, names, strict=True):
                data[CHANNELS.index(name)] = raster
        return Field(tile, halo, data)

    def child_land(self, level: int, column: int, row: int, side: int) -> None:
        """None: Earth's mask ends at the raster's level or above it."""

    def details(self, level: int, column: int, row: int, side: int) -> None:
        """None: Earth's end there as well."""

    def _earth(self, tile: TileId, halo: int) -> Field:
        if tile.z <= self.earth.finest_level:
            return self.earth.field(tile, halo)
        if self._around is None:
            raise FailedPreconditionError(f"tile {tile} of {self.title} needs the fields of Earth around it: open it as a world")
        return self._around(tile).crop(halo)
