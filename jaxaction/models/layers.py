"""Batch norm with PyTorch's statistics, and max pooling."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxaction.models.conv3d import Triple


class BatchNorm(nn.Module):
    """Returns `x` normalised over all axes but the last, with PyTorch's running statistics.

    Ioffe & Szegedy 2015. The running variance is the unbiased one; flax's own norm keeps the other.

    `momentum` is the weight of the new batch (PyTorch's sense). `bn_group` is the number of clips
    that share statistics in training (0: the whole batch, over all devices); it must divide the
    batch. Statistics are float32 or better.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1
    bn_group: int = 0
    zero_scale: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "n *axes c"], train: bool) -> Float[Array, "n *axes c"]:
        c = x.shape[-1]
        scale_init = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        scale = self.param("scale", scale_init, (c,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (c,), jnp.float32)
        if not train:
            return self._affine(x, running_mean.value, running_var.value, scale, bias)
        groups = batch_groups(x.shape[0], self.bn_group)
        grouped = at_least_float32(x.reshape(groups, -1, c))
        mean = grouped.mean(axis=1, keepdims=True)
        var = jnp.square(grouped - mean).mean(axis=1, keepdims=True)
        if not self.is_initializing():
            count = grouped.shape[1]
            unbiased = var.mean(axis=(0, 1)) * (count / max(count - 1, 1))
            running_mean.value = self._running(running_mean.value, mean.mean(axis=(0, 1)))
            running_var.value = self._running(running_var.value, unbiased)
        return self._affine(grouped, mean, var, scale, bias).reshape(x.shape)

    def _running(self, old: Float[Array, " c"], new: Float[Array, " c"]) -> Float[Array, " c"]:
        return (1 - self.momentum) * old + self.momentum * lax.stop_gradient(new)

    def _affine(self, x, mean, var, scale, bias):
        factor = scale * lax.rsqrt(var + self.epsilon)
        return ((at_least_float32(x) - mean) * factor + bias).astype(self.dtype)


def at_least_float32(x: Array) -> Array:
    """Returns `x` as float32, or as it is where it is float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def batch_groups(batch: int, bn_group: int) -> int:
    """Returns how many groups of `bn_group` clips the batch has; ValueError if they don't fit."""
    if bn_group == 0:
        return 1
    if batch % bn_group:
        raise ValueError(
            f"model.bn_group {bn_group} does not divide the batch of {batch} clips; "
            "set train.batch_size to a multiple of it, or model.bn_group to 0"
        )
    return batch // bn_group


def max_pool(
    x: Float[Array, "n t h w c"], window: Triple, strides: Triple, padding: Triple
) -> Float[Array, "n t2 h2 w2 c"]:
    """Returns PyTorch's `max_pool3d`.

    Outside the array counts as minus infinity, incomplete windows are dropped. One axis after the
    other, by strided slices: on CPUs faster than a 3D `reduce_window`.
    """
    for axis in (1, 2, 3):
        x = _max_pool_axis(x, axis, window[axis - 1], strides[axis - 1], padding[axis - 1])
    return x


def _max_pool_axis(x: Array, axis: int, window: int, stride: int, padding: int) -> Array:
    if padding:
        pads = [(0, 0)] * x.ndim
        pads[axis] = (padding, padding)
        x = jnp.pad(x, pads, constant_values=-jnp.inf)
    last = x.shape[axis] - window
    parts = [lax.slice_in_dim(x, start, last + start + 1, stride, axis) for start in range(window)]
    y = parts[0]
    for part in parts[1:]:
        y = jnp.maximum(y, part)
    return y
