"""What was measured: processor, cores, memory, GPU, versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from terraloom.errors import UnavailableError
from terraloom_engines.runtimes.cuda import devices


def machine_facts() -> dict[str, str | int | float]:
    """Of the machine that this process runs on; `load` is that of the minute before, by which a shared machine is told."""
    names = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    try:
        gpu = str(devices()[0])
    except UnavailableError as error:
        gpu = f"none: {error}"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "processor": names[0] if names else platform.processor(), "cores": os.cpu_count() or 1,
        "memory_gib": round(memory[0], 1) if memory else float("nan"), "gpu": gpu, "system": platform.platform(),
        "python": platform.python_version(), "terraloom": version("terraloom"), "load": round(load, 2),
    }  # fmt: skip


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
