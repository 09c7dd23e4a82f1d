"""The report as a picture: where a pixel's time goes, and how fast one may fly."""

import math
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN = 1280, 640, 40
INK, PAPER, GRID = "#1b2430", "#ffffff", "#d9dee5"
COLOURS = ("#2f6fdf", "#e5803a", "#8a94a3")
SPEEDS = (10.0, 1e4)
"""Metres per second at the ends of the axis."""


def draw(report: dict[str, Any]) -> Image.Image:
    """One page, 1280 x 640."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(picture)
    machine = report["machine"]
    pen.text((MARGIN, 20), f"{report['runtime']}, {report['threads']} threads: {machine['processor']}", fill=INK, font=_font(22))
    _time(pen, report)
    _speed(pen, report)
    return picture


def _time(pen: ImageDraw.ImageDraw, report: dict[str, Any]) -> None:
    """Left: microseconds per pixel of a network's call, of a strip and of an area."""
    parts = {name: float(stage["us_per_pixel"]) for name, stage in report["stages"].items()}
    both = sum(parts.values())
    rows = {"one call of both": list(parts.values())}
    for name in ("area", "strip"):
        whole = float(report["tiles"][f"{name}_us_per_pixel"])
        scale = min(1.0, whole / both) if both else 0.0
        rows[name] = [part * scale for part in parts.values()] + [max(whole - both, 0.0)]
    longest, top = max(sum(row) for row in rows.values()), 100
    pen.text((MARGIN, 64), "microseconds per pixel", fill=INK, font=_font(18))
    for label, row in rows.items():
        left = float(MARGIN)
        pen.text((left, top), f"{label}: {sum(row):.2f}", fill=INK, font=_font(16))
        for colour, value in zip(COLOURS, row, strict=False):
            width = 500 * value / longest
            pen.rectangle((left, top + 24, left + width, top + 56), fill=colour)
            left += width
        top += 84
    for x, colour, label in zip((MARGIN, 180, 320), COLOURS, (*parts, "all else, ancestors and halos"), strict=True):
        pen.rectangle((x, top + 4, x + 16, top + 20), fill=colour)
        pen.text((x + 22, top + 2), label, fill=INK, font=_font(16))
    for name, stage in report["stages"].items():
        top += 34
        share = float(stage["share_of_ceiling"])
        text = f"{share:.0%} of a large matrix product" if math.isfinite(share) else "ceiling not measured"
        pen.text((MARGIN, top + 4), f"{name}: {stage['gflops']:,.0f} GFLOP/s, {text}", fill=INK, font=_font(16))


def _speed(pen: ImageDraw.ImageDraw, report: dict[str, Any]) -> None:
    """Right: metres per second that the machine keeps up with, by height and target."""
    left, right, top = 700, WIDTH - MARGIN, 100
    span = math.log10(SPEEDS[1] / SPEEDS[0])

    def place(speed: float) -> float:
        return left + (right - left) * min(max(math.log10(speed / SPEEDS[0]) / span, 0.0), 1.0)

    pen.text((left, 64), "keeps up with, m/s (error in pixels, finest m/px)", fill=INK, font=_font(18))
    for speed in (10, 100, 1000, 10000):
        pen.line((place(speed), top, place(speed), HEIGHT - 60), fill=GRID, width=2)
        pen.text((place(speed), HEIGHT - 50), f"{speed:,}", fill=INK, font=_font(14), anchor="mt")
    rows: dict[float, list[dict[str, Any]]] = {}
    for flight in report["flights"]:
        rows.setdefault(flight["height"], []).append(flight)
    for height, flights in rows.items():
        pen.text((left, top), f"{height:,.0f} m above ground", fill=INK, font=_font(15))
        top += 22
        for colour, flight in zip(COLOURS, flights, strict=False):
            if math.isfinite(flight["speed"]):
                pen.rectangle((left, top, max(place(flight["speed"]), left + 2), top + 20), fill=colour)
                text = f"{flight['target_pixels']:.0f} px, {flight['metres_per_pixel']:.2g} m: {flight['speed']:,.0f}"
                pen.text((left + 6, top + 2), text, fill=PAPER if place(flight["speed"]) > left + 160 else INK, font=_font(14))
            top += 25
        top += 14


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
