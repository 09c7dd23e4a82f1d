"""The client's decoder of EXT_meshopt_compression against meshoptimizer's own encoder and against the specification's example."""

import contextlib

import meshopt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom._meshopt import decode_attributes, decode_octahedral, decode_triangles, decode_view
from terraloom.errors import UnimplementedError

COUNTS = (1, 15, 16, 17, 255, 256, 257, 700)


def rows(count: int, stride: int, step: int) -> np.ndarray:
    """Random walks of bytes; with a `step` of 0 constant, with one of 128 white noise."""
    walk = np.random.default_rng(count * stride + step).integers(-step, step + 1, (count, stride))
    return (17 + np.cumsum(walk, axis=0)).astype(np.uint8)


@pytest.mark.parametrize("step", [0, 1, 3, 7, 128])
@pytest.mark.parametrize("stride", [4, 8, 12, 64, 256])
def test_attributes_come_back_as_they_were(stride: int, step: int) -> None:
    for count in COUNTS:
        given_rows = rows(count, stride, step)
        encoded = meshopt.encode_gltf_buffer(given_rows, "ATTRIBUTES")
        assert np.array_equal(decode_attributes(encoded, count, stride), given_rows)


def test_the_example_of_the_specification_is_read_as_it_says() -> None:
    """Sixteen deltas in 4 bits, two of which are spelt out, for the first of four bytes; the others do not change."""
    packed = bytes.fromhex("175ff0bc77a9210034b5")
    stream = b"\xa0" + b"\x02" + packed + b"\x00" * 3 + b"\x00" * 28 + bytes([10, 20, 30, 40])
    deltas = [-1, -4, -3, 26, -91, 0, -6, 6, -4, -4, 5, -5, 1, -1, 0, 0]
    decoded = decode_attributes(stream, 16, 4)
    assert np.array_equal(decoded[:, 0], (10 + np.cumsum(deltas)) % 256)
    assert (decoded[:, 1:] == (20, 30, 40)).all()


@given(st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=1, max_size=60), st.sampled_from([1, 997, 90_000_000]))
def test_triangles_come_back_turned_at_most(triangles: list[tuple[int, int, int]], spread: int) -> None:
    indices = np.array(triangles, np.uint32) * np.uint32(spread)
    encoded = meshopt.encode_gltf_buffer(indices, "TRIANGLES")
    decoded = decode_triangles(encoded, indices.size)
    assert np.array_equal(decoded, meshopt.decode_gltf_buffer(encoded, indices.size, 4, "TRIANGLES").ravel())
    turned = np.stack([np.roll(indices, turn, axis=1) for turn in range(3)])
    assert (turned == decoded.reshape(-1, 3)).all(axis=2).any(axis=0).all()


@pytest.mark.parametrize(("stride", "bits"), [(4, 8), (4, 5), (8, 10), (8, 16)])
def test_octahedral_vectors_come_back_within_one_unit_in_the_last_place(stride: int, bits: int) -> None:
    vectors = np.random.default_rng(5).normal(size=(500, 4)).astype(np.float32)
    vectors[:, :3] /= np.linalg.norm(vectors[:, :3], axis=1, keepdims=True)
    encoded = meshopt.encode_filter_oct(vectors * [1, 1, 1, 0], stride, bits)
    kind = f"<i{stride // 4}"
    expected = meshopt.decode_gltf_buffer(meshopt.encode_gltf_buffer(encoded, "ATTRIBUTES"), 500, stride, "ATTRIBUTES", "OCTAHEDRAL").view(
        kind
    )
    decoded = decode_octahedral(encoded.view(kind))
    assert np.abs(decoded.astype(int) - expected).max() <= 1
    assert np.array_equal(decoded[:, 3], encoded.view(kind)[:, 3])


@pytest.mark.parametrize(
    "other",
    [
        {"mode": "INDICES", "byteStride": 2},
        {"mode": "ATTRIBUTES", "byteStride": 8, "filter": "QUATERNION"},
        {"mode": "ATTRIBUTES", "byteStride": 4, "filter": "EXPONENTIAL"},
        {"mode": "ATTRIBUTES", "byteStride": 12, "filter": "OCTAHEDRAL"},
        {"mode": "TRIANGLES", "byteStride": 1},
    ],
)
def test_what_no_tile_uses_is_refused_by_name(other: dict[str, object]) -> None:
    with pytest.raises(UnimplementedError, match=str(other.get("filter", other["mode"]))):
        decode_view(bytes(64), {"count": 3, **other})


def test_more_elements_than_the_bytes_can_hold_are_refused_before_any_work() -> None:
    encoded = meshopt.encode_gltf_buffer(rows(64, 4, 3), "ATTRIBUTES")
    with pytest.raises(ValueError, match="are not 1000000000 attributes"):
        decode_attributes(encoded, 10**9, 4)
    with pytest.raises(ValueError, match="are not 1000000000 triangles"):
        decode_triangles(meshopt.encode_gltf_buffer(np.arange(9, dtype=np.uint32), "TRIANGLES"), 3 * 10**9)


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 40), st.booleans())
def test_damaged_bytes_are_read_or_refused_but_never_crash(position: int, change: int, cut: int, of_triangles: bool) -> None:
    source = np.arange(300, dtype=np.uint32) if of_triangles else rows(100, 8, 3)
    data = bytearray(meshopt.encode_gltf_buffer(source, "TRIANGLES" if of_triangles else "ATTRIBUTES"))
    data[position % len(data)] ^= change
    damaged = bytes(data[: len(data) - cut])
    with contextlib.suppress(ValueError, IndexError):
        if of_triangles:
            decode_triangles(damaged, 300)
        else:
            decode_attributes(damaged, 100, 8)
