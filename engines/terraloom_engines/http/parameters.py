"""Paths and queries become checked values. Everything here raises InvalidArgumentError or NotFoundError with one line."""

import math
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.content import ContentOptions
from terraloom_engines.http.replies import version_of
from terraloom_engines.tiling import TileId
from terraloom_engines.world import World

__all__ = ["SHAPING", "content_options", "numbers", "passed_on", "tile_of", "whole_number"]

SHAPING = ("segments", "texture", "quality", "unlit", "surface", "compression")
"""Queries that say how a GLB is made; tilesets hand them on to their contents."""
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_SWITCH = {"1": True, "true": True, "0": False, "false": False}


def whole_number(name: str, text: str) -> int:
    """`text` as a whole number."""
    if not _WHOLE.fullmatch(text):
        raise InvalidArgumentError(f"{name} = {text[:40]!r} is not a whole number", field=name)
    return int(text)


def tile_of(request: Request, world: World) -> TileId:
    """The tile that the path names; one that does not exist is not found."""
    z, x, y = (whole_number(name, request.path_params[name]) for name in ("z", "x", "y"))
    if not world.kind.min_level <= z <= world.max_level:
        raise NotFoundError(f"there is no level {z}: levels of {world.name} go from {world.kind.min_level} to {world.max_level}")
    try:
        return TileId(z, x, y, world.kind)
    except InvalidArgumentError as error:
        raise NotFoundError(str(error)) from None


def numbers(name: str, text: str) -> list[float]:
    """`text` as numbers with commas between them."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidArgumentError(f"{name} = {text[:40]!r} is not a number, or numbers with commas between them", field=name) from None
    if not all(map(math.isfinite, found)):
        raise InvalidArgumentError(f"{name} = {text[:40]!r} is not finite", field=name)
    return found


def content_options(query: Mapping[str, str]) -> ContentOptions:
    """How a GLB is to be made: `segments`, `texture`, `quality`, `unlit`, `surface` and `compression`, as in `ContentOptions`."""
    default = ContentOptions()
    return ContentOptions(
        segments=whole_number("segments", query["segments"]) if "segments" in query else default.segments,
        texture_format=query.get("texture", default.texture_format),  # type: ignore[arg-type]  # it checks the value
        texture_quality=whole_number("quality", query["quality"]) if "quality" in query else default.texture_quality,
        unlit=_switch("unlit", query.get("unlit", "0")),
        surface=query.get("surface", default.surface),  # type: ignore[arg-type]  # it checks the value
        compression=query.get("compression", default.compression),  # type: ignore[arg-type]  # it checks the value
    )


def passed_on(world: World, given: Mapping[str, str]) -> str:
    """The query of the URLs inside a tileset: the seed, how GLBs are made, and the version."""
    content_options(given)  # what is wrong is said now, not by every tile
    kept = {name: given[name] for name in ("seed", *SHAPING) if name in given}
    return urlencode({**kept, "v": version_of(world)})


def _switch(name: str, text: str) -> bool:
    if text not in _SWITCH:
        raise InvalidArgumentError(f"{name} = {text[:40]!r} is not allowed: choose 1 or 0", field=name, allowed=("0", "1"))
    return _SWITCH[text]
