"""TSM on MobileNetV2. Sandler et al. 2018; MMAction2's `mobilenet_v2_tsm.py`.

docs/add_a_model.md takes this file as its example.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaction.models.base import Recognizer
from jaxaction.models.checks import check_segments, check_stage_numbers
from jaxaction.models.contract import ClipShape
from jaxaction.models.freezing import freeze_level
from jaxaction.models.heads import pool_space
from jaxaction.models.layer_options import LayerOptions, layer_options
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d
from jaxaction.models.remat import maybe_remat
from jaxaction.models.temporal_shift import temporal_shift

STAGES = (  # expansion, channels, blocks, stride
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def round_channels(channels: float) -> int:
    """Returns the multiple of 8 nearest to `channels`, or the next if that loses over a tenth.

    >>> round_channels(16 * 0.75), round_channels(24 * 0.75), round_channels(32 * 1.4)
    (16, 24, 48)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class ConvNorm6(nn.Module):
    """A convolution on frames, batch norm and, unless `linear`, ReLU6; children `conv`, `bn`.

    With `options.folded` the convolution has a bias and no norm follows. `freeze`: see
    `freezing.freeze_level`.
    """

    features: int
    size: int
    stride: int = 1
    groups: int = 1
    linear: bool = False
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        padding = self.size // 2
        conv = Conv3d(
            self.features,
            kernel_size=(1, self.size, self.size),
            strides=(1, self.stride, self.stride),
            padding=(0, padding, padding),
            groups=self.groups,
            use_bias=self.options.folded,
            dtype=self.options.dtype,
            freeze=self.freeze,
            name="conv",
        )
        x = conv(x)
        if not self.options.folded:
            x = BatchNorm(self.options, freeze=self.freeze, name="bn")(x, train)
        return x if self.linear else jnp.clip(x, 0, 6)


class InvertedBottleneck(nn.Module):
    """Expands the channels, filters each of them, and projects them; children named by number."""

    features: int
    stride: int
    expansion: int
    options: LayerOptions
    freeze: str

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        wide = x.shape[-1] * self.expansion
        layers = [
            {"features": wide, "size": 3, "stride": self.stride, "groups": wide},
            {"features": self.features, "size": 1, "linear": True},
        ]
        if self.expansion != 1:
            layers.insert(0, {"features": wide, "size": 1})
        for number, fields in enumerate(layers):
            layer = ConvNorm6(**fields, options=self.options, freeze=self.freeze, name=str(number))
            x = layer(x, train)
        return x


class InvertedResidual(nn.Module):
    """An inverted bottleneck `conv`, with its input added where the shapes allow it.

    A block that expands and adds its input first shifts it in time.
    """

    features: int
    stride: int
    expansion: int
    shift_div: int
    options: LayerOptions
    freeze: str

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        residual = self.stride == 1 and x.shape[-1] == self.features
        shifted = residual and self.expansion != 1 and self.shift_div
        conv = InvertedBottleneck(
            self.features,
            stride=self.stride,
            expansion=self.expansion,
            options=self.options,
            freeze=self.freeze,
            name="conv",
        )
        y = conv(temporal_shift(x, self.shift_div) if shifted else x, train)
        return x + y if residual else y


class MobileStage(nn.Module):
    """Inverted residuals one after the other, named by their number; the first has the stride.

    With `remat` the backward pass keeps the input of each block and computes the rest again.
    """

    features: int
    blocks: int
    stride: int
    expansion: int
    shift_div: int
    options: LayerOptions
    freeze: str
    remat: bool

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        for number in range(self.blocks):
            block = InvertedResidual(
                self.features,
                stride=self.stride if number == 0 else 1,
                expansion=self.expansion,
                shift_div=self.shift_div,
                options=self.options,
                freeze=self.freeze,
                name=str(number),
            )
            x = maybe_remat(block, train and self.remat)(x, train)
        return x


class MobileNetV2(nn.Module):
    """Backbone `[n, t, h, w, c] -> [n, t, h / 32, w / 32, k]`, frame by frame but for the shift.

    `frozen_stages`, `norm_eval` and `remat`: see `base.Recognizer`. The stem `conv1` is stage 0 and
    `conv2` stage 8.
    """

    widen_factor: float = 1.0
    shift_div: int = 8  # 0: no shift
    options: LayerOptions = LayerOptions()
    frozen_stages: int = -1
    norm_eval: bool = False
    remat: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        last = len(STAGES) + 1
        check_stage_numbers(self.frozen_stages, self.remat, last)
        width = round_channels(32 * self.widen_factor)
        conv1 = ConvNorm6(
            width, size=3, stride=2, options=self.options, freeze=self._freeze(0), name="conv1"
        )
        x = maybe_remat(conv1, train and 0 in self.remat)(x, train)
        for number, (expansion, channels, blocks, stride) in enumerate(STAGES, start=1):
            stage = MobileStage(
                round_channels(channels * self.widen_factor),
                blocks=blocks,
                stride=stride,
                expansion=expansion,
                shift_div=self.shift_div,
                options=self.options,
                freeze=self._freeze(number),
                remat=number in self.remat,
                name=f"layer{number}",
            )
            x = stage(x, train)
        conv2 = ConvNorm6(
            self.out_channels, size=1, options=self.options, freeze=self._freeze(last), name="conv2"
        )
        return maybe_remat(conv2, train and last in self.remat)(x, train)

    def _freeze(self, stage: int) -> str:
        return freeze_level(stage, frozen_stages=self.frozen_stages, norm_eval=self.norm_eval)

    @property
    def out_channels(self) -> int:
        """Channels of the output: 1280, more where the network is wider than usual."""
        return round_channels(1280 * self.widen_factor) if self.widen_factor > 1 else 1280


class TSMMobileNetV2(Recognizer):
    """TSM on MobileNetV2: the shift comes before the expansion of every block that adds its input.

    Lin et al. 2019. `num_segments` is the `t` that the clip must have.
    """

    num_segments: int = 8
    """Frames of a clip, which the shift moves features between; equal to `data.clip_len`."""
    is_shift: bool = True
    """Whether features are shifted at all."""
    shift_div: int = 8
    """1/`shift_div` of the channels move a frame back and as many a frame on. 8 is the paper's."""
    widen_factor: float = 1.0
    """Factor on the channels of every layer; 1 is the paper's network."""
    init_std: float = 0.001

    RUN_FIELDS = Recognizer.RUN_FIELDS | {"num_segments"}
    MMACTION_IS_2D = True
    TINY = {"widen_factor": 0.25, "num_segments": 4}

    def setup(self) -> None:
        super().setup()
        self.backbone = MobileNetV2(
            widen_factor=self.widen_factor,
            shift_div=self.shift_div if self.is_shift else 0,
            options=layer_options(self),
            frozen_stages=self.frozen_stages,
            norm_eval=self.norm_eval,
            remat=self.remat,
        )

    @property
    def out_channels(self) -> int:
        return MobileNetV2(widen_factor=self.widen_factor).out_channels

    def pool(self, features: Float[Array, "n t h w c"]) -> Float[Array, "n t c"]:
        return pool_space(features)

    def check_clip(self, shape: tuple[int, ...]) -> None:
        super().check_clip(shape)
        check_segments(shape[1], self.num_segments)

    def example_clip(self) -> ClipShape:
        return (1, self.num_segments, 64, 64, self.in_channels)

    def is_shifted(self, stage: int, block: int) -> bool:
        """Whether this block shifts: it expands, keeps its channels and has no stride.

        Stages and blocks count from 0.
        """
        expansion, channels, _, stride = STAGES[stage]
        before = STAGES[stage - 1][1] if block == 0 else channels
        kept = round_channels(before * self.widen_factor) == round_channels(
            channels * self.widen_factor
        )
        return self.is_shift and expansion != 1 and kept and (block > 0 or stride == 1)

    def mmaction_modules(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        """As ours, but MMAction2 wraps the first convolution of a block that shifts in a `net`."""
        if not modules[1].startswith("layer"):
            return modules
        stage, block = int(modules[1].removeprefix("layer")) - 1, int(modules[2])
        if modules[3:5] == ("conv", "0") and self.is_shifted(stage, block):
            return (*modules[:5], "net", *modules[5:])
        return modules
