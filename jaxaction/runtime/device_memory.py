"""How much memory a device has, and how much a program needs."""

from pathlib import Path

import jax

# A program's share of a GPU's memory. Weights and the next clips need the rest.
GPU_SHARE = 0.8
# On a CPU decoded videos, other devices and other programs need memory, too.
CPU_SHARE = 0.25
# Limits of a container. Outside of one they are absent; without a limit "max" or a huge number.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def budget() -> int:
    """Bytes that one program may take on one of this process's devices.

    It is a share of all memory, not of the free memory, so that it is the same each time.
    """
    is_own = "bytes_limit" in (jax.local_devices()[0].memory_stats() or {})
    return int((GPU_SHARE if is_own else CPU_SHARE) * total())


def total() -> int:
    """Bytes of one of this process's devices: its allocator's limit, or its share of the host's
    memory."""
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
    memory = program.memory_analysis()
    sizes = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
    return sum(sizes) - memory.alias_size_in_bytes
