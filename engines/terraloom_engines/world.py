"""Worlds: a base, a seed and a bundle, opened for generation."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from terraloom.errors import DataLossError, InternalError, InvalidArgumentError, NotFoundError
from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.cascade import Cascade, never, window_sides
from terraloom_engines.field import Field
from terraloom_engines.field_codec import decode_field, encode_field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage
from terraloom_engines.runtimes import Runtime
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.self_test import shifted_windows_agree
from terraloom_engines.stages import StageSpec
from terraloom_engines.tiling import MAX_LEVEL, TileId

WORLDS = ("earth",)
"""Names of the worlds that can be opened."""
FIELDS_IN_MEMORY = 96
"""Finished fields kept decoded, about 3.5 MB each."""


class ByteStore(Protocol):
    """What a world needs of a store."""

    def get(self, key: str) -> bytes | None:
        """The bytes under a key, or None."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep bytes under a key."""
        ...


class FieldStore:
    """Fields by tile: the last ones decoded in memory, all in a byte store where there is one."""

    def __init__(self, store: ByteStore | None, prefix: str, capacity: int = FIELDS_IN_MEMORY) -> None:
        self._store, self._prefix, self._capacity = store, prefix, capacity
        self._recent: OrderedDict[TileId, Field] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tile: TileId) -> Field | None:
        """The field of a tile; a damaged entry of the store counts as absent."""
        with self._lock:
            if tile in self._recent:
                self._recent.move_to_end(tile)
                return self._recent[tile]
        packed = self._store.get(self._key(tile)) if self._store else None
        if packed is None:
            return None
        try:
            field = decode_field(packed, tile)
        except DataLossError:
            return None
        self._remember(field)
        return field

    def put(self, field: Field) -> None:
        """Keep a field."""
        self._remember(field)
        if self._store:
            self._store.put(self._key(field.tile), encode_field(field))

    def clear(self) -> None:
        """Forget the fields in memory."""
        with self._lock:
            self._recent.clear()

    def _key(self, tile: TileId) -> str:
        return f"{self._prefix}/field/{tile}"

    def _remember(self, field: Field) -> None:
        with self._lock:
            self._recent[field.tile] = field
            self._recent.move_to_end(field.tile)
            while len(self._recent) > self._capacity:
                self._recent.popitem(last=False)


class World:
    """An opened world. Thread-safe: generation is serialised, since one run uses every core that the runtime was given."""

    def __init__(self, name: str, seed: int, bundle: Bundle, runtime: Runtime, store: ByteStore | None) -> None:
        self.name, self.seed, self.max_level = name, seed, MAX_LEVEL
        specs = {network: StageSpec.from_manifest(entry) for network, entry in bundle.manifest["stages"].items()}
        graphs = {network: runtime.load(bundle.model(network)) for network in specs}
        sides = window_sides(specs["geometry"], specs["imagery"])
        for network, graph in graphs.items():
            if not shifted_windows_agree(graph, specs[network], network, sides[network]):
                raise InternalError(
                    f"runtime {runtime.identity} gives other results for shifted windows ({network}): tiles would show seams"
                )
        self.identity = hashlib.sha256(f"{bundle.digest}|{name}|{seed}|{runtime.identity}".encode()).hexdigest()
        self.runtime_identity, self.bundle_digest = runtime.identity, bundle.digest
        base = EarthBase(bundle.folder)
        self.base_level = base.finest_level
        self._fields = FieldStore(store, self.identity)
        lifting = LiftingStage(graphs["geometry"], specs["geometry"], seed)
        imagery = ImageryStage(graphs["imagery"], specs["imagery"], seed)
        self._cascade = Cascade(base, lifting, imagery, self._fields)
        self._lock = threading.Lock()

    @property
    def halo(self) -> int:
        """Pixels of neighbours round every field."""
        return self._cascade.halo

    def field(self, tile: TileId, cancelled: Callable[[], bool] = never) -> Field:
        """The stored rasters of a tile with their halo. Raises CancelledError when `cancelled()` turns true between levels."""
        with self._lock:
            return self._cascade.field(tile, cancelled)

    def forget(self) -> None:
        """Drop the decoded fields; the store, if there is one, keeps its own."""
        self._fields.clear()


def open_world(name: str = "earth", seed: int = 0, *, threads: int = 2, store: ByteStore | None = None) -> World:
    """Open a world on this machine's CPU.

    Raises NotFoundError for an unknown name, InvalidArgumentError for a seed outside 0..2^32-1, DataLossError for a damaged bundle.
    """
    if name not in WORLDS:
        raise NotFoundError(f"unknown world {name!r}: allowed are {', '.join(WORLDS)}")
    if not 0 <= seed < 1 << 32:
        raise InvalidArgumentError(f"seed {seed} is out of range: allowed are 0 to {(1 << 32) - 1}")
    bundles = embedded_bundles()
    if name not in bundles:
        raise NotFoundError(f"the bundle of world {name!r} is not installed; reinstall the package")
    return World(name, seed, Bundle.open(bundles[name]), OnnxCpuRuntime(threads), store)
