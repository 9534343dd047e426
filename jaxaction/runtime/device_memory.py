"""How much memory a program may take on a device, and how much it will."""

from pathlib import Path

import jax

# What a GPU's allocator can have, but for what is there beside a program: weights, the next clips.
GPU_SHARE = 0.8
# On a CPU decoded videos, other devices and other programs want memory, too.
CPU_SHARE = 0.25
# Limits of a container; absent outside of one, and "max" or a huge number without a limit.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def budget() -> int:
    """Bytes that one program may take on one of this process's devices.

    Of what there is in all, not of what is free at the moment, so that it is the same each time.
    """
    is_own = "bytes_limit" in (jax.local_devices()[0].memory_stats() or {})
    return int((GPU_SHARE if is_own else CPU_SHARE) * total())


def total() -> int:
    """Bytes that one of this process's devices has: what its allocator may take, or its share of
    the host's memory."""
    devices = jax.local_devices()
    stats = devices[0].memory_stats() or {}
    return stats.get("bytes_limit") or host_bytes() // len(devices)


def host_bytes() -> int:
    """The memory of this machine, or of the container that it is limited to."""
    total = Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]
    limits = [Path(file).read_text().strip() for file in _LIMITS if Path(file).is_file()]
    return min([1024 * int(total), *(int(limit) for limit in limits if limit.isdecimal())])


def needed(program: jax.stages.Compiled) -> int:
    """Bytes that a compiled program takes on each device, by its own memory analysis."""
    found = program.memory_analysis()
    sizes = (found.argument_size_in_bytes, found.output_size_in_bytes, found.temp_size_in_bytes)
    return sum(sizes) - found.alias_size_in_bytes
