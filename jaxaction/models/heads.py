"""From backbone features to logits: pooling, dropout and one linear layer."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.models.layers import at_least_float32


class Head(nn.Module):
    """Returns logits `[n, k]` of features `[n, c]`, or the mean over `t` of those of `[n, t, c]`.

    Logits are float32. Dropout acts on each entry by itself: for TSM on each frame's features, as
    in the reference's `tsm_head.py`.
    """

    num_classes: int
    dropout: float = 0.5
    init_std: float = 0.01

    @nn.compact
    def __call__(self, x: Float[Array, "n *t c"], train: bool) -> Float[Array, "n k"]:
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        init = nn.initializers.normal(self.init_std)
        x = nn.Dense(self.num_classes, kernel_init=init, name="fc_cls")(at_least_float32(x))
        return x if x.ndim == 2 else x.mean(axis=1)


def pool(x: Float[Array, "n t h w c"]) -> Float[Array, "n c"]:
    """Returns the mean over frames and pixels, in float32."""
    return at_least_float32(x).mean(axis=(1, 2, 3))


def pool_space(x: Float[Array, "n t h w c"]) -> Float[Array, "n t c"]:
    """Returns the mean over pixels, in float32."""
    return at_least_float32(x).mean(axis=(2, 3))
