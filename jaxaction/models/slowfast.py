"""SlowFast: a wide network on few frames beside a narrow one on many."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaction.errors import InputError
from jaxaction.models import layer_options
from jaxaction.models.base import Recognizer
from jaxaction.models.contract import ClipShape
from jaxaction.models.heads import pool
from jaxaction.models.layer_options import LayerOptions, gather_options
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
    *layer_options.NAMES,
)


class Lateral(nn.Module):
    """Returns fast features at the slow frames, `factor` times the channels, by a convolution.

    `norm` adds batch norm and ReLU; with `options.folded` the convolution's bias replaces the norm.
    `freeze`: see `freezing.freeze_level`.
    """

    factor: int
    kernel_t: int
    stride_t: int
    norm: bool
    options: LayerOptions
    freeze: str

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h w k"]:
        conv = Conv3d(
            self.factor * x.shape[-1],
            kernel_size=(self.kernel_t, 1, 1),
            strides=(self.stride_t, 1, 1),
            padding=((self.kernel_t - 1) // 2, 0, 0),
            use_bias=self.norm and self.options.folded,
            dtype=self.options.dtype,
            freeze=self.freeze,
            name="conv",
        )
        x = conv(x)
        if not self.norm:
            return x
        if not self.options.folded:
            x = BatchNorm(self.options, freeze=self.freeze, name="bn")(x, train)
        return nn.relu(x)


class SlowPath(ResNet):
    """The slow path, which owns the lateral connections as in MMAction2.

    They are `conv1_lateral`, `layer1_lateral`, and so on. Each is frozen with the stage that it
    leads into, whose input would change otherwise.
    """

    lateral_fields: Mapping = nn.FrozenDict()  # of `Lateral`; empty: there are no connections

    def setup(self) -> None:
        super().setup()
        if self.lateral_fields:
            self.conv1_lateral = self._lateral(1)
            for stage in range(1, self.num_stages):
                setattr(self, f"layer{stage}_lateral", self._lateral(stage + 1))

    def _lateral(self, into_stage: int) -> Lateral:
        freeze = self.freeze(into_stage)
        return Lateral(**self.lateral_fields, options=self.options, freeze=freeze)

    def fuse(self, after: str, slow: Array, fast: Array, train: bool) -> Array:
        """Returns the slow features, and beside them what the lateral connection makes of the fast.

        `after` names the layer that both come from: "conv1", "layer1", ...
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
        slow_path, fast_path = self.slow_path, self.fast_path
        slow = slow_path.stem(self._slow_frames(clip), train)
        fast = fast_path.stem(clip[:, :: self.resample_rate // self.speed_ratio], train)
        slow = slow_path.fuse("conv1", slow, fast, train)
        for stage in range(slow_path.num_stages):
            slow = slow_path.layer(stage)(slow_path.pool_before(stage, slow), train)
            slow = slow_path.pool_after(stage, slow)
            fast = fast_path.layer(stage)(fast_path.pool_before(stage, fast), train)
            fast = fast_path.pool_after(stage, fast)
            if stage + 1 < slow_path.num_stages:
                slow = slow_path.fuse(f"layer{stage + 1}", slow, fast, train)
        return slow, fast

    def _slow_frames(self, clip):
        if self.slow_frames == "stride":
            return clip[:, :: self.resample_rate]
        t = clip.shape[1]
        return clip[:, np.linspace(0, t - 1, t // self.resample_rate).astype(int)]


class SlowFast(Recognizer):
    """SlowFast networks. Feichtenhofer et al. 2019.

    A wide path sees few frames of the clip, a narrow one sees many. Lateral convolutions bring the
    features of the fast path into the slow one. A lateral convolution is frozen with the slow path.
    """

    depth: int = 50
    """Depth of both ResNets: 18 and 34 have basic blocks, 50, 101 and 152 have bottlenecks."""
    stage_blocks: tuple[int, ...] = ()
    """Blocks of each stage of both paths; empty: those of `depth`."""
    width: int = 64
    """Channels of the slow path's stem. 64 is the paper's."""
    resample_rate: int = 8
    """The slow path sees every `resample_rate`-th frame of the clip (tau in the paper)."""
    speed_ratio: int = 8
    """The fast path sees this many times the frames of the slow path (alpha in the paper)."""
    channel_ratio: int = 8
    """The fast path has 1/`channel_ratio` of the channels (1/beta in the paper)."""
    slow_frames: str = "stride"
    """Frames of the slow path: "stride" every `resample_rate`-th, "linspace" as many from the
    first to the last, as in PySlowFast."""
    lateral: bool = True
    """Whether the slow path gets the fast path's features after the stem and each stage but the
    last. Without, the paths meet at the classifier only."""
    lateral_norm: bool = False
    """Whether a batch norm and a ReLU follow each lateral convolution."""
    lateral_factor: int = 2
    """A lateral convolution puts out this many times the fast path's channels."""
    fusion_kernel: int = 5
    """Frames that a lateral convolution spans; 7 suits a `speed_ratio` of 4."""
    slow: Mapping = SLOW
    """Fields of the slow path's ResNet that differ from the shared ones."""
    fast: Mapping = FAST
    """Fields of the fast path's ResNet that differ from the shared ones."""
    zero_init_residual: bool = True
    """Whether the last batch norm of each block starts with scale 0, so that the block starts as
    the identity."""

    RUN_FIELDS = Recognizer.RUN_FIELDS | {"zero_init_residual", "partial_bn"}
    IMAGE_BACKBONE = ("backbone", "slow_path")
    TINY = {"stage_blocks": (1, 1), "width": 8}

    def setup(self) -> None:
        super().setup()
        slow, fast = self.paths()
        self.backbone = TwoPaths(
            slow=slow,
            fast=fast,
            resample_rate=self.resample_rate,
            speed_ratio=self.speed_ratio,
            slow_frames=self.slow_frames,
        )

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
        return nn.FrozenDict(gather_options(slow)), nn.FrozenDict(gather_options(fast))

    @property
    def out_channels(self) -> int:
        """Channels that the head sees, of both paths."""
        return SlowPath(**self.paths()[0]).out_channels + self.fast_channels

    @property
    def fast_channels(self) -> int:
        """Channels that the head sees of the fast path, the first ones."""
        return ResNet(**self.paths()[1]).out_channels

    def pool(self, features: tuple[Array, Array]) -> Float[Array, "n c"]:
        return jnp.concatenate([pool(path) for path in self.head_paths(features)], axis=-1)

    def head_paths(self, features: tuple[Array, Array]) -> tuple[Array, Array]:
        slow, fast = features
        return fast, slow

    def example_clip(self) -> ClipShape:
        return (1, 2 * self.resample_rate, 64, 64, self.in_channels)

    @property
    def freezes_parameters(self) -> bool:
        return any(
            path["frozen_stages"] >= 0 or path.get("partial_bn", False) for path in self.paths()
        )

    @property
    def uses_remat(self) -> bool:
        return any(path["remat"] for path in self.paths())

    def missing_in_mmaction(self) -> str:
        return "" if self.slow_frames == "stride" else f"model.slow_frames={self.slow_frames}"

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
        super().check_clip(shape)
        rate, t = self.resample_rate, shape[1]
        if t % rate or not t:
            near = [m for m in (t // rate * rate, -(-t // rate) * rate) if m] or [rate]
            raise InputError(
                f"clip_len {t} is not a multiple of resample_rate {rate}; "
                f"set data.clip_len to {' or '.join(map(str, dict.fromkeys(near)))}"
            )
