"""What a process of the tests holds in memory, and how it gives it back."""

import ctypes
import gc
import os
from pathlib import Path


def held_bytes() -> int:
    """The memory that this process holds; 0 where the system doesn't tell it in Linux' way."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back() -> None:
    """Frees what nothing refers to, and returns it to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; it keeps what is freed
    if trim is not None:
        trim(0)
