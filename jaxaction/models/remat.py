"""Rematerialisation: the backward pass computes activations again instead of keeping them."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array


def maybe_remat(module: nn.Module, remat: bool) -> Callable[[Array, bool], Array]:
    """Returns `module`; with `remat`, wrapped so that none of its activations are kept.

    The backward pass then computes them again from the module's input. Names, values and updates of
    the running statistics are the same. Chen et al. 2016.
    """
    if not remat:
        return module

    def apply_remat(x: Array, train: bool) -> Array:
        return nn.remat(lambda module, x: module(x, train))(module, x)

    return apply_remat
