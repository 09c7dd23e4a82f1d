"""`terraloom engines`: what runs the networks: build and list plans, compare runtimes with the reference, time them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from terraloom.errors import InvalidArgumentError, TerraloomError, UnavailableError
from terraloom_engines.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from terraloom_engines.bundle import Bundle
    from terraloom_engines.networks import Networks

group = typer.Typer(help="What runs the networks: plans of TensorRT, differences between runtimes, speed.", no_args_is_help=True)
T = TypeVar("T")
Runtimes = Annotated[
    list[str] | None, typer.Option("--runtime", help="NAME or NAME:PRECISION, several times if wanted; default: all that work here")
]
Threads = Annotated[int, typer.Option(min=1, help="cores that a runtime may use")]


@group.command()
def build(
    runtime: Annotated[str, typer.Option(help="tensorrt-rtx or tensorrt, or NAME:PRECISION")] = "tensorrt-rtx",
    target: Annotated[
        list[str] | None, typer.Option(help="architecture, several times if wanted; default: current, the GPU of this machine")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="windows at a time")] = 1,
    as_json: AsJson = False,
) -> None:
    """Build plans ahead of time, for tensorrt-rtx on any machine; those that are there and sound are kept."""
    import time

    from terraloom_engines.runtimes.catalogue import parse
    from terraloom_engines.runtimes.cuda import devices
    from terraloom_engines.runtimes.plans import PlanCache
    from terraloom_engines.runtimes.tensorrt_plans import CURRENT, LIBRARIES, Library, PlanOrder, check_target, obtain_plan
    from terraloom_engines.world import networks_bundle

    choice = parse(runtime)
    library_name = next((name for name in LIBRARIES if name == choice.name), None)
    if library_name is None:
        raise InvalidArgumentError(f"runtime {choice.name} has no plans: allowed are {', '.join(LIBRARIES)}", field="runtime")
    targets = [check_target(library_name, name) for name in target or [CURRENT]]
    library, bundle = _asked_for(str(choice), lambda: Library.open(library_name)), networks_bundle()
    place = _asked_for(str(choice), lambda: devices()[0].name) if CURRENT in targets else ""
    facts = []
    for name in targets:
        for network, side in _sides(bundle).items():
            start = time.perf_counter()
            plan = obtain_plan(library, PlanCache(), bundle.model(network), PlanOrder(name, choice.precision, side, batch, place))
            seconds = time.perf_counter() - start
            facts.append({"network": network, "target": name, "precision": choice.precision, "state": plan.state, "path": plan.path})
            facts[-1] |= {"bytes": len(plan.content), "digest": plan.digest, "seconds": round(seconds, 2)}
            if not as_json:
                print(f"{name} {choice.precision} {network}: {plan.state}, {len(plan.content) / 1e6:.1f} MB, {seconds:.1f} s, {plan.path}")
    if as_json:
        print_json(facts)


@group.command(name="list")
def list_plans(as_json: AsJson = False) -> None:
    """List the plans that are kept, and whether each is what was built."""
    from terraloom_engines.runtimes.plans import PlanCache

    cache = PlanCache()
    notes = cache.notes()
    if as_json:
        print_json(notes)
        return
    for note in notes:
        key = note["key"]
        size, state = f"{note['bytes'] / 1e6:.1f} MB", "sound" if note["sound"] else "damaged: it will be rebuilt"
        shape = f"{key['side']} px x {key['batch']}"
        print(f"{key['library']} {key['version']} {key['target']} {key['precision']} {shape}: {size}, {state}, {note['path']}")
    if not notes:
        print(f"no plans in {cache.folder}; build some with terraloom engines build")


@group.command()
def verify(
    runtime: Runtimes = None,
    level: Annotated[list[int] | None, typer.Option(min=5, max=18, help="several times if wanted; default: 6, 9, 12, 15")] = None,
    threads: Threads = 2,
    as_json: AsJson = False,
) -> None:
    """Compare runtimes with onnx-cpu on what the cascade feeds them: error of the networks, stored integers that change, per level."""
    from terraloom_engines.bundle.earth import EarthBase
    from terraloom_engines.networks import open_networks
    from terraloom_engines.verification import verify as compare
    from terraloom_engines.world import networks_bundle

    bundle = networks_bundle()
    reference, base, facts = open_networks(bundle, "onnx-cpu", threads), EarthBase(bundle.folder), []
    for name, networks in _opened(bundle, runtime, threads):
        if name == "onnx-cpu" and not runtime:
            continue
        if not as_json:
            print(f"{networks.runtime_identity} against {reference.runtime_identity}")
        for found in compare(base, reference, networks, sorted(level or (6, 9, 12, 15))):
            facts.append({"runtime": networks.runtime_identity, "reference": reference.runtime_identity} | asdict(found))
            if not as_json:
                print(f"  level {found.level:2}: {_differences(found.relative_error, found.changed, found.largest)}")
    if as_json:
        print_json(facts)
    elif not facts:
        print("no other runtime than onnx-cpu works here; terraloom doctor says why")


def _differences(error: dict[str, float], changed: dict[str, float], largest: dict[str, int]) -> str:
    errors = ", ".join(f"{name} {value:.1e}" for name, value in error.items())
    shares = ", ".join(f"{name} {share:.2%} (by {largest[name]} at most)" for name, share in changed.items() if share)
    return f"relative error {errors}; changed integers: {shares or 'none'}"


@group.command()
def bench(runtime: Runtimes = None, threads: Threads = 2, as_json: AsJson = False) -> None:
    """Time the networks alone on every runtime, copies to and from the device included."""
    from terraloom_engines.bench.stages import stage_figures
    from terraloom_engines.world import networks_bundle

    bundle, facts = networks_bundle(), []
    for name, networks in _opened(bundle, runtime, threads):
        figures = stage_figures(bundle, networks)
        facts.append(
            {"runtime": name, "identity": networks.runtime_identity, "stages": {key: asdict(value) for key, value in figures.items()}}
        )
        if not as_json:
            line = ", ".join(f"{key} {value.ms:.2f} ms, {value.us_per_pixel:.3f} us per pixel, {value.gflops:,.0f} GFLOP/s"
                             for key, value in figures.items())  # fmt: skip
            print(f"{networks.runtime_identity}: {line}")
    if as_json:
        print_json(facts)


def _sides(bundle: "Bundle") -> dict[str, int]:
    from terraloom_engines.cascade import window_sides
    from terraloom_engines.stages import StageSpec

    stages = {name: StageSpec.from_manifest(entry) for name, entry in bundle.manifest["stages"].items()}
    return window_sides(stages["geometry"], stages["imagery"])


def _opened(bundle: "Bundle", wanted: list[str] | None, threads: int) -> Iterator[tuple[str, "Networks"]]:
    """The runtimes named, or all that work here; on a GPU in every precision. Those that do not are told on standard error."""
    from terraloom_engines.networks import open_networks
    from terraloom_engines.runtimes.catalogue import choices

    if wanted:
        yield from ((name, open_networks(bundle, name, threads)) for name in wanted)
        return
    for choice in choices():
        try:
            networks = open_networks(bundle, str(choice), threads)
        except TerraloomError as error:
            typer.echo(str(error), err=True)
        else:
            yield str(choice), networks


def _asked_for(choice: str, get: Callable[[], T]) -> T:
    """What `get` finds; InvalidArgumentError where this machine has it not, since nothing else may take its place."""
    try:
        return get()
    except UnavailableError as error:
        raise InvalidArgumentError(f"runtime {choice} cannot be used here: {error}", field="runtime") from error
