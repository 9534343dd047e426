"""Rematerialisation: activations that the backward pass computes again instead of keeping them."""

import flax.linen as nn
from jaxtyping import Array


def run(module: nn.Module, x: Array, train: bool, remat: bool) -> Array:
    """Returns `module(x, train)`; with `remat`, of what is inside nothing is kept for the gradient.

    Chen et al. 2016. Names, numbers and updates of the running statistics are the same.
    """
    if not (remat and train):
        return module(x, train)
    return nn.remat(lambda module, x: module(x, True))(module, x)


def is_used(model: nn.Module) -> bool:
    """Whether a network computes any activation again."""
    fields = (getattr(model, path, {}) for path in ("slow", "fast"))
    return bool(getattr(model, "remat", ()) or any(path.get("remat") for path in fields))
