"""The options with which XLA compiles these networks, for each platform."""

import functools
import os
from typing import Any

import jax

_KEY = "xla_cpu_experimental_ynn_fusion_type"  # what XLA hands to YNNPACK on CPUs
_PASSES = "xla_disable_hlo_passes"


def for_inference() -> dict[str, str]:
    """Returns `compiler_options` for `jax.jit` of a network in inference mode, here and now.

    On CPUs XLA hands convolutions, products and sums to YNNPACK. YNNPACK convolves on one thread if
    there are few output channels, and a product fused into a sum is slower than one before it. So
    it only gets products, and Eigen convolves. docs/performance.md has the measurements.

    Empty on GPUs, if the jaxlib has no such option, and if XLA_FLAGS sets it already.
    """
    return _if_known("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT")


def for_training(deterministic: bool = False, remat: bool = False) -> dict[str, Any]:
    """Returns `compiler_options` for a training step.

    They differ from `for_inference` in that YNNPACK also gets sums, of which batch norms have many.

    `deterministic` makes GPUs compute the same bits each time: they don't try which kernel is the
    fastest, and don't add in the order in which threads finish. CPUs always do.

    `remat` says that the network computes activations a second time. On CPUs one XLA pass removes
    the barriers in front of that early. XLA then reuses the first activations, or computes the
    second ones at once, and no memory is saved. So this pass is disabled.
    """
    options = _if_known("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE")
    if deterministic:
        options["xla_gpu_deterministic_ops"] = True
    if remat and jax.default_backend() == "cpu" and _PASSES not in os.environ.get("XLA_FLAGS", ""):
        options[_PASSES] = "cse_barrier_expander"
    return options


def for_one_run() -> dict[str, int]:
    """Returns `compiler_options` for a program that runs only once, to make fresh weights.

    It compiles in an eighth of the time (a small TSN's weights: 1.2 s instead of 9.4 s), and gives
    the same bits.
    """
    return {"xla_backend_optimization_level": 1}


def _if_known(kinds: str) -> dict[str, str]:
    if jax.default_backend() != "cpu" or _KEY in os.environ.get("XLA_FLAGS", ""):
        return {}
    options = {_KEY: kinds}
    return options if _compiles(tuple(options.items())) else {}


@functools.cache
def _compiles(options: tuple[tuple[str, str], ...]) -> bool:
    """Whether this jaxlib takes the options: they are experimental, and may go."""
    try:
        jax.jit(lambda x: x).lower(0.0).compile(compiler_options=dict(options))
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True
