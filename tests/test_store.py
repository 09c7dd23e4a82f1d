"""Stores: one conformance class for every backend, and what becomes of damaged entries and failing disks."""

import logging
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore
from obstore.store import MemoryStore as ObstoreMemory

from terraloom_engines.store import MemoryStore, ObjectStore, Store, TieredStore, decode_entry, encode_entry, open_store

TEXT = b"the quick brown fox " * 1000
NOISE = random.Random(1).randbytes(5000)


class StoreTests:
    """What every store promises. A backend's tests subclass this and give a `store` fixture."""

    def test_an_unknown_key_gives_none(self, store: Store) -> None:
        assert store.get("nobody/put/this") is None

    @pytest.mark.parametrize("value", [b"", b"x", TEXT, NOISE], ids=["empty", "short", "compressible", "noise"])
    def test_what_was_put_comes_back_exactly(self, store: Store, value: bytes) -> None:
        store.put("earth/field/9.266.181", value)
        assert store.get("earth/field/9.266.181") == value

    def test_a_second_value_replaces_the_first(self, store: Store) -> None:
        store.put("key", TEXT)
        store.put("key", b"second")
        assert store.get("key") == b"second"

    def test_keys_that_share_a_prefix_are_apart(self, store: Store) -> None:
        keys = ["a/b", "a/b.c", "a/bc", "a-b"]
        for key in keys:
            store.put(key, key.encode())
        assert [store.get(key) for key in keys] == [key.encode() for key in keys]

    def test_threads_read_whole_values_while_others_write(self, store: Store) -> None:
        values = [bytes([index]) * 20_000 for index in range(8)]

        def write_and_read(index: int) -> bytes | None:
            store.put(f"key{index % 3}", values[index % 8])
            return store.get(f"key{index % 3}")

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(write_and_read, range(200))) <= {*values, None}


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    def test_the_least_recently_used_entry_goes_first(self) -> None:
        store = MemoryStore(limit=3500)
        for key in "abc":
            store.put(key, bytes(900))
        assert store.get("a") is not None
        store.put("d", bytes(900))
        assert [key for key in "abcd" if store.get(key) is not None] == ["a", "c", "d"]
        assert store.size <= 3500

    def test_a_value_over_the_limit_is_not_kept_and_drives_nothing_out(self) -> None:
        store = MemoryStore(limit=2000)
        store.put("small", b"kept")
        store.put("large", bytes(5000))
        assert store.get("large") is None
        assert store.get("small") == b"kept"


class TestObjectStoreInMemory(StoreTests):
    @pytest.fixture
    def store(self) -> Store:
        return ObjectStore(ObstoreMemory())


class TestObjectStoreInADirectory(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ObjectStore(LocalStore(tmp_path))


class TestTieredStore(StoreTests):
    @pytest.fixture
    def store(self) -> Store:
        return TieredStore(MemoryStore(limit=30_000), ObjectStore(ObstoreMemory()))

    def test_what_memory_dropped_comes_from_below_and_is_kept_again(self) -> None:
        fast, lasting = MemoryStore(limit=1000), ObjectStore(ObstoreMemory())
        store = TieredStore(fast, lasting)
        store.put("first", b"1" * 600)
        store.put("second", b"2" * 600)
        assert fast.get("first") is None
        assert store.get("first") == b"1" * 600
        assert fast.get("first") == b"1" * 600


class TestOpenedOnADirectory(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(tmp_path / "made" / "on" / "demand", memory_bytes=0)

    def test_entries_outlive_the_store(self, tmp_path: Path) -> None:
        open_store(tmp_path).put("key", TEXT)
        assert open_store(tmp_path).get("key") == TEXT


@pytest.mark.parametrize("value", [TEXT, NOISE], ids=["compressible", "noise"])
def test_a_file_truncated_anywhere_reads_as_absent(tmp_path: Path, value: bytes) -> None:
    store = open_store(tmp_path, memory_bytes=0)
    store.put("key", value)
    whole = (tmp_path / "key").read_bytes()
    for length in [*range(40), len(whole) // 2, len(whole) - 1]:
        (tmp_path / "key").write_bytes(whole[:length])
        assert store.get("key") is None


def test_a_damaged_entry_is_absent_until_it_is_put_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(tmp_path, memory_bytes=0)
    store.put("key", NOISE)
    damaged = bytearray((tmp_path / "key").read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "key").write_bytes(damaged)
    assert store.get("key") is None
    assert "key is damaged" in caplog.text
    store.put("key", NOISE)
    assert store.get("key") == NOISE


def test_an_entry_moved_to_another_key_is_absent(tmp_path: Path) -> None:
    store = open_store(tmp_path, memory_bytes=0)
    store.put("mine", NOISE)
    (tmp_path / "mine").rename(tmp_path / "yours")
    assert store.get("yours") is None


def test_text_is_compressed_on_disk_and_noise_is_not_blown_up() -> None:
    assert len(encode_entry("key", TEXT)) < len(TEXT) / 10
    assert len(encode_entry("key", NOISE)) <= len(NOISE) + 32


@given(st.text(min_size=1), st.binary(max_size=300))
def test_any_value_survives_encoding(key: str, value: bytes) -> None:
    assert decode_entry(key, encode_entry(key, value)) == value


@given(st.binary(max_size=300))
def test_any_other_bytes_decode_to_none(entry: bytes) -> None:
    assert decode_entry("key", entry) is None
    assert decode_entry("key", encode_entry("key", b"value")[:5] + entry) is None


@given(st.binary(min_size=1, max_size=400), st.data())
def test_any_flipped_bit_decodes_to_none(value: bytes, data: st.DataObject) -> None:
    entry = bytearray(encode_entry("key", value))
    bit = data.draw(st.integers(0, 8 * len(entry) - 1))
    entry[bit // 8] ^= 1 << bit % 8
    assert decode_entry("key", bytes(entry)) is None


def test_a_directory_that_cannot_be_made_leaves_a_memory_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(tmp_path / "file" / "below")
    store.put("key", TEXT)
    assert store.get("key") == TEXT
    assert "going on with memory alone" in caplog.text


def test_a_backend_that_refuses_writes_is_logged_once_and_memory_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(tmp_path)
    (tmp_path / "earth").write_bytes(b"a file where a directory should be")
    with caplog.at_level(logging.WARNING):
        for index in range(5):
            store.put(f"earth/{index}", TEXT)
    assert [store.get(f"earth/{index}") for index in range(5)] == [TEXT] * 5
    assert caplog.text.count("going on with memory alone") == 1


FULL_DISK = """
import logging, random, resource, sys
from pathlib import Path
from terraloom_engines.store import open_store
logging.basicConfig(stream=sys.stdout)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store = open_store(Path(sys.argv[1]))
noise = random.Random(1).randbytes(5000)
store.put("large", noise)
store.put("larger", noise * 2)
assert store.get("large") == noise and store.get("larger") == noise * 2
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_disk_that_takes_no_more_leaves_no_entry_behind(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("going on with memory alone") == 1
    assert list(tmp_path.iterdir()) == []
