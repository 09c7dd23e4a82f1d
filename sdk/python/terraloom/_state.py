"""The hash of all that a client holds and draws, which both sides of a lockstep session compute."""

import hashlib
import struct
from collections.abc import Iterable

_ADDRESS = struct.Struct("<Iqq")


def state_hash(tiles: Iterable[tuple[int, int, int, bytes, bool]]) -> bytes:
    """BLAKE2b, 16 bytes, over tiles (z, x, y, content hash, whether it is drawn) in order of their addresses; see `StepComplete`."""
    digest = hashlib.blake2b(digest_size=16)
    for z, x, y, content, drawn in sorted(tiles):
        digest.update(_ADDRESS.pack(z, x, y) + content + (b"\1" if drawn else b"\0"))
    return digest.digest()
