"""Store: bytes under keys, kept in memory and, if wanted, in a directory, so that nothing is generated twice.

What a store promises (tested by one conformance class for every backend): `get` returns exactly the bytes that were
put under that key, or None; it never raises and never returns damaged bytes. A cache that fails is a cache miss, so a
full disk or a read-only directory costs time, not the server.

    open_store(directory, memory_bytes) -> MemoryStore            no directory
                                        -> TieredStore            MemoryStore over ObjectStore(LocalStore(directory))
"""

import hashlib
import logging
import re
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

import obstore
import zstandard
from obstore.exceptions import BaseError
from obstore.store import LocalStore
from obstore.store import ObjectStore as ObstoreBackend

__all__ = ["MemoryStore", "ObjectStore", "Store", "TieredStore", "decode_entry", "encode_entry", "open_store"]

MEMORY_BYTES = 256 << 20
"""Default limit of the memory tier in bytes."""
RETRY_SECONDS = 60.0
"""How long a backend that refused a write is left alone before the next try."""

_KEY = re.compile(r"(?!\.{1,2}(/|\Z))[\w.-]+(/(?!\.{1,2}(/|\Z))[\w.-]+)*", re.ASCII)
"""A key as `Store` has it, without steps out of the directory."""
_MAGIC = b"TLS1"
_RAW, _ZSTD = b"\x00", b"\x01"
_DIGEST_SIZE = 16
_HEADER_SIZE = len(_MAGIC) + 1 + _DIGEST_SIZE
_ENTRY_OVERHEAD = 200
"""Bytes the memory tier charges for an entry beside its value and its key."""

_log = logging.getLogger(__name__)


class Store(Protocol):
    """Thread-safe map from text keys to bytes. Keys are `/`-separated names of letters, digits, `.`, `_` and `-`."""

    def get(self, key: str) -> bytes | None:
        """The bytes put under `key`; None when there are none, or when what is kept is damaged."""

    def put(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`, replacing what was there; a store that cannot keep it drops it."""


def encode_entry(key: str, value: bytes) -> bytes:
    """`value` as it is written to a backend: magic with version, codec, BLAKE2b of key and payload, payload.

    The payload is zstd when that saves an eighth or more. The key is in the digest, so an entry under a wrong name is damaged.
    """
    packed = zstandard.ZstdCompressor(level=1).compress(value)
    codec, payload = (_ZSTD, packed) if len(packed) * 8 <= len(value) * 7 else (_RAW, value)
    return _MAGIC + codec + _digest(key, codec, payload) + payload


def decode_entry(key: str, entry: bytes) -> bytes | None:
    """The value in `entry`; None when it is truncated, damaged, of another version or was written under another key."""
    codec, digest, payload = entry[4:5], entry[5:_HEADER_SIZE], entry[_HEADER_SIZE:]
    if entry[:4] != _MAGIC or digest != _digest(key, codec, payload):
        return None
    if codec == _RAW:
        return payload
    try:
        return zstandard.ZstdDecompressor().decompress(payload)
    except zstandard.ZstdError:
        return None


def _digest(key: str, codec: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(key.encode() + b"\x00" + codec, digest_size=_DIGEST_SIZE)
    digest.update(payload)
    return digest.digest()


class MemoryStore:
    """Least recently used entries go first when the sum of the entries passes `limit` bytes."""

    def __init__(self, limit: int = MEMORY_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes held: values, keys and a fixed charge for each entry."""
        return self._size

    def get(self, key: str) -> bytes | None:
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: str, value: bytes) -> None:
        with self._lock:
            self._drop(key)
            if _charge(key, value) > self._limit:
                return
            self._entries[key] = value
            self._size += _charge(key, value)
            while self._size > self._limit:
                self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._size -= _charge(key, value)


def _charge(key: str, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_OVERHEAD


class ObjectStore:
    """Entries in any obstore backend: a local directory (whose writes go to a staging file and are renamed), S3, GCS, Azure.

    Other keys than those of `Store` are never kept. A refused write is logged once an episode; then writes pause for `RETRY_SECONDS`,
    and so on until one succeeds. Nothing is ever deleted: the owner of the directory or bucket sets its lifetime.
    """

    def __init__(self, backend: ObstoreBackend) -> None:
        self._backend = backend
        self._failing = False
        self._write_after = 0.0

    def get(self, key: str) -> bytes | None:
        if not _KEY.fullmatch(key):
            return None
        try:
            entry = bytes(obstore.get(self._backend, key).bytes())
        except (OSError, BaseError):
            return None
        value = decode_entry(key, entry)
        if value is None:
            _log.warning("%s: entry %s is damaged and will be made again", self._backend, key)
        return value

    def put(self, key: str, value: bytes) -> None:
        if time.monotonic() < self._write_after or not _KEY.fullmatch(key):
            return
        try:
            obstore.put(self._backend, key, encode_entry(key, value))
        except (OSError, BaseError) as error:
            self._write_after = time.monotonic() + RETRY_SECONDS
            if not self._failing:
                _log.warning("%s cannot be written (%s); going on with memory alone", self._backend, _first_line(error))
            self._failing = True
        else:
            self._failing = False


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class TieredStore:
    """A fast store over a lasting one: reads fall through and are kept in the fast one, writes go to both."""

    def __init__(self, fast: Store, lasting: Store) -> None:
        self._fast = fast
        self._lasting = lasting

    def get(self, key: str) -> bytes | None:
        value = self._fast.get(key)
        if value is None:
            value = self._lasting.get(key)
            if value is not None:
                self._fast.put(key, value)
        return value

    def put(self, key: str, value: bytes) -> None:
        self._fast.put(key, value)
        self._lasting.put(key, value)


def open_store(directory: Path | None = None, memory_bytes: int = MEMORY_BYTES) -> Store:
    """A memory store of `memory_bytes`, over `directory` (made if missing) when one is given and usable."""
    memory = MemoryStore(memory_bytes)
    if directory is None:
        return memory
    try:
        return TieredStore(memory, ObjectStore(LocalStore(directory, mkdir=True)))
    except (OSError, BaseError) as error:
        _log.warning("store directory %s is unusable (%s); going on with memory alone", directory, _first_line(error))
        return memory
