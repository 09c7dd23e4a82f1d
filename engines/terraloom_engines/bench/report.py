"""The report of a machine: measured, as a page of text, and beside another's."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from terraloom.errors import InvalidArgumentError
from terraloom_engines.bench.ceilings import Ceilings, cpu_ceilings
from terraloom_engines.bench.envelope import SHARE, demands
from terraloom_engines.bench.generation import PLACE, Effort, generation
from terraloom_engines.bench.machine import machine_facts
from terraloom_engines.bench.stages import stage_figures
from terraloom_engines.bundle import Bundle
from terraloom_engines.networks import Networks
from terraloom_engines.tiling import ground_sample_distance

Report = dict[str, Any]
FORMAT = 1
LEVELS = (6, 8, 10, 12, 14, 16, 18)
"""Of which the cost of a square kilometre is told."""
ON_GPU = ("tensorrt", "onnx-cuda")
"""What names of runtimes begin with that compute on a GPU whatever they are given."""


def measure(bundle: Bundle, networks: Networks, threads: int, effort: Effort, tell: Callable[[str], object]) -> Report:
    """All figures of this machine on one runtime; `tell` hears what is being measured."""
    tell("ceilings: a large matrix product and a large copy")
    ceilings = _ceilings(networks.runtime_identity, threads, effort.repeats)
    tell("networks")
    stages = stage_figures(bundle, networks, effort.repeats)
    tell("tiles: the first ones, a strip, an area")
    made = generation(bundle, networks, effort)
    tell("what flights ask for")
    flights = [
        asdict(need) | {"speed": SHARE * made.steps_per_s / need.tiles_per_metre if need.tiles_per_metre else float("nan")}
        for need in demands(4, PLACE)
    ]
    return {
        "format": FORMAT, "machine": machine_facts(), "runtime": networks.runtime_identity, "threads": threads, "effort": asdict(effort),
        "refused": {refusal.runtime: refusal.reason for refusal in networks.refused}, "ceilings": asdict(ceilings),
        "stages": {
            name: asdict(figures) | {"share_of_ceiling": figures.gflops / ceilings.gflops} for name, figures in stages.items()
        },
        "tiles": asdict(made), "ms_per_km2": {str(level): _cost(level, made.area_us_per_pixel) for level in LEVELS}, "flights": flights,
    }  # fmt: skip


def _ceilings(identity: str, threads: int, repeats: int) -> Ceilings:
    if not identity.startswith(ON_GPU):
        return cpu_ceilings(threads, repeats)
    try:
        from terraloom_engines.bench.torch_ceilings import gpu_ceilings

        return gpu_ceilings(repeats)
    except (ImportError, RuntimeError, AssertionError) as error:
        return Ceilings(float("nan"), float("nan"), f"nothing: {error}")


def _cost(level: int, us_per_pixel: float) -> float:
    """Milliseconds for a square kilometre of a level at `PLACE`."""
    return us_per_pixel * (1000 / ground_sample_distance(level, PLACE[1])) ** 2 / 1000


def page(report: Report) -> str:
    """The report for people."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    machine, tiles, ceilings = report["machine"], report["tiles"], report["ceilings"]
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, load {machine['load']}; GPU: {machine['gpu']}"
    yield f"runtime {report['runtime']} on {report['threads']} threads, terraloom {machine['terraloom']}, {machine['system']}"
    for name, reason in report["refused"].items():
        yield f"  not {name}: {reason}"
    yield ""
    yield f"ceilings ({ceilings['measured_by']}): {ceilings['gflops']:,.0f} GFLOP/s, {ceilings['gbytes']:,.1f} GB/s copied"
    for name, stage in report["stages"].items():
        share = f"{stage['share_of_ceiling']:.0%} of the ceiling" if math.isfinite(stage["share_of_ceiling"]) else "ceiling not measured"
        yield f"{name:9} {stage['ms']:8.2f} ms a tile {stage['us_per_pixel']:7.3f} us/pixel {stage['gflops']:9,.0f} GFLOP/s, {share}"
    yield ""
    first = ", ".join(f"level {level} {seconds:.2f} s" for level, seconds in tiles["first_tile_s"].items())
    yield f"first tile, nothing generated before (TTFT): {first}"
    yield f"next tile along a strip (TTST): {tiles['next_tile_s']:.2f} s; mesh and texture of a tile {tiles['glb_ms']:.1f} ms"
    yield f"all in all, per pixel: strip {tiles['strip_us_per_pixel']:.2f} us, area {tiles['area_us_per_pixel']:.2f} us"
    yield f"tiles made, meshed and encoded: {tiles['steps_per_s']:.1f} a second"
    cost = ", ".join(f"{level}: {_short(value)}" for level, value in report["ms_per_km2"].items())
    yield f"milliseconds for a square kilometre at {PLACE[1]} degrees, by level: {cost}"
    yield ""
    yield "this machine keeps up with, over flat land, 60 degrees of view and 1080 lines:"
    for flight in report["flights"]:
        yield "  " + _envelope_line(flight)


def _envelope_line(flight: dict[str, float]) -> str:
    where = f"{flight['height']:6,.0f} m above ground, error of {flight['target_pixels']:2.0f} pixels"
    if not math.isfinite(flight["speed"]):
        return f"{where}: more tiles than a session may ask for"
    return f"{where}: {_short(flight['speed']):>6} m/s at {_short(flight['metres_per_pixel'])} m/px ({flight['tiles']} tiles)"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


COMPARED: dict[str, Callable[[Report], float]] = {
    "matrix product, GFLOP/s": lambda r: r["ceilings"]["gflops"],
    "copy, GB/s": lambda r: r["ceilings"]["gbytes"],
    "geometry, us/pixel": lambda r: r["stages"]["geometry"]["us_per_pixel"],
    "imagery, us/pixel": lambda r: r["stages"]["imagery"]["us_per_pixel"],
    "first tile of the finest, s": lambda r: list(r["tiles"]["first_tile_s"].values())[-1],
    "next tile, s": lambda r: r["tiles"]["next_tile_s"],
    "strip, us/pixel": lambda r: r["tiles"]["strip_us_per_pixel"],
    "area, us/pixel": lambda r: r["tiles"]["area_us_per_pixel"],
    "mesh and texture, ms": lambda r: r["tiles"]["glb_ms"],
    "tiles a second": lambda r: r["tiles"]["steps_per_s"],
}


def comparison(first: Report, second: Report) -> str:
    """Two reports, as read from JSON, side by side. Raises InvalidArgumentError for something that is no report."""
    lines = [f"A: {_who(first)}", f"B: {_who(second)}", f"{'':28} {'A':>10} {'B':>10} {'B / A':>7}"]
    for name, figure in COMPARED.items():
        try:
            a, b = (float(figure(report)) if figure(report) is not None else float("nan") for report in (first, second))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgumentError(f"not a report of terraloom bench: it has no {name!r}") from error
        lines.append(f"{name:28} {_short(a):>10} {_short(b):>10} {b / a:7.2f}")
    return "\n".join(lines)


def _who(report: Report) -> str:
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InvalidArgumentError(f"not a report of terraloom bench of format {FORMAT}")
    return f"{report['runtime']}, {report['machine']['processor']}, {report['machine']['cores']} cores, GPU {report['machine']['gpu']}"
