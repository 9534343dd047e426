"""Five of the six families: a residual network and a head.

SlowFast and TSM's MobileNet have files of their own.
"""

from collections.abc import Mapping
from dataclasses import fields

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.errors import InputError
from jaxaction.models.base import Recognizer
from jaxaction.models.checks import check_segments
from jaxaction.models.contract import ClipShape
from jaxaction.models.heads import pool_space
from jaxaction.models.layer_options import layer_options
from jaxaction.models.ops.conv3d import Triple
from jaxaction.models.resnet import ResNet


class ResNetRecognizer(Recognizer):
    """A recognizer with one `ResNet`, whose fields it has too; five families share it."""

    depth: int = 50
    """Depth of the ResNet: 18 and 34 have basic blocks, 50, 101 and 152 have bottlenecks."""
    stage_blocks: tuple[int, ...] = ()
    """Blocks of each stage, which also sets the number of stages; empty: those of `depth`."""
    width: int = 64
    """Channels of the stem; stages have 1, 2, 4 and 8 times as many (bottlenecks put out 4 times
    those). 64 is the paper's."""
    style: str = "pytorch"
    """Place of a bottleneck's stride: "pytorch" in its 3x3 convolution, "caffe" in its first."""
    spatial_strides: tuple[int, ...] = (1, 2, 2, 2)
    """Stride of each stage in height and width."""
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    """Dilation of each stage in height and width; above 1 it replaces a stride."""

    TINY = {"stage_blocks": (1, 1), "width": 8}

    def setup(self) -> None:
        super().setup()
        self.backbone = ResNet(**self.backbone_fields())

    @property
    def out_channels(self) -> int:
        return ResNet(**self.backbone_fields()).out_channels

    def backbone_fields(self) -> Mapping:
        """Returns the fields of `ResNet` that this model sets."""
        shared = {f.name for f in fields(ResNet)} - {"parent", "name"}
        flat = {f.name: getattr(self, f.name) for f in fields(self) if f.name in shared}
        return {**flat, "options": layer_options(self)}


FLAT = {  # fields of a 2D `ResNet`
    "conv1_kernel": (1, 7, 7),
    "inflate": (0, 0, 0, 0),
    "with_pool2": False,
    "zero_init_residual": False,
}


class TSN(ResNetRecognizer):
    """Temporal segment network: a 2D ResNet, features averaged before the classifier.

    Wang et al. 2016. The axis `t` of the clip is the segments; any number will do. `partial_bn`
    freezes all norms but the first, as section 3.2 there does after pretraining.
    """

    partial_bn: bool = False
    """Whether all batch norms but the first keep their statistics in training. TSN's authors do so
    in fine-tuning."""
    dropout: float = 0.4

    RUN_FIELDS = Recognizer.RUN_FIELDS | {"partial_bn"}
    MMACTION_IS_2D = True

    def backbone_fields(self) -> Mapping:
        return {**super().backbone_fields(), **FLAT}

    @property
    def freezes_parameters(self) -> bool:
        return super().freezes_parameters or self.partial_bn


class TSM(ResNetRecognizer):
    """Temporal shift module: a 2D ResNet whose blocks exchange channels between segments.

    Lin et al. 2019. `is_shift` and `temporal_pool` are MMAction2's; `num_segments` is the `t` that
    the clip must have. `partial_bn` freezes all norms but the first.
    """

    num_segments: int = 8
    """Frames of a clip, which the shift moves features between; equal to `data.clip_len`."""
    is_shift: bool = True
    """Whether features are shifted at all; without, the network is TSN."""
    shift_div: int = 8
    """1/`shift_div` of the channels move a frame back and as many a frame on. 8 is the paper's."""
    shift_place: str = "blockres"
    """Place of the shift: "blockres" before the first convolution inside the residual branch,
    "block" before the whole block."""
    temporal_pool: bool = False
    """Whether frames are halved before the second stage by a max pooling."""
    partial_bn: bool = False
    """Whether all batch norms but the first keep their statistics in training."""
    non_local: tuple = (0, 0, 0, 0)
    """Blocks followed by a non-local block: 0 or 1 for each stage, or a tuple with one for each of
    its blocks. Wang et al. 2018."""
    non_local_cfg: Mapping = nn.FrozenDict()
    """Fields of the non-local blocks: `mode`, `sub_sample`, `norm` and `norm_eps`."""
    init_std: float = 0.001

    RUN_FIELDS = Recognizer.RUN_FIELDS | {"num_segments", "partial_bn"}
    MMACTION_IS_2D = True

    def backbone_fields(self) -> Mapping:
        shift = {"shift_div": self.shift_div if self.is_shift else 0}
        return {**super().backbone_fields(), **FLAT, **shift}

    def pool(self, features: Float[Array, "n t h w c"]) -> Float[Array, "n t c"]:
        return pool_space(features)

    def check_clip(self, shape: tuple[int, ...]) -> None:
        super().check_clip(shape)
        check_segments(shape[1], self.num_segments)
        if self.temporal_pool and self.num_segments % 2:
            raise InputError(
                f"model.num_segments {self.num_segments} is odd, model.temporal_pool halves it; "
                f"set both it and data.clip_len to {self.num_segments + 1}"
            )

    def example_clip(self) -> ClipShape:
        return (1, self.num_segments, 64, 64, self.in_channels)

    @property
    def freezes_parameters(self) -> bool:
        return super().freezes_parameters or self.partial_bn

    @nn.nowrap  # so that the `ResNet` made here is no child of this module
    def mmaction_modules(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        """As ours, with MMAction2's wrappers `net` (pooled or shifted) and `block` (non-local)."""
        root, layer, *inside = modules
        if not layer.startswith("layer"):
            return modules
        backbone = ResNet(**self.backbone_fields())
        stage, block = int(layer.removeprefix("layer")) - 1, int(inside.pop(0))
        pooled = ["net"] if self.temporal_pool and stage == 1 else []
        outside = [root, layer, *pooled, str(block)]
        if backbone.is_non_local(stage, block) and inside[0] != "non_local_block":
            outside.append("block")
        if backbone.is_shifted(stage, block):
            if self.shift_place == "block":
                outside.append("net")
            elif inside[:2] == ["conv1", "conv"]:
                inside.insert(2, "net")
        return (*outside, *inside)


class I3D(ResNetRecognizer):
    """Inflated 3D ResNet; the fields are those of `ResNet`.

    Carreira & Zisserman 2017, Wang et al. 2018.
    """

    conv1_kernel: Triple = (5, 7, 7)
    """(t, h, w) of the stem's kernel."""
    conv1_stride_s: int = 2
    """Stride of the stem in height and width."""
    conv1_stride_t: int = 2
    """Stride of the stem in frames."""
    pool1_stride_s: int = 2
    """Stride of the first max pooling in height and width."""
    pool1_stride_t: int = 2
    """Stride of the first max pooling in frames."""
    with_pool1: bool = True
    """Whether a max pooling follows the stem."""
    with_pool2: bool = True
    """Whether a max pooling over two frames follows the first stage."""
    temporal_strides: tuple[int, ...] = (1, 1, 1, 1)
    """Stride of each stage in frames."""
    inflate: tuple = (1, 1, 1, 1)
    """Blocks whose kernels are three frames deep: 0 or 1 for each stage, or a tuple with one for
    each of its blocks. The others look at single frames."""
    inflate_style: str = "3x1x1"
    """Kernel of an inflated block: "3x1x1" in the first convolution of a bottleneck, "3x3x3" in
    the second."""
    non_local: tuple = (0, 0, 0, 0)
    """Blocks followed by a non-local block: 0 or 1 for each stage, or a tuple with one for each of
    its blocks. Wang et al. 2018."""
    non_local_cfg: Mapping = nn.FrozenDict()
    """Fields of the non-local blocks: `mode`, `sub_sample`, `norm` and `norm_eps`."""
    zero_init_residual: bool = True
    """Whether the last batch norm of each block starts with scale 0, so that the block starts as
    the identity."""

    RUN_FIELDS = Recognizer.RUN_FIELDS | {"zero_init_residual"}

    def check_clip(self, shape: tuple[int, ...]) -> None:
        super().check_clip(shape)
        if shape[1] < self._least_frames:
            raise InputError(
                f"a clip of {shape[1]} frames (data.clip_len) has one left at the pooling after "
                f"layer1, which takes two; set data.clip_len to {self._least_frames} or more"
            )

    @property
    def _least_frames(self) -> int:
        stride_t = self.conv1_stride_t * (self.pool1_stride_t if self.with_pool1 else 1)
        return stride_t + 1 if self.with_pool2 else 0

    def example_clip(self) -> ClipShape:
        return (1, max(self._least_frames, 4), 64, 64, self.in_channels)


class SlowOnly(I3D):
    """The slow path of SlowFast alone: only the last two stages reach over time.

    Feichtenhofer et al. 2019.
    """

    conv1_kernel: Triple = (1, 7, 7)
    conv1_stride_t: int = 1
    pool1_stride_t: int = 1
    with_pool2: bool = False
    inflate: tuple = (0, 0, 1, 1)


class R2Plus1D(I3D):
    """Inflated ResNet whose convolutions are factorised into space and time. Tran et al. 2018.

    `factorize`: see `ResNet`. The norm inside a factorised convolution has epsilon 1e-5, those
    outside `norm_eps`.
    """

    depth: int = 34
    conv1_kernel: Triple = (3, 7, 7)
    conv1_stride_t: int = 1
    pool1_stride_t: int = 1
    with_pool2: bool = False
    temporal_strides: tuple[int, ...] = (1, 2, 2, 2)
    zero_init_residual: bool = False
    norm_eps: float = 1e-3
    factorize: str = "all"
    """Convolutions that are split into space and time: "all" as in MMAction2, "torchvision" all but
    the shortcuts', "middle" the second of each bottleneck, time first, as in pytorchvideo."""

    def missing_in_mmaction(self) -> str:
        return "" if self.factorize == "all" else f"model.factorize={self.factorize}"
