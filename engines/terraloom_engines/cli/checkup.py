"""What a machine needs to serve, looked at piece by piece."""

import os
import platform
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from terraloom.errors import TerraloomError

MIB = 1 << 20
MEMORY_NEEDED, MEMORY_WANTED = 300 * MIB, 1024 * MIB
"""Bytes: a server takes 240 MiB when it starts and up to 1 GiB with its caches full."""
DISK_WANTED = 1024 * MIB
CORES_WANTED = 2
REINSTALL = "pip install --force-reinstall --no-deps terraloom"

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: fine, worth a note, or a fault that keeps it from serving; `remedy` says what to do."""

    name: str
    state: State
    found: str
    remedy: str = ""


def requirements(extra: str) -> dict[str, str]:
    """Packages that an extra of this distribution asks for, each with the least version; "" is what it always asks for."""
    found = {}
    for line in requires("terraloom") or ():
        package, _, marker = line.partition(";")
        asked = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", marker)
        if (asked.group(1) if asked else "") == extra:
            name, floor = re.match(r"([\w.-]+)[^>]*(?:>=\s*([\w.]+))?", package.strip()).groups("")  # type: ignore[union-attr]
            found[name] = floor
    return found


def extras() -> list[str]:
    """Names of the extras of this distribution."""
    return sorted({match for line in requires("terraloom") or () for match in re.findall(r"""extra\s*==\s*["']([\w-]+)["']""", line)})


def lacking(wanted: dict[str, str]) -> list[str]:
    """The packages of `wanted` that are not installed, or older than asked for."""
    missing = []
    for name, floor in wanted.items():
        try:
            if _numbers(version(name)) < _numbers(floor):
                missing.append(f"{name} {version(name)} (needed is {floor})")
        except PackageNotFoundError:
            missing.append(name)
    return missing


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0]))


def examine(store: Path | None, ports: dict[str, int]) -> Iterator[Finding]:
    """Looks at everything, what takes long last; `ports` are those that a server would listen on, by option."""
    yield Finding(
        "terraloom", "ok", f"{version('terraloom')} on Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    missing = lacking(requirements("") | requirements("server"))
    yield _packages(missing)
    yield _extras()
    yield _cores()
    yield _memory()
    yield _store(store)
    for option, port in ports.items():
        yield _port(option, port)
    if not missing:
        yield _guarded("bundle", _bundle)
        yield from _runtimes()


def _guarded(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except TerraloomError as error:
        return Finding(name, "fault", str(error), REINSTALL)


def _packages(missing: list[str]) -> Finding:
    wanted = requirements("") | requirements("server")
    if missing:
        return Finding("packages", "fault", f"lacking {', '.join(missing)}", "pip install 'terraloom[server]'")
    return Finding("packages", "ok", ", ".join(f"{name} {version(name)}" for name in wanted))


def _bundle() -> str:
    from terraloom_engines.world import networks_bundle

    bundle = networks_bundle()
    return f"{bundle.manifest['name']}, digest {bundle.digest[:12]}, all files as they were shipped"


def _runtimes() -> Iterator[Finding]:
    """The runtime that `auto` takes, then why it takes no other."""
    import onnxruntime

    from terraloom_engines.networks import open_networks
    from terraloom_engines.world import networks_bundle

    start = time.perf_counter()
    try:
        networks = open_networks(networks_bundle(), threads=cores())
    except TerraloomError as error:
        yield Finding("runtime", "fault", str(error), REINSTALL)
        return
    seconds = time.perf_counter() - start
    providers = ", ".join(onnxruntime.get_available_providers())
    yield Finding("runtime", "ok", f"{networks.runtime_identity}, self-test passed in {seconds:.1f} s; providers: {providers}")
    for refusal in networks.refused:
        yield Finding(refusal.runtime, "note", refusal.reason)


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(int(quota) // int(period), 1))
    return count


def _cores() -> Finding:
    count = cores()
    if count < CORES_WANTED:
        return Finding("cores", "note", f"{count}", "generation takes every core it gets: 2 or more are better")
    return Finding("cores", "ok", f"{count}")


def free_memory() -> int | None:
    """Bytes that this process may still take; None where the system does not say."""
    free: int | None = None
    with suppress(OSError, ValueError, AttributeError):
        free = 1024 * int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))  # type: ignore[union-attr]
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        rest = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        free = rest if free is None else min(free, rest)
    return free


def _memory() -> Finding:
    free = free_memory()
    if free is None:
        return Finding("memory", "note", "unknown", "a server takes up to 1 GiB")
    state: State = "ok" if free >= MEMORY_WANTED else "note" if free >= MEMORY_NEEDED else "fault"
    return Finding(
        "memory", state, f"{free / MIB:,.0f} MiB free", "" if state == "ok" else "a server takes 240 MiB at start and up to 1 GiB"
    )


def _store(folder: Path | None) -> Finding:
    if folder is None:
        return Finding("store", "note", "none: what is generated is kept in memory alone", "terraloom serve --store DIRECTORY")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("store", "fault", f"{folder} cannot be written: {error.strerror}", "give --store a directory of yours")
    state: State = "ok" if free >= DISK_WANTED else "note"
    return Finding("store", state, f"{folder}, {free / MIB:,.0f} MiB free", "" if state == "ok" else "a tile takes about 1 MB")


def _port(option: str, port: int) -> Finding:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            pass
        else:
            return Finding(option.removeprefix("--"), "ok", f"{port} is free" if port else "any free one")
    answer = _who_answers(port) if option == "--port" else ""
    remedy = f"{option} 0 takes any free one"
    if answer:
        return Finding("port", "note", f"{port} is taken by {answer}", f"use it, or {remedy}")
    return Finding(option.removeprefix("--"), "fault", f"{port} is taken", remedy)


def _who_answers(port: int) -> str:
    """The Terraloom server at a port; "" when it is none."""
    from terraloom import connect

    with suppress(TerraloomError), connect(f"127.0.0.1:{port}") as client:
        return f"a Terraloom server of version {client.describe(timeout=5.0).server_version}"
    return ""


def _extras() -> Finding:
    missing = {extra: lacking(requirements(extra)) for extra in extras() if extra not in ("server", "dev")}
    found = ", ".join(f"{extra} {'lacks ' + ' '.join(names) if names else 'complete'}" for extra, names in missing.items())
    absent = [extra for extra, names in missing.items() if names]
    return Finding("extras", "ok", found or "none", f"pip install 'terraloom[{','.join(absent)}]' if wanted" if absent else "")
