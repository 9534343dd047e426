"""The (2+1)D factorisation: a spatial convolution, norm and ReLU, a temporal convolution."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.models.layers import BatchNorm, relu
from jaxaction.models.ops.conv3d import Conv3d, Triple


def mid_channels(in_channels: int, out_channels: int, kernel_size: Triple) -> int:
    """Returns the channels between the two halves, for as many weights as the 3x`kh`x`kw`
    convolution has.

    The 3 stands for the temporal size even where that is 1, as in the reference
    (`common/conv2plus1d.py`). Tran et al. 2018 (R(2+1)D), section 3.5.

    >>> mid_channels(64, 64, (3, 3, 3)), mid_channels(3, 64, (3, 7, 7))
    (144, 83)
    >>> mid_channels(64, 128, (1, 1, 1))
    54
    """
    taps = in_channels * kernel_size[1] * kernel_size[2]
    return int(3 * (taps * out_channels) / (taps + 3 * out_channels))


class Conv2Plus1d(nn.Module):
    """Returns `conv_t(relu(bn_s(conv_s(x))))`, with `mid` channels in between (0: as
    `mid_channels` says).

    Temporal strides and padding go to `conv_t`, spatial ones to `conv_s`. `bn_s` has PyTorch's
    default epsilon, 1e-5, whatever the norm around the convolution has. `time_first`: `conv_t`
    comes before the norm and `conv_s` after it. `folded`, `freeze`: see `ConvNorm`.
    """

    features: int
    kernel_size: Triple
    strides: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    mid: int = 0
    time_first: bool = False
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        (kt, kh, kw), (st, sh, sw), (pt, ph, pw) = self.kernel_size, self.strides, self.padding
        space = ((1, kh, kw), (1, sh, sw), (0, ph, pw), "conv_s")
        time = ((kt, 1, 1), (st, 1, 1), (pt, 0, 0), "conv_t")
        first, second = (time, space) if self.time_first else (space, time)
        mid = self.mid or mid_channels(x.shape[-1], self.features, self.kernel_size)
        x = self._conv(mid, *first, x)
        if not self.folded:
            norm = {"bn_group": self.bn_group, "dtype": self.dtype, "freeze": self.freeze}
            x = BatchNorm(**norm, name="bn_s")(x, train)
        return self._conv(self.features, *second, relu(x))

    def _conv(self, features, kernel_size, strides, padding, name, x):
        options = {"use_bias": self.folded, "dtype": self.dtype, "freeze": self.freeze}
        return Conv3d(features, kernel_size, strides, padding, **options, name=name)(x)
