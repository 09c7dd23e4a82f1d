"""Fields as bytes: lossless for all integers, compact, and safe against bytes that are none."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom.errors import DataLossError
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.field_codec import decode_field, encode_field
from terraloom_engines.tiling import TILE_SIZE, TileId

TILE = TileId(9, 266, 181)
INT32 = np.iinfo(np.int32)


def random_field(seed: int, halo: int, low: int, high: int) -> Field:
    side = TILE_SIZE + 2 * halo
    data = np.random.default_rng(seed).integers(low, high, (len(CHANNELS), side, side), dtype=np.int32, endpoint=True)
    return Field(TILE, halo, data)


@pytest.mark.parametrize("halo", [0, 3, 48])
@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 255), (-20_000, 20_000), (INT32.min, INT32.max)])
def test_any_integers_survive(halo: int, low: int, high: int) -> None:
    field = random_field(1, halo, low, high)
    decoded = decode_field(encode_field(field), TILE)
    assert (decoded.tile, decoded.halo) == (TILE, halo)
    assert np.array_equal(decoded.data, field.data)


def test_channels_are_packed_one_by_one() -> None:
    field = random_field(2, 0, -100, 100)
    narrow = len(encode_field(field))
    field.data[0] *= 100_000
    wide = len(encode_field(field))
    assert narrow < wide < narrow + 4 * TILE_SIZE**2


def test_smooth_fields_take_under_a_byte_a_value() -> None:
    rows, columns = np.mgrid[0:352, 0:352]
    slope = (64 * 300 * np.sin(rows / 40) * np.cos(columns / 30)).astype(np.int32)
    field = Field(TILE, 48, np.repeat(slope[None], len(CHANNELS), axis=0))
    assert len(encode_field(field)) < field.data.size


@pytest.mark.parametrize("length", [0, 5, 12, 13, 40, 1000])
def test_truncated_bytes_are_data_loss(length: int) -> None:
    with pytest.raises(DataLossError, match="9/266/181"):
        decode_field(encode_field(random_field(3, 0, 0, 255))[:length], TILE)


def test_another_version_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="unknown header"):
        decode_field(b"TLF9" + encode_field(random_field(3, 0, 0, 255))[4:], TILE)


@given(st.binary(max_size=200))
def test_other_bytes_are_data_loss(data: bytes) -> None:
    with pytest.raises(DataLossError):
        decode_field(data, TILE)


@settings(max_examples=50)
@given(st.integers(4, 12), st.integers(0, 255))
def test_a_header_changed_by_accident_gives_a_field_or_data_loss(index: int, value: int) -> None:
    data = bytearray(encode_field(Field(TILE, 0, np.zeros((len(CHANNELS), TILE_SIZE, TILE_SIZE), np.int32))))
    data[index] = value
    with contextlib.suppress(DataLossError):
        assert decode_field(bytes(data), TILE).tile == TILE
