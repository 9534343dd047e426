"""What the benchmarks ran on."""

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
