"""The temporal shift of TSM."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def temporal_shift(x: Float[Array, "n t h w c"], div: int = 8) -> Float[Array, "n t h w c"]:
    """Moves 1/div of the channels one frame back in time and 1/div one frame on.

    Frames that would come from outside the clip are zero. Lin et al. 2019 (TSM), section 3.2.

    >>> x = jnp.arange(3.0).reshape(1, 3, 1, 1, 1) * jnp.ones(4)
    >>> temporal_shift(x, div=4)[0, :, 0, 0]
    Array([[1., 0., 0., 0.],
           [2., 0., 1., 1.],
           [0., 1., 2., 2.]], dtype=float32)
    """
    fold = x.shape[-1] // div
    edge = jnp.zeros_like(x[:, :1, ..., :fold])
    back = jnp.concatenate([x[:, 1:, ..., :fold], edge], axis=1)
    onward = jnp.concatenate([edge, x[:, :-1, ..., fold : 2 * fold]], axis=1)
    return jnp.concatenate([back, onward, x[..., 2 * fold :]], axis=-1)
