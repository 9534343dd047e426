"""Freed memory is kept: the next array costs no page faults. Each case in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, statistics, sys
import jax, jax.numpy as jnp
from jaxaction.runtime import host_memory
kept = host_memory.keep_freed_memory() if "keep" in sys.argv else False
x = jnp.ones((4096, 4096))
copy = jax.jit(lambda x: jnp.sin(x))
counts = []
for _ in range(20):
    copy(x).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
steps = [after - before for before, after in zip(counts, counts[1:])]
print(kept, int(statistics.median(steps)))
"""
PAGES = 4096 * 4096 * 4 // os.sysconf("SC_PAGE_SIZE")


def run(*arguments, **environment):
    argv = [sys.executable, "-c", SCRIPT, *arguments]
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(argv, env=plain | environment, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
def test_freed_memory_is_used_again_without_page_faults():
    kept, faults = run("keep")
    assert kept and faults < PAGES / 100  # in the median: the first few arrays are still new


def test_settings_of_malloc_in_the_environment_stay():
    kept, _ = run("keep", MALLOC_MMAP_THRESHOLD_="1000000")
    assert not kept
