"""From backbone features to logits: pooling, dropout and one linear layer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaction.errors import InputError
from jaxaction.models.contract import VideoModel
from jaxaction.models.layers import at_least_float32


class Head(nn.Module):
    """Returns logits `[n, k]` of features `[n, c]`, or the mean over `t` of those of `[n, t, c]`.

    Logits are float32. Dropout acts on each entry by itself: for TSM on each frame's features, as
    in MMAction2's `tsm_head.py`.
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


def view_logits(
    model: VideoModel | nn.Module,
    variables: Any,
    clips: Float[Array, "n t h w c"],
    window: tuple[int, ...],
) -> Float[Array, "n p k"]:
    """Returns a test's logits: one row for each clip, or for each `window` (h, w) of its features.

    Windows are the fully convolutional test of PySlowFast, which trains on 7x7 features and tests
    on 8x8: four windows, one cell apart. InputError if the window is larger than the features.
    """
    if window:
        return model.apply(variables, clips, window, method=_window_logits)
    return model.apply(variables, clips, False)[:, None]


def _window_logits(model: VideoModel, clip: Array, window: tuple[int, int]) -> Array:
    paths = model.head_paths(model.features(clip))
    pooled = jnp.concatenate([_pool_windows(path, window) for path in paths], axis=-1)
    n, p, c = pooled.shape
    return model.cls_head(pooled.reshape(n * p, c), False).reshape(n, p, -1)


def _pool_windows(x: Float[Array, "n t h w c"], window: tuple[int, int]) -> Float[Array, "n p c"]:
    x = at_least_float32(x).mean(axis=1)
    if window[0] > x.shape[1] or window[1] > x.shape[2]:
        raise InputError(
            f"test.window {tuple(window)} is larger than the features, {x.shape[1]}x{x.shape[2]}; "
            "make it smaller or test.size larger"
        )
    sums = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, *window, 1), (1, 1, 1, 1), "VALID")
    return sums.reshape(x.shape[0], -1, x.shape[-1]) / (window[0] * window[1])
