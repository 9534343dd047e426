"""TSM on MobileNetV2. Sandler et al. 2018; the reference's `mobilenet_v2_tsm.py`."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaction.models import remat
from jaxaction.models.checks import (
    check_segments,
    check_shape,
    check_stage_numbers,
    check_trainable,
)
from jaxaction.models.freezing import freeze_level
from jaxaction.models.heads import Head, pool_space
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d
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


def is_shifted(model: "TSMMobileNetV2", stage: int, block: int) -> bool:
    """Whether this block shifts: it expands, keeps its channels and has no stride.

    Stages and blocks count from 0.
    """
    expansion, channels, _, stride = STAGES[stage]
    before = STAGES[stage - 1][1] if block == 0 else channels
    kept = round_channels(before * model.widen_factor) == round_channels(
        channels * model.widen_factor
    )
    return model.is_shift and expansion != 1 and kept and (block > 0 or stride == 1)


class ConvNorm6(nn.Module):
    """A convolution on frames, batch norm and, unless `linear`, ReLU6; children `conv`, `bn`.

    `folded`: the convolution has a bias and no norm follows. `freeze`: see `freezing`.
    """

    features: int
    size: int
    stride: int = 1
    groups: int = 1
    linear: bool = False
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        size, stride, pad = self.size, self.stride, self.size // 2
        shape = (self.features, (1, size, size), (1, stride, stride), (0, pad, pad))
        options = {"dtype": self.dtype, "freeze": self.freeze}
        x = Conv3d(*shape, groups=self.groups, use_bias=self.folded, **options, name="conv")(x)
        if not self.folded:
            norm = (self.norm_eps, self.norm_momentum, self.bn_group)
            x = BatchNorm(*norm, **options, name="bn")(x, train)
        return x if self.linear else jnp.clip(x, 0, 6)


class Layers(nn.Module):
    """`ConvNorm6`s one after the other, named by their number."""

    layers: tuple[nn.FrozenDict, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        for number, fields in enumerate(self.layers):
            x = ConvNorm6(**fields, name=str(number))(x, train)
        return x


class InvertedResidual(nn.Module):
    """Expands, filters each channel, projects; adds the input where the shapes allow it.

    A block that expands and adds its input shifts it in time first.
    """

    features: int
    stride: int
    expansion: int
    shift_div: int
    norm: nn.FrozenDict

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        wide = x.shape[-1] * self.expansion
        layers = [
            dict(features=wide, size=3, stride=self.stride, groups=wide),
            dict(features=self.features, size=1, linear=True),
        ]
        if self.expansion != 1:
            layers.insert(0, dict(features=wide, size=1))
        residual = self.stride == 1 and x.shape[-1] == self.features
        shifted = residual and len(layers) == 3 and self.shift_div
        y = temporal_shift(x, self.shift_div) if shifted else x
        y = Layers(tuple(nn.FrozenDict({**f, **self.norm}) for f in layers), name="conv")(y, train)
        return x + y if residual else y


class MobileStage(nn.Module):
    """Inverted residuals one after the other, named by their number; the first has the stride."""

    features: int
    blocks: int
    stride: int
    expansion: int
    shift_div: int
    norm: nn.FrozenDict
    remat: bool = False  # of each block, as in `resnet.Stage`

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        for number in range(self.blocks):
            stride = self.stride if number == 0 else 1
            shape = (self.features, stride, self.expansion, self.shift_div, self.norm)
            x = remat.run(InvertedResidual(*shape, name=str(number)), x, train, self.remat)
        return x


class MobileNetV2(nn.Module):
    """Backbone `[n, t, h, w, c] -> [n, t, h / 32, w / 32, k]`, frame by frame but for the shift.

    `frozen_stages`, `norm_eval` and `remat` are as in `ResNet`; `conv2` has the number 8.
    """

    widen_factor: float = 1.0
    shift_div: int = 8
    norm: nn.FrozenDict = nn.FrozenDict()
    frozen_stages: int = -1
    norm_eval: bool = False
    remat: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t h2 w2 k"]:
        last = len(STAGES) + 1
        check_stage_numbers(self.frozen_stages, self.remat, last)
        first = round_channels(32 * self.widen_factor)
        conv1 = ConvNorm6(first, 3, stride=2, **self._norm(0), name="conv1")
        x = remat.run(conv1, x, train, 0 in self.remat)
        for number, (expansion, channels, blocks, stride) in enumerate(STAGES, start=1):
            features = round_channels(channels * self.widen_factor)
            shape = (features, blocks, stride, expansion, self.shift_div, self._norm(number))
            stage = MobileStage(*shape, number in self.remat, name=f"layer{number}")
            x = stage(x, train)
        conv2 = ConvNorm6(self.out_channels, 1, **self._norm(last), name="conv2")
        return remat.run(conv2, x, train, last in self.remat)

    def _norm(self, stage: int) -> nn.FrozenDict:
        freeze = freeze_level(stage, self.frozen_stages, self.norm_eval)
        return nn.FrozenDict({**self.norm, "freeze": freeze})

    @property
    def out_channels(self) -> int:
        """Channels of the output: 1280, more where the network is wider than usual."""
        return round_channels(1280 * self.widen_factor) if self.widen_factor > 1 else 1280


class TSMMobileNetV2(nn.Module):
    """TSM on MobileNetV2: the shift comes before the expansion of every block that adds its input.
    Lin et al. 2019.
    """

    num_classes: int
    num_segments: int = 8
    is_shift: bool = True
    shift_div: int = 8
    widen_factor: float = 1.0
    in_channels: int = 3
    frozen_stages: int = -1
    norm_eval: bool = False
    remat: tuple[int, ...] = ()
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    dropout: float = 0.5
    init_std: float = 0.001
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False

    def setup(self) -> None:
        names = ("norm_eps", "norm_momentum", "bn_group", "dtype", "folded")
        norm = nn.FrozenDict({name: getattr(self, name) for name in names})
        shift_div = self.shift_div if self.is_shift else 0
        stages = (self.frozen_stages, self.norm_eval, self.remat)
        self.backbone = MobileNetV2(self.widen_factor, shift_div, norm, *stages)
        self.cls_head = Head(self.num_classes, self.dropout, self.init_std)

    @property
    def out_channels(self) -> int:
        """Channels that the head sees."""
        return MobileNetV2(self.widen_factor).out_channels

    def features(self, clip: Float[Array, "n t h w c"], train: bool = False) -> Array:
        """Returns the backbone's output `[n, t, h2, w2, k]`, the reference's `extract_feat`."""
        check_trainable(train, self.folded)
        self.check_clip(clip.shape)
        return self.backbone(clip, train)

    def __call__(self, clip: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n k"]:
        """Returns the logits of normalised clips; InputError for a shape that it can't take."""
        return self.cls_head(pool_space(self.features(clip, train)), train)

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raises InputError for a clip shape `[n, t, h, w, c]` that this network can't take."""
        check_shape(shape, self.in_channels)
        check_segments(shape[1], self.num_segments)
