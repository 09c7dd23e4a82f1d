"""Decoder of EXT_meshopt_compression (ratified by Khronos) in numpy: attributes of version 0, triangles, the octahedral filter.

What tiles do not use (index sequences, the other filters) is refused by name. Where a group of deltas starts depends on those before it, so
only that is found in a loop; the deltas themselves are unpacked for all groups at once.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import UnimplementedError

ATTRIBUTES_HEADER, TRIANGLES_HEADER = 0xA0, 0xE1
GROUP = 16
"""Elements whose deltas of one byte are packed together."""
ATTRIBUTES_TAIL, TRIANGLES_TAIL = 32, 16
"""Bytes after the last block: at least these, the first element at their end; and the table of common triangles."""
MODES = [tuple(code >> shift & 3 for shift in (0, 2, 4, 6)) for code in range(256)]
"""Packing of four groups, by their byte of the header."""
ESCAPES = {
    bits: np.array([sum(code >> at & (1 << bits) - 1 == (1 << bits) - 1 for at in range(0, 8, bits)) for code in range(256)])
    for bits in (2, 4)
}
"""Deltas in a byte of 2 or 4 bit deltas that say: a whole byte follows."""

Bytes = NDArray[np.uint8]


def decode_view(data: bytes, extension: dict[str, Any]) -> bytes:
    """Bytes of a buffer view from compressed `data` and the view's extension object.

    Raises ValueError or IndexError for broken data, UnimplementedError for a mode or filter that no tile uses.
    """
    count, stride = extension["count"], extension["byteStride"]
    mode, kind = extension["mode"], extension.get("filter", "NONE")
    if mode == "TRIANGLES" and kind == "NONE" and stride in (2, 4):
        return decode_triangles(data, count).astype(f"<u{stride}").tobytes()
    if mode == "ATTRIBUTES" and kind == "NONE":
        return decode_attributes(data, count, stride).tobytes()
    if mode == "ATTRIBUTES" and kind == "OCTAHEDRAL" and stride in (4, 8):
        encoded = decode_attributes(data, count, stride).view(f"<i{stride // 4}")
        return decode_octahedral(encoded).tobytes()
    raise UnimplementedError(f"mode {mode}, filter {kind}, stride {stride} of EXT_meshopt_compression is not read here")


def decode_attributes(data: bytes, count: int, stride: int) -> Bytes:
    """Elements of `stride` bytes, shape (count, stride): sums of byte-wise deltas from the element in the tail on."""
    tail = max(ATTRIBUTES_TAIL, stride)
    if count < 1 or stride % 4 or not 4 <= stride <= 256 or data[0] != ATTRIBUTES_HEADER or count * stride > 64 * len(data):
        raise ValueError(f"{len(data)} bytes with header {data[:1].hex()} are not {count} attributes of {stride} bytes")
    block = min(8192 // stride // GROUP * GROUP, 256)
    modes, starts, end = _groups(data, count, stride, block)
    if end != len(data) - tail:
        raise ValueError(f"attributes end at byte {end} of {len(data)}, {tail} of which are the tail")
    deltas = _unpacked(np.frombuffer(data, np.uint8), np.array(modes, np.uint8), np.array(starts))
    whole = count // block * block * stride // GROUP
    parts = (deltas[:whole].reshape(-1, stride, block).transpose(1, 0, 2), deltas[whole:].reshape(stride, -1))
    along = np.concatenate([part.reshape(stride, -1) for part in parts], axis=1)[:, :count]
    along[:, 0] += np.frombuffer(data, np.uint8, stride, len(data) - stride)
    return np.ascontiguousarray(np.cumsum(along, axis=1, dtype=np.uint8).T)


def _groups(data: bytes, count: int, stride: int, block: int) -> tuple[list[int], list[int], int]:
    """Packing and first byte of every group (block by block, in it byte by byte), and where the last one ends."""
    stream = np.frombuffer(data, np.uint8)
    sizes = [bytes(len(data)), _packed_sizes(stream, 2), _packed_sizes(stream, 4), bytes([GROUP]) * len(data)]
    modes: list[int] = []
    starts: list[int] = []
    position = 1
    for first in range(0, count, block):
        groups = -(-min(block, count - first) // GROUP)
        length = -(-groups // 4)
        for _ in range(stride):
            codes = [mode for code in data[position : position + length] for mode in MODES[code]][:groups]
            position += length
            modes += codes
            for mode in codes:
                starts.append(position)
                position += sizes[mode][position]
    return modes, starts, position


def _packed_sizes(stream: Bytes, bits: int) -> bytes:
    """Bytes that a group of `bits` bit deltas would take if it started at each byte of the stream."""
    width = 2 * bits
    escapes = np.concatenate([[0], np.cumsum(ESCAPES[bits][stream]), np.zeros(width, np.int64)])
    escapes[len(stream) + 1 :] = escapes[len(stream)]
    sizes = width + escapes[width : width + len(stream)] - escapes[: len(stream)]
    return sizes.astype(np.uint8).tobytes()


def _unpacked(stream: Bytes, modes: Bytes, starts: NDArray[np.int64]) -> Bytes:
    """Deltas of all groups, shape (groups, 16)."""
    deltas = np.zeros((len(modes), GROUP), np.uint8)
    for mode, bits in ((1, 2), (2, 4)):
        chosen = np.flatnonzero(modes == mode)
        width, ones = 2 * bits, (1 << bits) - 1
        packed = stream[starts[chosen, None] + np.arange(width)]
        fields = (packed[:, :, None] >> np.arange(8 - bits, -1, -bits, dtype=np.uint8) & ones).reshape(-1, GROUP)
        escaped = fields == ones
        follows = starts[chosen, None] + width - 1 + np.cumsum(escaped, axis=1)
        fields[escaped] = stream[follows[escaped]]
        deltas[chosen] = fields
    chosen = np.flatnonzero(modes == 3)
    deltas[chosen] = stream[starts[chosen, None] + np.arange(GROUP)]
    return np.where(deltas & 1, ~(deltas >> 1), deltas >> 1)


@lru_cache(maxsize=8)
def decode_triangles(data: bytes, count: int) -> NDArray[np.uint32]:
    """Indices of triangles, shape (count,), read-only. All tiles with as many segments have the same ones, so that they are remembered."""
    codes, table, end = data[1 : 1 + count // 3], data[-TRIANGLES_TAIL:], len(data) - TRIANGLES_TAIL
    if data[0] != TRIANGLES_HEADER or count % 3 or 3 * len(codes) != count:
        raise ValueError(f"{len(data)} bytes with header {data[:1].hex()} are not {count // 3} triangles")
    reader = _TriangleReader(data, 1 + len(codes))
    indices = np.array([index for code in codes for index in reader.triangle(code, table)], np.uint32)
    if reader.position != end:
        raise ValueError(f"triangles end at byte {reader.position}, not {end}")
    indices.flags.writeable = False
    return indices


class _TriangleReader:
    """State between triangles: what was seen last, newest at the end. `position` is the next byte beside the codes."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.next = 0
        self.last = 0
        self.edges: list[tuple[int, int]] = []
        self.vertices: list[int] = []

    def triangle(self, code: int, table: bytes) -> tuple[int, int, int]:
        """The triangle that one code byte, the table and perhaps bytes beside the codes stand for."""
        if code < 0xF0:
            a, b = self.edges[-1 - (code >> 4)]
            c = self._third(code & 15)
            self.edges += [(c, b), (a, c)]
            return a, b, c
        rest = table[code & 15] if code < 0xFE else self._byte()
        if code >= 0xFE and rest == 0:
            self.next = 0
        a = self._explicit() if code == 0xFF else self._fresh()
        b, c = self._vertex(rest >> 4), self._vertex(rest & 15)
        self.vertices += [a, *(vertex for vertex, how in ((b, rest >> 4), (c, rest & 15)) if how in (0, 15))]
        self.edges += [(b, a), (c, b), (a, c)]
        return a, b, c

    def _third(self, how: int) -> int:
        """The vertex opposite a known edge."""
        if 0 < how < 13:
            return self.vertices[-1 - how]
        if how in (13, 14):
            self.last = (self.last + (1 if how == 14 else -1)) & 0xFFFFFFFF
        c = self.last if how in (13, 14) else self._vertex(how)
        self.vertices.append(c)
        return c

    def _vertex(self, how: int) -> int:
        """The next new vertex (0), one that is spelt out (15) or the `how`-th last of the others."""
        if how == 15:
            return self._explicit()
        return self.vertices[-how] if how else self._fresh()

    def _fresh(self) -> int:
        self.next += 1
        return self.next - 1

    def _explicit(self) -> int:
        """A vertex by its distance from the last one spelt out: zigzag in LEB128."""
        value, shift, more = 0, 0, True
        while more:
            if shift > 28:
                raise ValueError("a vertex takes more than 32 bits")
            byte = self._byte()
            value, shift, more = value | (byte & 0x7F) << shift, shift + 7, byte > 0x7F
        self.last = (self.last + (~(value >> 1) if value & 1 else value >> 1)) & 0xFFFFFFFF
        return self.last

    def _byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]


def decode_octahedral(encoded: NDArray[Any]) -> NDArray[Any]:
    """Unit vectors (n, 4) as normalised integers of the same type; the fourth component is passed through.

    `encoded` has x and y of the octahedron's net, and what stands for 1 in both.
    """
    one = encoded[:, 2].astype(np.float32)
    if not (one > 0).all():
        raise ValueError("an octahedral vector without the size of its net")
    x, y = encoded[:, 0] / one, encoded[:, 1] / one
    z = np.float32(1) - np.abs(x) - np.abs(y)
    fold = np.minimum(z, np.float32(0))
    vectors = np.stack([x - np.copysign(fold, x), y - np.copysign(fold, y), z], axis=1)
    largest = np.float32(np.iinfo(encoded.dtype).max)
    decoded = encoded.copy()
    decoded[:, :3] = np.rint(vectors * (largest / np.linalg.norm(vectors, axis=1, keepdims=True)))
    return decoded
