"""How the process keeps the memory that it has freed."""

import ctypes
import os

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
NEVER = -1


def keep_freed_memory() -> bool:
    """Has malloc keep freed memory for the next array, in place of giving it back; true if it does.

    glibc gives every array of some MiB back to the system when it is freed, and the next one costs
    a page fault for each 4 KiB: on a CPU, up to ten times what computing its values costs
    (docs/performance.md). The process then holds its peak until it ends. Does nothing where malloc
    is another one, or is set up by GLIBC_TUNABLES or MALLOC_ variables.
    """
    names = ("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_")
    if any(name in os.environ for name in names):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # One arena: the others map what is larger than 64 MiB, whatever M_MMAP_MAX says.
    settings = ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER))
    return all([mallopt(parameter, value) for parameter, value in settings])
