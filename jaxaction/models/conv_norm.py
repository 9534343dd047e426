"""A convolution with its batch norm and ReLU, the piece that residual networks are made of."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.models.conv2plus1d import Conv2Plus1d
from jaxaction.models.layers import BatchNorm, relu
from jaxaction.models.ops.conv3d import Conv3d, Triple


class ConvNorm(nn.Module):
    """A convolution, batch norm, ReLU: the reference's `ConvModule`, children `conv` and `bn`.

    `folded`: the convolution has a bias and no norm follows (see `fold.fold_batch_norm`).
    `freeze`: what training leaves as it is (see `freezing`).
    """

    features: int
    kernel_size: Triple
    strides: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    relu: bool = True
    zero_scale: bool = False
    factorize: bool = False  # (2+1)D, which ignores the dilation as the reference's does
    mid: int = 0  # its channels in between; 0: as the reference
    time_first: bool = False
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        shape = (self.features, self.kernel_size, self.strides, self.padding)
        if self.factorize:
            halves = (self.mid, self.time_first, self.bn_group, self.dtype, self.folded)
            x = Conv2Plus1d(*shape, *halves, self.freeze, name="conv")(x, train)
        else:
            options = {"use_bias": self.folded, "dtype": self.dtype, "freeze": self.freeze}
            x = Conv3d(*shape, self.dilation, **options, name="conv")(x)
        if not self.folded:
            norm = (self.norm_eps, self.norm_momentum, self.bn_group, self.zero_scale, self.dtype)
            x = BatchNorm(*norm, self.freeze, name="bn")(x, train)
        return relu(x) if self.relu else x
