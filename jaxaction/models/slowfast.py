"""SlowFast: a wide network on few frames beside a narrow one on many."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaction.errors import InputError
from jaxaction.models.checks import check_shape, check_trainable
from jaxaction.models.heads import Head, pool
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d
from jaxaction.models.resnet import ResNet

SLOW = nn.FrozenDict(conv1_kernel=(1, 7, 7), inflate=(0, 0, 1, 1))
FAST = nn.FrozenDict(conv1_kernel=(5, 7, 7))
BOTH_PATHS = (
    "depth",
    "stage_blocks",
    "zero_init_residual",
    "frozen_stages",
    "norm_eval",
    "remat",
    "norm_eps",
    "norm_momentum",
    "bn_group",
    "dtype",
    "folded",
)


class Lateral(nn.Module):
    """Returns fast features at the slow frames, `factor` times the channels, by a convolution.

    `norm` adds batch norm and ReLU; with `folded` the norm is the convolution's bias.
    """

    factor: int
    kernel_t: int
    stride_t: int
    norm: bool
    norm_fields: Mapping
    dtype: str
    folded: bool
    freeze: str

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h w k"]:
        shape = ((self.kernel_t, 1, 1), (self.stride_t, 1, 1), ((self.kernel_t - 1) // 2, 0, 0))
        options = {"dtype": self.dtype, "freeze": self.freeze}
        bias = self.norm and self.folded
        x = Conv3d(self.factor * x.shape[-1], *shape, use_bias=bias, **options, name="conv")(x)
        if not self.norm:
            return x
        if not self.folded:
            x = BatchNorm(**self.norm_fields, **options, name="bn")(x, train)
        return nn.relu(x)


class SlowPath(ResNet):
    """The slow path, which owns the lateral connections as in the reference.

    They are `conv1_lateral`, `layer1_lateral`, and so on; `lateral_fields` is empty where there are
    none. Each is frozen with the stage that it leads into, whose input would change otherwise.
    """

    lateral_fields: Mapping = nn.FrozenDict()  # empty: not connected

    def setup(self) -> None:
        super().setup()
        if self.lateral_fields:
            norm = {
                "epsilon": self.norm_eps,
                "momentum": self.norm_momentum,
                "bn_group": self.bn_group,
            }
            shared = {"dtype": self.dtype, "folded": self.folded}
            fields = dict(self.lateral_fields, norm_fields=nn.FrozenDict(norm), **shared)
            self.conv1_lateral = Lateral(**fields, freeze=self.freeze(1))
            for stage in range(1, self.num_stages):
                lateral = Lateral(**fields, freeze=self.freeze(stage + 1))
                setattr(self, f"layer{stage}_lateral", lateral)

    def fuse(self, after: str, slow: Array, fast: Array, train: bool) -> Array:
        """Returns the slow features with what comes from the fast ones beside them.

        `after` is what both come from: "conv1", "layer1", ...
        """
        if not self.lateral_fields:
            return slow
        return jnp.concatenate([slow, getattr(self, f"{after}_lateral")(fast, train)], axis=-1)


class TwoPaths(nn.Module):
    """Backbone: clip to slow features `[n, t / resample_rate, h2, w2, k]` and fast ones."""

    slow: Mapping
    fast: Mapping
    resample_rate: int
    speed_ratio: int
    slow_frames: str

    def setup(self) -> None:
        self.slow_path = SlowPath(**self.slow)
        self.fast_path = ResNet(**self.fast)

    def __call__(self, clip: Float[Array, "n t h w c"], train: bool) -> tuple[Array, Array]:
        slow = self.slow_path.stem(self._slow_frames(clip), train)
        fast = self.fast_path.stem(clip[:, :: self.resample_rate // self.speed_ratio], train)
        slow = self.slow_path.fuse("conv1", slow, fast, train)
        for stage in range(self.slow_path.num_stages):
            slow = self.slow_path.stage(stage, slow, train)
            fast = self.fast_path.stage(stage, fast, train)
            if stage + 1 < self.slow_path.num_stages:
                slow = self.slow_path.fuse(f"layer{stage + 1}", slow, fast, train)
        return slow, fast

    def _slow_frames(self, clip):
        if self.slow_frames == "stride":
            return clip[:, :: self.resample_rate]
        t = clip.shape[1]
        return clip[:, np.linspace(0, t - 1, t // self.resample_rate).astype(int)]


class SlowFast(nn.Module):
    """SlowFast networks. Feichtenhofer et al. 2019.

    The slow path sees every `resample_rate`-th frame of the clip (`slow_frames` "stride") or as
    many spread from the first to the last ("linspace", PySlowFast's), the fast path `speed_ratio`
    times as many and has 1/`channel_ratio` of the `width`. `slow` and `fast` are fields of `ResNet`
    for one path over what is set for both. `lateral` connects them after the stem and each stage
    but the last, by convolutions `fusion_kernel` frames deep with `lateral_factor` times the fast
    channels, and `lateral_norm` adds norm and ReLU to them. `frozen_stages`, `norm_eval` and
    `remat` (see `ResNet`) hold for both paths where `slow` and `fast` say nothing else, and the
    slow path's for the lateral connections.
    """

    num_classes: int
    depth: int = 50
    stage_blocks: tuple[int, ...] = ()
    width: int = 64
    in_channels: int = 3
    resample_rate: int = 8
    speed_ratio: int = 8
    channel_ratio: int = 8
    slow_frames: str = "stride"
    lateral: bool = True
    lateral_norm: bool = False
    lateral_factor: int = 2
    fusion_kernel: int = 5
    slow: Mapping = SLOW
    fast: Mapping = FAST
    zero_init_residual: bool = True
    frozen_stages: int = -1
    norm_eval: bool = False
    remat: tuple[int, ...] = ()
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    dropout: float = 0.5
    init_std: float = 0.01
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False

    def setup(self) -> None:
        slow, fast = self.paths()
        self.backbone = TwoPaths(slow, fast, self.resample_rate, self.speed_ratio, self.slow_frames)
        self.cls_head = Head(self.num_classes, self.dropout, self.init_std)

    def paths(self) -> tuple[Mapping, Mapping]:
        """Returns the fields of `SlowPath` and of the fast path's `ResNet`."""
        if self.width < self.channel_ratio:
            raise InputError(
                f"model.width {self.width} over model.channel_ratio {self.channel_ratio} leaves "
                f"the fast path no channel; set model.width to {self.channel_ratio} or more"
            )
        shared = {name: getattr(self, name) for name in BOTH_PATHS} | {"with_pool2": False}
        slow = shared | {"width": self.width} | dict(SLOW) | dict(self.slow)
        fast = shared | {"width": self.width // self.channel_ratio} | dict(FAST) | dict(self.fast)
        if self.lateral:
            slow["lateral_fields"] = nn.FrozenDict(
                factor=self.lateral_factor,
                kernel_t=self.fusion_kernel,
                stride_t=self.speed_ratio,
                norm=self.lateral_norm,
            )
        return nn.FrozenDict(slow), nn.FrozenDict(fast)

    @property
    def out_channels(self) -> int:
        """Channels that the head sees, of both paths."""
        return SlowPath(**self.paths()[0]).out_channels + self.fast_channels

    @property
    def fast_channels(self) -> int:
        """Channels that the head sees of the fast path, the first ones."""
        return ResNet(**self.paths()[1]).out_channels

    def features(self, clip: Float[Array, "n t h w c"], train: bool = False) -> tuple[Array, Array]:
        """Returns the last slow and fast features, the reference's `extract_feat`."""
        check_trainable(train, self.folded)
        self.check_clip(clip.shape)
        return self.backbone(clip, train)

    def __call__(self, clip: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n k"]:
        """Returns the logits of normalised clips; InputError for a shape that it can't take."""
        slow, fast = self.features(clip, train)
        return self.cls_head(jnp.concatenate([pool(fast), pool(slow)], axis=-1), train)

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raises InputError for a clip shape `[n, t, h, w, c]` that this network can't take."""
        if self.resample_rate % self.speed_ratio:
            raise InputError(
                f"model.resample_rate {self.resample_rate} is not a multiple of "
                f"model.speed_ratio {self.speed_ratio}; set one of them so that it is"
            )
        if self.slow_frames not in ("stride", "linspace"):
            raise InputError(
                f"model.slow_frames {self.slow_frames!r} is not one of stride, linspace"
            )
        check_shape(shape, self.in_channels)
        rate, t = self.resample_rate, shape[1]
        if t % rate or not t:
            near = [m for m in (t // rate * rate, -(-t // rate) * rate) if m] or [rate]
            raise InputError(
                f"clip_len {t} is not a multiple of resample_rate {rate}; "
                f"set data.clip_len to {' or '.join(map(str, dict.fromkeys(near)))}"
            )
