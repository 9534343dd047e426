"""How XLA is asked to compile these networks, platform by platform."""

import functools
import os

import jax

# On CPUs XLA hands convolutions, products and sums to YNNPACK. Its convolutions are slower than
# Eigen's at nearly every shape of these networks, and a product inside a sum slower than before it.
_CPU_INFERENCE = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}


@functools.cache
def for_inference() -> dict[str, str]:
    """Returns `compiler_options` for `jax.jit` of a network in inference mode, here and now.

    Empty on GPUs, where the jaxlib has no such option, and where XLA_FLAGS sets it already.
    docs/performance.md has the evidence.
    """
    if jax.default_backend() != "cpu":
        return {}
    if any(name in os.environ.get("XLA_FLAGS", "") for name in _CPU_INFERENCE):
        return {}
    return _CPU_INFERENCE if _is_known(_CPU_INFERENCE) else {}


def _is_known(options: dict[str, str]) -> bool:
    """Whether this jaxlib compiles under `options`: they are experimental, and may go."""
    try:
        jax.jit(lambda x: x).lower(0.0).compile(compiler_options=options)
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True
