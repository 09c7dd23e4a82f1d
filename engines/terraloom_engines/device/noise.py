"""`terraloom_engines.noise` on a device: the same hash in 32-bit integers, which wrap, and the same table."""

from torch import Tensor, stack

from terraloom_engines.noise import CHANNELS_PER_HASH, QUANTILES, STREAK_REACH, hash_key, word_shift

_MULTIPLIER, _INCREMENT = 1664525, 1013904223


def pcg4d(words: list[Tensor]) -> list[Tensor]:
    """Hash four int32 tensors of one shape into four, bit by bit as unsigned numbers are."""
    v = [word * _MULTIPLIER + _INCREMENT for word in words]
    for mixing in (True, False):
        v[0] = v[0] + v[1] * v[3]
        v[1] = v[1] + v[2] * v[0]
        v[2] = v[2] + v[0] * v[1]
        v[3] = v[3] + v[1] * v[2]
        if mixing:
            v = [word ^ ((word >> 16) & 0xFFFF) for word in v]
    return v


def gaussian_noise(places: Tensor, level: Tensor, stream: int, channels: int, table: Tensor) -> Tensor:
    """Standard normal numbers, float32 (channels, side, side), for a square of pixels.

    places int32 (4, side): low words of columns, their far words, low words of rows, their far words with the seed, as
    `column_words` and `row_words` have them; level: int32, of no dimension; table: `normal_quantiles`.
    """
    side = places.shape[-1]
    x, y = places[0].expand(side, side), places[2][:, None].expand(side, side)
    far, drawn = places[1] + places[3][:, None], []
    for group in range(0, channels, CHANNELS_PER_HASH):
        words = pcg4d([x, y, (level + hash_key(0, stream, group)).expand(side, side), far])
        for channel in range(group, min(group + CHANNELS_PER_HASH, channels)):
            drawn.append(table[(words[channel % 4] >> word_shift(channel)) & (QUANTILES - 1)])
    return stack(drawn)


def without_streaks(noise: Tensor, taken: Tensor, scale: Tensor) -> Tensor:
    """Noise (C, side, side) with less of what is alike along rows and columns, (C, side - 4, side - 4), by `noise.streak_weights`."""
    side, steps = noise.shape[-1] - 2 * STREAK_REACH, range(2 * STREAK_REACH + 1)
    inner = slice(STREAK_REACH, STREAK_REACH + side)
    parts = [noise[:, inner, step : step + side] for step in steps] + [noise[:, step : step + side, inner] for step in steps]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total = total + part
    return (total * -taken + noise[:, inner, inner]) * scale
