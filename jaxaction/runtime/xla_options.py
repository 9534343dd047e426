"""How XLA is asked to compile these networks, platform by platform."""

import functools
import os
from typing import Any

import jax

_KEY = "xla_cpu_experimental_ynn_fusion_type"  # what XLA hands to YNNPACK on CPUs
_PASSES = "xla_disable_hlo_passes"


def for_inference() -> dict[str, str]:
    """Returns `compiler_options` for `jax.jit` of a network in inference mode, here and now.

    On CPUs XLA hands convolutions, products and sums to YNNPACK. It convolves on one thread where
    outputs have few channels, and computes a product inside a sum slower than before it; so only
    products are left to it, and Eigen convolves. docs/performance.md has the evidence.

    Empty on GPUs, where the jaxlib has no such option, and where XLA_FLAGS sets it already.
    """
    return _if_known("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT")


def for_training(deterministic: bool = False, remat: bool = False) -> dict[str, Any]:
    """Returns `compiler_options` for a training step, as `for_inference` does: sums, of which batch
    norms have many, stay with YNNPACK, too.

    `deterministic` has GPUs compute the same bits each time, without trying which kernel is the
    fastest and without sums in the order in which threads come. CPUs do so anyway.

    `remat`: the network computes activations again. On CPUs XLA drops the barriers before that
    early, then takes the first copy or makes the second as soon, and no memory is saved; so that
    pass is left out.
    """
    options = _if_known("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE")
    if deterministic:
        options["xla_gpu_deterministic_ops"] = True
    if remat and jax.default_backend() == "cpu" and _PASSES not in os.environ.get("XLA_FLAGS", ""):
        options[_PASSES] = "cse_barrier_expander"
    return options


def for_one_run() -> dict[str, int]:
    """Returns `compiler_options` for a program that runs once, as fresh weights are made.

    It compiles in an eighth of the time (a small TSN's weights: 9.4 s, so 1.2 s), to the same bits.
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
