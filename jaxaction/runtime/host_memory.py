"""Keeps freed memory in the process, so that the next array is cheap."""

import ctypes
import os

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
NEVER = -1


def keep_freed_memory() -> bool:
    """Makes malloc keep freed memory for the next array; returns whether it does.

    Otherwise glibc gives every array of some MiB back to the system when it is freed, and the next
    one costs a page fault for each 4 KiB. On a CPU that can take ten times as long as computing its
    values (docs/performance.md). The price: the process holds its peak memory until it ends. Does
    nothing if malloc is not glibc's, or if GLIBC_TUNABLES or MALLOC_ variables configure it.
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
