"""Non-local blocks over space and time. Wang et al. 2018, in the form of mmcv's `NonLocal3d`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaction.models.layers import BatchNorm, at_least_float32, max_pool
from jaxaction.models.ops.conv3d import Conv3d

MODES = ("embedded_gaussian", "gaussian", "dot_product")


class PointwiseConv(nn.Module):
    """A 1x1x1 convolution with bias or, in its place, a batch norm.

    With `zero` the output starts at zero: by the kernel, or by the norm's scale. `folded`: the bias
    stands for the norm. `freeze`: see `freezing`.
    """

    features: int
    norm: bool = False
    zero: bool = False
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h w k"]:
        init = (
            nn.initializers.zeros if self.zero and not self.norm else nn.initializers.normal(0.01)
        )
        x = Conv3d(
            self.features,
            (1, 1, 1),
            use_bias=not self.norm or self.folded,
            kernel_init=init,
            dtype=self.dtype,
            freeze=self.freeze,
            name="conv",
        )(x)
        if not self.norm or self.folded:
            return x
        norm = (self.norm_eps, self.norm_momentum, self.bn_group, self.zero, self.dtype)
        return BatchNorm(*norm, self.freeze, name="bn")(x, train)


class SubSampled(nn.Module):
    """Returns the 1x2x2 max pooling of a pointwise convolution, which the reference calls `0`."""

    features: int
    dtype: str = "float32"
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        options = {"dtype": self.dtype, "freeze": self.freeze}
        return sub_sample(PointwiseConv(self.features, **options, name="0")(x, train))


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
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h w c"]:
        if self.mode not in MODES:
            raise ValueError(f"non_local_cfg.mode '{self.mode}' is not one of {', '.join(MODES)}")
        mid = max(x.shape[-1] // self.reduction, 1)
        pooled = SubSampled if self.sub_sample else PointwiseConv
        options = {"dtype": self.dtype, "freeze": self.freeze}
        values = _positions(pooled(mid, **options, name="g")(x, train))
        if self.mode == "gaussian":
            queries, keys = _positions(x), _positions(sub_sample(x) if self.sub_sample else x)
        else:
            queries = _positions(PointwiseConv(mid, **options, name="theta")(x, train))
            keys = _positions(pooled(mid, **options, name="phi")(x, train))
        y = jnp.matmul(self._weights(queries, keys), values).reshape(*x.shape[:-1], mid)
        conv_out = PointwiseConv(
            x.shape[-1],
            norm=self.norm,
            zero=True,
            norm_eps=self.norm_eps,
            norm_momentum=self.norm_momentum,
            bn_group=self.bn_group,
            folded=self.folded,
            **options,
            name="conv_out",
        )
        return x + conv_out(y, train)

    def _weights(self, queries, keys):
        product = at_least_float32(jnp.matmul(queries, keys.swapaxes(1, 2)))
        if self.mode == "dot_product":
            return (product / keys.shape[1]).astype(self.dtype)
        if self.mode == "embedded_gaussian" and self.use_scale:
            product = product / queries.shape[-1] ** 0.5
        return jax.nn.softmax(product, axis=-1).astype(self.dtype)


def _positions(x: Float[Array, "n t h w c"]) -> Float[Array, "n p c"]:
    return x.reshape(x.shape[0], -1, x.shape[-1])
