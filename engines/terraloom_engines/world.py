"""Worlds: a base, a seed and the networks, opened for generation.

A world is named `KIND` or `KIND:ARGUMENT`; `SCHEMES` says which kinds there are and how each opens its base.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from terraloom.errors import DataLossError, InvalidArgumentError, NotFoundError
from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.bundle.base import Base
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.bundle.plane import PlaneBase
from terraloom_engines.bundle.planet import PlanetBase
from terraloom_engines.bundle.raster import RasterBase, RasterFolder, check_raster_name, worlds_folder
from terraloom_engines.cascade import Cascade, Step, never, nobody
from terraloom_engines.field import Field
from terraloom_engines.field_codec import decode_field, encode_field
from terraloom_engines.networks import Generator, open_networks
from terraloom_engines.runtimes.catalogue import AUTO
from terraloom_engines.tiling import MAX_LEVEL, TileId, WorldKind

NETWORKS_BUNDLE = "earth"
"""The embedded bundle whose networks all worlds share."""
FIELDS_IN_MEMORY = 96
"""Finished fields kept decoded, about 3.5 MB each; worlds that share a `FieldMemory` share this number."""
MAX_SEED = (1 << 32) - 1


class ByteStore(Protocol):
    """What a world needs of a store."""

    def get(self, key: str) -> bytes | None:
        """The bytes under a key, or None."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep bytes under a key."""
        ...


class FieldMemory:
    """The fields used last, decoded, of one or several worlds. Thread-safe."""

    def __init__(self, capacity: int = FIELDS_IN_MEMORY) -> None:
        self._capacity = capacity
        self._fields: OrderedDict[tuple[str, TileId], Field] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, world: str, tile: TileId) -> Field | None:
        """The field of a tile of the world of that identity, if it is still there."""
        with self._lock:
            field = self._fields.get((world, tile))
            if field is not None:
                self._fields.move_to_end((world, tile))
            return field

    def put(self, world: str, field: Field) -> None:
        """Keep a field; whoever gets it shares it, so it can no longer be written to."""
        field.data.flags.writeable = False
        with self._lock:
            self._fields[world, field.tile] = field
            self._fields.move_to_end((world, field.tile))
            while len(self._fields) > self._capacity:
                self._fields.popitem(last=False)

    def forget(self, world: str) -> None:
        """Drop the fields of one world."""
        with self._lock:
            for key in [key for key in self._fields if key[0] == world]:
                del self._fields[key]


class FieldStore:
    """Fields of one world by tile: the last ones decoded in memory, all in a byte store where there is one."""

    def __init__(self, identity: str, memory: FieldMemory, store: ByteStore | None) -> None:
        self._identity, self._memory, self._store = identity, memory, store

    def get(self, tile: TileId) -> Field | None:
        """The field of a tile; a damaged entry of the store counts as absent."""
        field = self._memory.get(self._identity, tile)
        if field is not None or self._store is None:
            return field
        packed = self._store.get(self._key(tile))
        if packed is None:
            return None
        try:
            field = decode_field(packed, tile)
        except DataLossError:
            return None
        self._memory.put(self._identity, field)
        return field

    def put(self, field: Field) -> None:
        """Keep a field."""
        self._memory.put(self._identity, field)
        if self._store:
            self._store.put(self._key(field.tile), encode_field(field))

    def clear(self) -> None:
        """Forget the fields in memory."""
        self._memory.forget(self._identity)

    def _key(self, tile: TileId) -> str:
        return f"{self._identity}/field/{tile}"


class World:
    """An opened world. Thread-safe: generation is serialised over all worlds that share their `Generator`."""

    def __init__(self, name: str, seed: int, base: Base, networks: Generator, memory: FieldMemory, store: ByteStore | None) -> None:
        self.name, self.seed, self.max_level = name, seed, MAX_LEVEL
        self.kind, self.title, self.attribution, self.base_level = base.kind, base.title, base.attribution, base.finest_level
        self.runtime_identity, self.bundle_digest = networks.runtime_identity, networks.bundle_digest
        text = f"{networks.bundle_digest}|{base.identity}|{seed}|{networks.runtime_identity}"
        self.identity = hashlib.sha256(text.encode()).hexdigest()
        self._networks, self._fields = networks, FieldStore(self.identity, memory, store)
        if isinstance(base, RasterBase):  # it lies in a whole Earth, which shares memory and store with the world `earth`
            base = base.within(World("earth", base.earth_seed, base.earth, networks, memory, store)._cascade.field)
        noise = _noise_seed(base.identity, seed)
        self._cascade: Cascade = Cascade(base, networks.step(noise), self._fields, lambda: self._siblings(noise))

    @property
    def min_level(self) -> int:
        """The coarsest level."""
        return self.kind.min_level

    def tile(self, z: int, x: int, y: int) -> TileId:
        """The address of one of its tiles. Raises InvalidArgumentError, which names the range, for one outside the world."""
        return TileId(z, x, y, self.kind)

    @property
    def halo(self) -> int:
        """Pixels of neighbours round every field."""
        return self._cascade.halo

    def field(self, tile: TileId, cancelled: Callable[[], bool] = never, wanted: Callable[[TileId], bool] = nobody) -> Field:
        """The stored rasters of a tile with their halo; siblings of it or of its ancestors that are `wanted` too may be made along with it.

        Raises CancelledError when `cancelled()` turns true between levels, InvalidArgumentError for an address of another kind of world.
        """
        if tile.kind is not self.kind:
            raise InvalidArgumentError(f"tile {tile} is on a {tile.kind.name.lower()}, {self.name} is a {self.kind.name.lower()}")
        with self._networks.lock:
            return self._cascade.field(tile, cancelled, wanted)

    def at_hand(self, tile: TileId) -> Field | None:
        """The field of a tile or of its nearest ancestor, if one of them was made and is kept; never waits for generation."""
        return self._cascade.at_hand(tile)

    def _siblings(self, noise: int) -> Step | None:
        maker = self._networks.joined()
        return None if maker is None else maker(noise)

    def forget(self) -> None:
        """Drop the decoded fields; the store, if there is one, keeps its own."""
        self._fields.clear()


def _noise_seed(identity: str, seed: int) -> int:
    """Seed of the networks' noise, so that two invented worlds do not share their details; Earth's is the world's seed itself.

    A user's raster goes on around as Earth does.
    """
    if identity.partition(":")[0] in ("earth", "raster"):
        return seed
    return int.from_bytes(hashlib.sha256(f"{identity}|{seed}".encode()).digest()[:4])


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of world: how its names look, and how the part after the colon opens its base."""

    form: str
    open: Callable[[Bundle, str], Base]
    kind: WorldKind = WorldKind.PLANET

    def canonical(self, argument: str) -> str:
        """The one spelling of an argument. Raises InvalidArgumentError for one that is none."""
        if self.form.endswith(":SEED"):
            return str(_seed_of(self.form, argument))
        if bool(argument) != (":" in self.form):
            raise InvalidArgumentError(f"a world's name is {self.form}; got the argument {argument!r}", field="world.name")
        return argument


def _raster_base(bundle: Bundle, name: str) -> RasterBase:
    return RasterBase(RasterFolder.open(worlds_folder() / check_raster_name(name)), EarthBase(bundle.folder), bundle.digest)


SCHEMES: dict[str, Scheme] = {
    "earth": Scheme("earth", lambda bundle, _: EarthBase(bundle.folder)),
    "planet": Scheme("planet:SEED", lambda _, seed: PlanetBase(int(seed))),
    "raster": Scheme("raster:NAME", _raster_base),
    "plane": Scheme("plane:SEED", lambda _, seed: PlaneBase(int(seed)), WorldKind.PLANE),
}
"""Kinds of worlds by the part of their names before the colon."""


def _seed_of(form: str, argument: str) -> int:
    if not (argument.isascii() and argument.isdigit() and int(argument) <= MAX_SEED):
        text = f"a world's name is {form} with a seed of 0 to {MAX_SEED}; got {argument!r} for the seed"
        raise InvalidArgumentError(text, field="world.name", allowed=(f"0..{MAX_SEED}",))
    return int(argument)


def world_name(name: str) -> str:
    """The one spelling of a world's name: `plane:007` is `plane:7`.

    Raises NotFoundError for an unknown kind of world, InvalidArgumentError for an argument that its kind does not take.
    """
    kind, _, argument = name.partition(":")
    if kind not in SCHEMES:
        raise NotFoundError(f"unknown world {name!r}: allowed are {', '.join(scheme.form for scheme in SCHEMES.values())}")
    argument = SCHEMES[kind].canonical(argument)
    return f"{kind}:{argument}" if argument else kind


def world_kind(name: str) -> WorldKind:
    """How the world of that name is addressed, known without opening it. Raises what `world_name` does."""
    return SCHEMES[world_name(name).partition(":")[0]].kind


def check_seed(seed: int) -> int:
    """`seed` if it lies within 0..2^32-1. Raises InvalidArgumentError."""
    if not 0 <= seed <= MAX_SEED:
        raise InvalidArgumentError(
            f"seed {seed} is out of range: allowed are 0 to {MAX_SEED}", field="world.seed", allowed=(f"0..{MAX_SEED}",)
        )
    return seed


def networks_bundle() -> Bundle:
    """The bundle whose networks all worlds share. Raises NotFoundError or DataLossError when it is missing or damaged."""
    bundles = embedded_bundles()
    if NETWORKS_BUNDLE not in bundles:
        raise NotFoundError(f"the bundle {NETWORKS_BUNDLE!r} is not installed; reinstall the package")
    return Bundle.open(bundles[NETWORKS_BUNDLE])


def open_base(name: str, bundle: Bundle) -> Base:
    """The base of the world of that (canonical) name."""
    kind, _, argument = name.partition(":")
    return SCHEMES[kind].open(bundle, argument)


def open_world(name: str = "earth", seed: int = 0, *, threads: int = 2, store: ByteStore | None = None, runtime: str = AUTO) -> World:
    """Open a world on the best runtime of this machine, or on the one named.

    Raises NotFoundError for an unknown name, InvalidArgumentError for a seed outside 0..2^32-1 and for a runtime that does not work here,
    DataLossError for a damaged bundle.
    """
    name, seed, bundle = world_name(name), check_seed(seed), networks_bundle()
    return World(name, seed, open_base(name, bundle), open_networks(bundle, runtime, threads), FieldMemory(), store)
