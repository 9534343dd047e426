"""A convolution with its batch norm and ReLU, the unit of residual networks."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.models.conv2plus1d import Conv2Plus1d
from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import BatchNorm, relu
from jaxaction.models.ops.conv3d import Conv3d, Triple


class ConvNorm(nn.Module):
    """A convolution, batch norm and ReLU: MMAction2's `ConvModule`, children `conv` and `bn`.

    With `options.folded` the convolution has a bias and no norm follows (see
    `fold.fold_batch_norm`). `freeze`: see `freezing.freeze_level`.
    """

    features: int
    kernel_size: Triple
    strides: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    relu: bool = True
    zero_scale: bool = False
    factorize: bool = False  # (2+1)D, which ignores the dilation as MMAction2's does
    mid: int = 0  # channels between the factors; 0: as many as MMAction2 takes
    time_first: bool = False
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        if self.factorize:
            conv = Conv2Plus1d(
                self.features,
                kernel_size=self.kernel_size,
                strides=self.strides,
                padding=self.padding,
                mid=self.mid,
                time_first=self.time_first,
                options=self.options,
                freeze=self.freeze,
                name="conv",
            )
            x = conv(x, train)
        else:
            conv = Conv3d(
                self.features,
                kernel_size=self.kernel_size,
                strides=self.strides,
                padding=self.padding,
                dilation=self.dilation,
                use_bias=self.options.folded,
                dtype=self.options.dtype,
                freeze=self.freeze,
                name="conv",
            )
            x = conv(x)
        if not self.options.folded:
            norm = BatchNorm(
                self.options, zero_scale=self.zero_scale, freeze=self.freeze, name="bn"
            )
            x = norm(x, train)
        return relu(x) if self.relu else x
