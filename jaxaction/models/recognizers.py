"""Five of the six families: a residual network and a head.

SlowFast and TSM's MobileNet have files of their own.
"""

from collections.abc import Mapping
from dataclasses import fields

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.errors import InputError
from jaxaction.models.checks import check_segments, check_shape, check_trainable
from jaxaction.models.heads import Head, pool, pool_space
from jaxaction.models.ops.conv3d import Triple
from jaxaction.models.resnet import ResNet


class Recognizer(nn.Module):
    """What the families share; `features` and `__call__` are the two things to do with a model.

    `dropout` and `init_std` are the head's. `bn_group`: see `layers.BatchNorm`. `dtype` is what
    activations are computed in, "float32" or "bfloat16"; parameters, statistics and logits are
    float32. `folded` is what `fold.fold_batch_norm` sets: biases in place of norms.
    `frozen_stages`, `norm_eval` and `remat` (also in docs/decisions.md): see `ResNet`.
    """

    num_classes: int
    depth: int = 50
    stage_blocks: tuple[int, ...] = ()
    width: int = 64
    in_channels: int = 3
    style: str = "pytorch"
    spatial_strides: tuple[int, ...] = (1, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
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
        self.backbone = ResNet(**self.backbone_fields())
        self.cls_head = Head(self.num_classes, self.dropout, self.init_std)

    def backbone_fields(self) -> Mapping:
        """Returns the fields of `ResNet` that this module has too."""
        shared = {f.name for f in fields(ResNet)} - {"parent", "name"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in shared}

    @property
    def out_channels(self) -> int:
        """Channels that the head sees."""
        return ResNet(**self.backbone_fields()).out_channels

    def features(self, clip: Float[Array, "n t h w c"], train: bool = False) -> Array:
        """Returns the backbone's output `[n, t2, h2, w2, k]`, the reference's `extract_feat`."""
        check_trainable(train, self.folded)
        self.check_clip(clip.shape)
        return self.backbone(clip, train)

    def __call__(self, clip: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n k"]:
        """Returns the logits of normalised clips; InputError for a shape that it can't take."""
        return self.cls_head(self.pool(self.features(clip, train)), train)

    def pool(self, features: Float[Array, "n t h w c"]) -> Float[Array, "n *t c"]:
        return pool(features)

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raises InputError for a clip shape `[n, t, h, w, c]` that this network can't take."""
        check_shape(shape, self.in_channels)


class TSN(Recognizer):
    """Temporal segment network: a 2D ResNet, features averaged before the classifier.

    Wang et al. 2016. The axis `t` of the clip is the segments; any number will do. `partial_bn`
    freezes all norms but the first, as section 3.2 there does after pretraining.
    """

    partial_bn: bool = False
    dropout: float = 0.4

    def backbone_fields(self) -> Mapping:
        return {**super().backbone_fields(), **FLAT}


class TSM(Recognizer):
    """Temporal shift module: a 2D ResNet whose blocks exchange channels between segments.

    Lin et al. 2019. `is_shift` and `temporal_pool` are the reference's; `num_segments` is the `t`
    that the clip must have. `partial_bn` freezes all norms but the first.
    """

    num_segments: int = 8
    is_shift: bool = True
    shift_div: int = 8
    shift_place: str = "blockres"
    temporal_pool: bool = False
    partial_bn: bool = False
    non_local: tuple = (0, 0, 0, 0)
    non_local_cfg: Mapping = nn.FrozenDict()
    init_std: float = 0.001

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


FLAT = {
    "conv1_kernel": (1, 7, 7),
    "inflate": (0, 0, 0, 0),
    "with_pool2": False,
    "zero_init_residual": False,
}


class I3D(Recognizer):
    """Inflated 3D ResNet; the fields are those of `ResNet`.

    Carreira & Zisserman 2017, Wang et al. 2018.
    """

    conv1_kernel: Triple = (5, 7, 7)
    conv1_stride_s: int = 2
    conv1_stride_t: int = 2
    pool1_stride_s: int = 2
    pool1_stride_t: int = 2
    with_pool1: bool = True
    with_pool2: bool = True
    temporal_strides: tuple[int, ...] = (1, 1, 1, 1)
    inflate: tuple = (1, 1, 1, 1)
    inflate_style: str = "3x1x1"
    non_local: tuple = (0, 0, 0, 0)
    non_local_cfg: Mapping = nn.FrozenDict()
    zero_init_residual: bool = True

    def check_clip(self, shape: tuple[int, ...]) -> None:
        super().check_clip(shape)
        stride_t = self.conv1_stride_t * (self.pool1_stride_t if self.with_pool1 else 1)
        if self.with_pool2 and shape[1] <= stride_t:
            raise InputError(
                f"a clip of {shape[1]} frames (data.clip_len) has one left at the pooling after "
                f"layer1, which takes two; set data.clip_len to {stride_t + 1} or more"
            )


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
