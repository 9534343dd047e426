"""What the benchmarks ran on, and with what settings."""

import argparse
import os
import platform
from pathlib import Path


def describe() -> dict[str, str | int]:
    """The processor, how many of its cores this process may use, and the Python."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def settings(args: argparse.Namespace) -> dict:
    """The arguments of a benchmark, without those that are paths of one machine."""
    return {k: v for k, v in vars(args).items() if k not in ("out", "peer_python")}
