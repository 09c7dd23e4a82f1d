"""Pictures of the realism report: what was made beside what is real, and pairs without labels for whoever wants to tell them apart."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Picture = NDArray[np.uint8]
"""(H, W) grey or (H, W, 3) colour."""
SIDE, GAP, TITLE = 192, 4, 14
LARGEST = 140_000
"""Bytes of a picture: history keeps every copy."""


def tile(picture: Picture) -> Image.Image:
    """The middle of a picture, `SIDE` pixels wide, its own pixels shown; smaller ones are enlarged by whole numbers, without smoothing."""
    rows, columns = picture.shape[:2]
    side = min(rows, columns, SIDE)
    top, left = (rows - side) // 2, (columns - side) // 2
    image = Image.fromarray(np.ascontiguousarray(picture[top : top + side, left : left + side])).convert("RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST) if side <= SIDE // 2 else image


def sheet(rows: dict[str, list[Picture]], titles: list[str]) -> Image.Image:
    """Rows of pictures with the name of each row and of each column."""
    size = (len(titles) * (SIDE + GAP) - GAP, len(rows) * (SIDE + TITLE + GAP))
    out = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(out)
    for i, (name, pictures) in enumerate(rows.items()):
        top = i * (SIDE + TITLE + GAP)
        for j, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
            left = j * (SIDE + GAP)
            draw.text((left + 1, top), f"{name}: {title}" if j == 0 else title, fill="black")
            out.paste(tile(picture), (left, top + TITLE))
    return out


def pairs(rows: dict[str, tuple[Picture, Picture]], seed: int) -> tuple[Image.Image, list[str]]:
    """Pairs of a real and a made picture in random order, numbered, and the key: which side is real, with the name of the place."""
    rng = np.random.default_rng(seed)
    order = [list(rows)[i] for i in rng.permutation(len(rows))]
    lines = -(-len(order) // 2)
    out = Image.new("RGB", (4 * (SIDE + GAP) + GAP, lines * (SIDE + TITLE + GAP)), "white")
    draw, key = ImageDraw.Draw(out), []
    for i, name in enumerate(order):
        real_first = bool(rng.integers(2))
        key.append(f"{i + 1}: {'left' if real_first else 'right'} ({name})")
        left, top = i % 2 * (2 * (SIDE + GAP) + GAP), i // 2 * (SIDE + TITLE + GAP)
        draw.text((left + 1, top), f"{i + 1}", fill="black")
        for j, picture in enumerate(rows[name] if real_first else rows[name][::-1]):
            out.paste(tile(picture), (left + j * (SIDE + GAP), top + TITLE))
    return out, key


def save(image: Image.Image, path: Path) -> None:
    """As JPEG, at the best quality that is small enough."""
    for quality in range(88, 30, -4):
        image.save(path, "JPEG", quality=quality, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
