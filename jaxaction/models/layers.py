"""Batch norm with PyTorch's statistics, and max pooling."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxaction.models.freezing import NORMS
from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.ops.conv3d import Triple


class BatchNorm(nn.Module):
    """Returns `x` normalised over all axes but the last, with PyTorch's running statistics.

    Ioffe & Szegedy 2015. PyTorch's running variance is the unbiased one; that of Flax's own norm is
    biased. Statistics are float32 or better.

    `options.norm_eps` is PyTorch's epsilon and `options.norm_momentum` its momentum, the weight of
    the new batch. `options.bn_group` is the number of clips that share statistics in training (0:
    the whole batch, over all devices). It must divide the batch, unless the batch is smaller: then
    all clips share. With a `freeze` (see `freezing.freeze_level`) training uses the running
    statistics and does not update them.
    """

    options: LayerOptions = LayerOptions()
    zero_scale: bool = False
    freeze: str = ""

    @property
    def is_frozen(self) -> bool:
        """Whether scale and bias get no gradient."""
        return self.freeze in NORMS

    @nn.compact
    def __call__(self, x: Float[Array, "n *axes c"], train: bool) -> Float[Array, "n *axes c"]:
        c = x.shape[-1]
        scale_init = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        scale = self.param("scale", scale_init, (c,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (c,), jnp.float32)
        if self.is_frozen:
            scale, bias = lax.stop_gradient((scale, bias))
        if self.freeze or not train:
            return self._affine(x, running_mean.value, running_var.value, scale, bias)
        groups = batch_groups(x.shape[0], self.options.bn_group)
        y, mean, var = normalize(x.reshape(groups, -1, c), scale, bias, self.options.norm_eps)
        if not self.is_initializing():
            self.sow("moments", "mean", mean)  # of every group, for precise_bn; else dropped
            self.sow("moments", "var", var)
            count = x.size // (groups * c)
            unbiased = var.mean(axis=0) * (count / max(count - 1, 1))
            running_mean.value = self._running(running_mean.value, mean.mean(axis=0))
            running_var.value = self._running(running_var.value, unbiased)
        return y.astype(self.options.dtype).reshape(x.shape)

    def _running(self, old: Float[Array, " c"], new: Float[Array, " c"]) -> Float[Array, " c"]:
        momentum = self.options.norm_momentum
        return (1 - momentum) * old + momentum * lax.stop_gradient(new)

    def _affine(self, x, mean, var, scale, bias):
        factor = scale * lax.rsqrt(var + self.options.norm_eps)
        return ((at_least_float32(x) - mean) * factor + bias).astype(self.options.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(x, scale, bias, epsilon):
    return _normalize_forward(x, scale, bias, epsilon)[0]


def _normalize_forward(x, scale, bias, epsilon):
    wide = at_least_float32(x)
    mean = _sums(wide) / x.shape[1]
    var = _sums(jnp.square(wide - mean[:, None])) / x.shape[1]
    inverse = lax.rsqrt(var + epsilon)
    y = (wide - mean[:, None]) * (inverse * scale)[:, None] + bias
    return (y, mean, var), (x, mean, inverse, scale)


def _normalize_backward(epsilon, saved, cotangents):
    x, mean, inverse, scale = saved
    g = at_least_float32(cotangents[0])
    centred = at_least_float32(x) - mean[:, None]
    sums, products = _sums(g), _sums(g * centred) * inverse
    slope = products * inverse / x.shape[1]
    dx = (g - (sums / x.shape[1])[:, None] - centred * slope[:, None]) * (scale * inverse)[:, None]
    return dx.astype(x.dtype), products.sum(0), sums.sum(0)


normalize.defvjp(_normalize_forward, _normalize_backward)


def _sums(x: Float[Array, "g m c"]) -> Float[Array, "g c"]:
    """The sum of each group's rows.

    Where there is one group, its axis is dropped before the sum, which is several times faster on
    CPUs. Several groups are not summed one by one: XLA would send all activations to all devices
    (in a TSM of 128 clips on 4 devices 1900 times the bytes of the gradients).
    """
    return x[0].sum(0)[None] if x.shape[0] == 1 else x.sum(1)


@jax.custom_vjp
def relu(x):
    return jnp.maximum(x, 0)


def _relu_fwd(x):
    y = jnp.maximum(x, 0)
    return y, y


relu.defvjp(_relu_fwd, lambda y, g: (jnp.where(y > 0, g, 0),))


def at_least_float32(x: Array) -> Array:
    """Returns `x` as float32, or as it is where it is float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def batch_groups(batch: int, bn_group: int) -> int:
    """Returns how many groups of `bn_group` clips the batch has, one if it is smaller; ValueError
    if they don't fit."""
    if bn_group == 0 or batch < bn_group:
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
    taps = [lax.slice_in_dim(x, start, last + start + 1, stride, axis) for start in range(window)]
    y = taps[0]
    for tap in taps[1:]:
        y = jnp.maximum(y, tap)
    return y
