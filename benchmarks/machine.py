"""What was measured where: machine, versions, commit, and the numbers of a distribution."""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def describe() -> dict[str, Any]:
    """This machine and this commit."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    memory = next((int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), float("nan"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "engines", "sdk"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "processor": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit + (" + changes" if changed else ""), "load_before": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def name() -> str:
    """A short name of this machine for the result's file."""
    return f"{platform.machine()}-{os.cpu_count()}core"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def quantiles(seconds: Sequence[float], scale: float = 1.0) -> dict[str, float]:
    """p50, p95, p99, largest and count; times `scale`."""
    values = np.asarray(seconds) * scale
    middle, high, higher = np.percentile(values, [50, 95, 99])
    return {"p50": _short(middle), "p95": _short(high), "p99": _short(higher), "max": _short(values.max()), "count": len(values)}


def _short(value: float) -> float:
    return float(f"{value:.4g}")
