"""3TZ 1.3: a tileset as one ZIP archive whose files are stored as they are, with an index of their places at its end (Maxar, 3tz)."""

import hashlib
import struct
import zipfile
from pathlib import Path

__all__ = ["INDEX", "write_3tz"]

INDEX = "@3dtilesIndex1@"
"""Name of the index: sorted entries of MD5 of the path (16 bytes) and offset of the local header (8 bytes, little-endian)."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of all entries: equal tilesets make equal archives."""


def write_3tz(folder: Path, file: Path) -> None:
    """Packs `folder`, its tileset.json first."""
    partial = file.with_name(file.name + ".packing")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".json", ".glb"))
    paths.sort(key=lambda path: path.name != "tileset.json")
    offsets: dict[str, int] = {}
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in paths:
            name = path.relative_to(folder).as_posix()
            entry = zipfile.ZipInfo(name, EPOCH)
            archive.writestr(entry, path.read_bytes())
            offsets[name] = entry.header_offset
        archive.writestr(zipfile.ZipInfo(INDEX, EPOCH), _index(offsets))
    partial.replace(file)


def _index(offsets: dict[str, int]) -> bytes:
    """Hashes are ordered as pairs of little-endian numbers of 64 bits."""
    entries = [(hashlib.md5(name.encode(), usedforsecurity=False).digest(), offset) for name, offset in offsets.items()]
    entries.sort(key=lambda entry: struct.unpack("<QQ", entry[0]))
    return b"".join(digest + struct.pack("<Q", offset) for digest, offset in entries)
