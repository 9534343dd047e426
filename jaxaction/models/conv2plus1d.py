"""The (2+1)D factorisation: a spatial convolution, norm and ReLU, a temporal convolution."""

from dataclasses import replace

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import BatchNorm, relu
from jaxaction.models.ops.conv3d import Conv3d, Triple


def mid_channels(in_channels: int, out_channels: int, kernel_size: Triple) -> int:
    """Returns the channels between the two halves.

    With them the halves have as many weights as a 3x`kh`x`kw` convolution. The temporal size counts
    as 3 even where it is 1, as in MMAction2's `common/conv2plus1d.py`. Tran et al. 2018 (R(2+1)D),
    section 3.5.

    >>> mid_channels(64, 64, (3, 3, 3)), mid_channels(3, 64, (3, 7, 7))
    (144, 83)
    >>> mid_channels(64, 128, (1, 1, 1))
    54
    """
    taps = in_channels * kernel_size[1] * kernel_size[2]
    return int(3 * (taps * out_channels) / (taps + 3 * out_channels))


class Conv2Plus1d(nn.Module):
    """Returns `conv_t(relu(bn_s(conv_s(x))))`, with `mid` channels in between.

    `mid` 0 stands for the number that `mid_channels` gives. Temporal strides and padding go to
    `conv_t`, spatial ones to `conv_s`. With `time_first`, `conv_t` comes before the norm and
    `conv_s` after it. The norm `bn_s` has PyTorch's default epsilon and momentum whatever `options`
    say, as in MMAction2. `freeze`: see `freezing.freeze_level`.
    """

    features: int
    kernel_size: Triple
    strides: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    mid: int = 0
    time_first: bool = False
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        mid = self.mid or mid_channels(x.shape[-1], self.features, self.kernel_size)
        if self.time_first:
            first, second = self._temporal(mid), self._spatial(self.features)
        else:
            first, second = self._spatial(mid), self._temporal(self.features)
        x = first(x)
        if not self.options.folded:
            options = replace(self.options, norm_eps=1e-5, norm_momentum=0.1)
            x = BatchNorm(options, freeze=self.freeze, name="bn_s")(x, train)
        return second(relu(x))

    def _spatial(self, features: int) -> Conv3d:
        _, kh, kw = self.kernel_size
        _, sh, sw = self.strides
        _, ph, pw = self.padding
        return Conv3d(
            features,
            kernel_size=(1, kh, kw),
            strides=(1, sh, sw),
            padding=(0, ph, pw),
            use_bias=self.options.folded,
            dtype=self.options.dtype,
            freeze=self.freeze,
            name="conv_s",
        )

    def _temporal(self, features: int) -> Conv3d:
        return Conv3d(
            features,
            kernel_size=(self.kernel_size[0], 1, 1),
            strides=(self.strides[0], 1, 1),
            padding=(self.padding[0], 0, 0),
            use_bias=self.options.folded,
            dtype=self.options.dtype,
            freeze=self.freeze,
            name="conv_t",
        )
