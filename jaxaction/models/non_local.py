"""Non-local blocks over space and time. Wang et al. 2018, in the form of mmcv's `NonLocal3d`."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import BatchNorm, at_least_float32, max_pool
from jaxaction.models.ops.conv3d import Conv3d

MODES = ("embedded_gaussian", "gaussian", "dot_product")


class PointwiseConv(nn.Module):
    """A 1x1x1 convolution with a bias or, instead, a batch norm.

    With `zero` the output starts at zero: through the kernel, or through the norm's scale. With
    `options.folded` a bias replaces the norm. `freeze`: see `freezing.freeze_level`.
    """

    features: int
    norm: bool = False
    zero: bool = False
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h w k"]:
        zero_kernel = self.zero and not self.norm
        conv = Conv3d(
            self.features,
            kernel_size=(1, 1, 1),
            use_bias=not self.norm or self.options.folded,
            kernel_init=nn.initializers.zeros if zero_kernel else nn.initializers.normal(0.01),
            dtype=self.options.dtype,
            freeze=self.freeze,
            name="conv",
        )
        x = conv(x)
        if not self.norm or self.options.folded:
            return x
        norm = BatchNorm(self.options, zero_scale=self.zero, freeze=self.freeze, name="bn")
        return norm(x, train)


class SubSampled(nn.Module):
    """Returns the 1x2x2 max pooling of a pointwise convolution, which MMAction2 calls `0`."""

    features: int
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        conv = PointwiseConv(self.features, options=self.options, freeze=self.freeze, name="0")
        return sub_sample(conv(x, train))


def sub_sample(x: Float[Array, "n t h w c"]) -> Float[Array, "n t h2 w2 c"]:
    """Returns the maximum over each 2x2 pixels of a frame."""
    return max_pool(x, (1, 2, 2), (1, 2, 2), (0, 0, 0))


class NonLocal(nn.Module):
    """Returns `x` plus, at every position, a weighted mean of all positions' values.

    `mode` "gaussian" compares positions by the softmax of `x . x`, "embedded_gaussian" by that of
    `theta(x) . phi(x)` (divided by the root of its channels where `use_scale`), "dot_product" by
    the product over the number of positions. `sub_sample` pools values and keys by 2x2. `norm` ends
    the block in a batch norm.
    """

    mode: str = "embedded_gaussian"
    sub_sample: bool = False
    use_scale: bool = True
    reduction: int = 2
    norm: bool = False
    norm_eps: float = 1e-5  # of this norm, whatever `options` say
    norm_momentum: float = 0.1
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h w c"]:
        if self.mode not in MODES:
            raise ValueError(f"non_local_cfg.mode '{self.mode}' is not one of {', '.join(MODES)}")
        mid = max(x.shape[-1] // self.reduction, 1)
        layer = {"options": self.options, "freeze": self.freeze}
        pooled = SubSampled if self.sub_sample else PointwiseConv
        values = _positions(pooled(mid, **layer, name="g")(x, train))
        if self.mode == "gaussian":
            queries, keys = _positions(x), _positions(sub_sample(x) if self.sub_sample else x)
        else:
            queries = _positions(PointwiseConv(mid, **layer, name="theta")(x, train))
            keys = _positions(pooled(mid, **layer, name="phi")(x, train))
        y = jnp.matmul(self._weights(queries, keys), values).reshape(*x.shape[:-1], mid)
        norm = replace(self.options, norm_eps=self.norm_eps, norm_momentum=self.norm_momentum)
        conv_out = PointwiseConv(
            x.shape[-1],
            norm=self.norm,
            zero=True,
            options=norm,
            freeze=self.freeze,
            name="conv_out",
        )
        return x + conv_out(y, train)

    def _weights(self, queries, keys):
        product = at_least_float32(jnp.matmul(queries, keys.swapaxes(1, 2)))
        if self.mode == "dot_product":
            return (product / keys.shape[1]).astype(self.options.dtype)
        if self.mode == "embedded_gaussian" and self.use_scale:
            product = product / queries.shape[-1] ** 0.5
        return jax.nn.softmax(product, axis=-1).astype(self.options.dtype)


def _positions(x: Float[Array, "n t h w c"]) -> Float[Array, "n p c"]:
    return x.reshape(x.shape[0], -1, x.shape[-1])
