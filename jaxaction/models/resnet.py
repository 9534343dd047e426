"""The residual network of all families but MobileNet: 2D, inflated, shifted, factorised.

A 2D network on `[n, t, h, w, c]` is a 3D one whose kernels are one frame deep, so there is one
class. It agrees with MMAction2's `resnet.py`, `resnet_tsm.py`, `resnet3d.py`,
`resnet3d_slowonly.py` and `resnet2plus1d.py`.
"""

from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaction.errors import InputError
from jaxaction.models.checks import check_stage_numbers
from jaxaction.models.conv2plus1d import mid_channels
from jaxaction.models.conv_norm import ConvNorm
from jaxaction.models.freezing import freeze_level
from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import max_pool, relu
from jaxaction.models.non_local import NonLocal
from jaxaction.models.ops.conv3d import Triple
from jaxaction.models.remat import maybe_remat
from jaxaction.models.temporal_shift import temporal_shift

STAGE_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
TORCHVISION_STEM = 45  # channels between the spatial and the temporal half of the stem


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or a `bottleneck` of 1x1, 3x3 and 1x1.

    He et al. 2015. `inflate` makes it three frames deep: both convolutions of a basic block, the
    first ("3x1x1") or the second ("3x3x3") of a bottleneck. `style` "pytorch" puts a bottleneck's
    strides on its second convolution, "caffe" on its first. `shift_div` shifts channels in time
    before the branch ("blockres") or before branch and shortcut ("block"). `factorize`: see
    `ResNet`. `freeze`: see `freezing.freeze_level`.
    """

    width: int
    bottleneck: bool = True
    stride_s: int = 1
    stride_t: int = 1
    dilation: int = 1
    style: str = "pytorch"
    inflate: bool = False
    inflate_style: str = "3x1x1"
    zero_init_residual: bool = False
    shift_div: int = 0
    shift_place: str = "blockres"
    factorize: str = ""
    non_local: Mapping | None = None  # fields of `NonLocal`; None: no non-local block
    options: LayerOptions = LayerOptions()
    freeze: str = ""

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        y = temporal_shift(x, self.shift_div) if self.shift_div else x
        if self.shift_place == "block":
            x = y
        for conv in self._bottleneck() if self.bottleneck else self._basic(x.shape[-1]):
            y = conv(y, train)
        if self._strides != (1, 1, 1) or x.shape[-1] != y.shape[-1]:
            shortcut = self._conv(
                "downsample", y.shape[-1], (1, 1, 1), strides=self._strides, relu=False
            )
            x = shortcut(x, train)
        y = relu(x + y)
        if self.non_local is None:
            return y
        non_local = NonLocal(
            **self.non_local, options=self.options, freeze=self.freeze, name="non_local_block"
        )
        return non_local(y, train)

    @property
    def _strides(self) -> Triple:
        return (self.stride_t, self.stride_s, self.stride_s)

    def _basic(self, in_channels: int) -> list[ConvNorm]:
        kernel = (3 if self.inflate else 1, 3, 3)
        factorized = {}
        if self.factorize == "torchvision":  # both have the middle channels of the first
            mid = mid_channels(in_channels, self.width, kernel)
            factorized = {"factorize": True, "mid": mid}
        last = factorized | {"relu": False, "zero_scale": self.zero_init_residual}
        first = factorized | {"strides": self._strides, "dilation": self.dilation}
        return [
            self._conv("conv1", self.width, kernel, **first),
            self._conv("conv2", self.width, kernel, **last),
        ]

    def _bottleneck(self) -> list[ConvNorm]:
        ones = (1, 1, 1)
        pytorch = self.style == "pytorch"
        kernel1 = (3 if self.inflate and self.inflate_style == "3x1x1" else 1, 1, 1)
        kernel2 = (3 if self.inflate and self.inflate_style == "3x3x3" else 1, 3, 3)
        second = {"strides": self._strides if pytorch else ones, "dilation": self.dilation}
        if self.factorize == "middle":
            second |= {"factorize": True, "mid": self.width, "time_first": True}
        last = {"relu": False, "zero_scale": self.zero_init_residual}
        return [
            self._conv("conv1", self.width, kernel1, strides=ones if pytorch else self._strides),
            self._conv("conv2", self.width, kernel2, **second),
            self._conv("conv3", 4 * self.width, ones, **last),
        ]

    def _conv(
        self, name: str, features: int, kernel_size: Triple, *, dilation: int = 1, **fields
    ) -> ConvNorm:
        dilations = (1, dilation, dilation)
        padding = tuple(size // 2 * d for size, d in zip(kernel_size, dilations, strict=True))
        return ConvNorm(
            features,
            kernel_size=kernel_size,
            padding=padding,
            dilation=dilations,
            options=self.options,
            freeze=self.freeze,
            name=name,
            **{"factorize": self.factorize == "all"} | fields,
        )


class Stage(nn.Module):
    """Blocks one after the other, named by their number; `blocks` holds each one's fields.

    With `remat` the backward pass keeps the input of each block and computes the rest again.
    """

    blocks: tuple[Mapping, ...]
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        for number, fields in enumerate(self.blocks):
            block = Block(**fields, name=str(number))
            x = maybe_remat(block, train and self.remat)(x, train)
        return x


class ResNet(nn.Module):
    """Backbone `[n, t, h, w, c] -> [n, t2, h2, w2, out_channels]`.

    `depth` picks the kind of block and how many a stage has; `stage_blocks` overrides how many. A
    stage's entry in `inflate` and `non_local` is one number for all its blocks or a tuple with one
    for each. The first max pooling (`with_pool1`) looks at single frames and skips frames by
    `pool1_stride_t`; the second (`with_pool2`, after the first stage) takes the maximum of each two
    frames; `temporal_pool` is TSM's, before the second stage. `factorize` makes convolutions
    (2+1)D: "all" of them as MMAction2 does, "torchvision" all but the shortcuts', "middle" the
    second of each bottleneck, time first, as pytorchvideo does.

    `frozen_stages`, `norm_eval`, `partial_bn`: see `freezing.freeze_level`. `remat`: see
    `base.Recognizer`.
    """

    depth: int = 50
    stage_blocks: tuple[int, ...] = ()
    width: int = 64
    conv1_kernel: Triple = (3, 7, 7)
    conv1_stride_s: int = 2
    conv1_stride_t: int = 1
    pool1_stride_s: int = 2
    pool1_stride_t: int = 1
    with_pool1: bool = True
    with_pool2: bool = True
    spatial_strides: tuple[int, ...] = (1, 2, 2, 2)
    temporal_strides: tuple[int, ...] = (1, 1, 1, 1)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    style: str = "pytorch"
    inflate: tuple = (1, 1, 1, 1)
    inflate_style: str = "3x1x1"
    non_local: tuple = (0, 0, 0, 0)
    non_local_cfg: Mapping = nn.FrozenDict()
    zero_init_residual: bool = True
    factorize: str = ""
    shift_div: int = 0
    shift_place: str = "blockres"
    temporal_pool: bool = False
    frozen_stages: int = -1
    norm_eval: bool = False
    partial_bn: bool = False
    remat: tuple[int, ...] = ()
    options: LayerOptions = LayerOptions()

    def setup(self) -> None:
        self._check_fields()
        kernel = self.conv1_kernel
        self.conv1 = ConvNorm(
            self.width,
            kernel_size=kernel,
            strides=(self.conv1_stride_t, self.conv1_stride_s, self.conv1_stride_s),
            padding=tuple(size // 2 for size in kernel),
            factorize=self.factorize in ("all", "torchvision"),
            mid=TORCHVISION_STEM if self.factorize == "torchvision" else 0,
            options=self.options,
            freeze=self.freeze(0),
        )
        for stage in range(self.num_stages):
            blocks = tuple(self._block(stage, i) for i in range(self.num_blocks(stage)))
            setattr(self, f"layer{stage + 1}", Stage(blocks, remat=stage + 1 in self.remat))

    def __call__(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        x = self.stem(x, train)
        for stage in range(self.num_stages):
            x = self.layer(stage)(self.pool_before(stage, x), train)
            x = self.pool_after(stage, x)
        return x

    def stem(self, x: Float[Array, "n t h w c"], train: bool) -> Float[Array, "n t2 h2 w2 k"]:
        """Returns the first convolution's output after the first max pooling."""
        x = maybe_remat(self.conv1, train and 0 in self.remat)(x, train)
        if not self.with_pool1:
            return x
        strides = (self.pool1_stride_t, self.pool1_stride_s, self.pool1_stride_s)
        return max_pool(x, (1, 3, 3), strides, (0, 1, 1))

    def layer(self, stage: int) -> Stage:
        """Returns a stage; 0 is `layer1`."""
        return getattr(self, f"layer{stage + 1}")

    def pool_before(self, stage: int, x: Float[Array, "n t h w c"]) -> Array:
        """Returns the input of a stage (0 is `layer1`), pooled in time where the network does."""
        if self.temporal_pool and stage == 1:
            return max_pool(x, (3, 1, 1), (2, 1, 1), (1, 0, 0))
        return x

    def pool_after(self, stage: int, x: Float[Array, "n t h w c"]) -> Array:
        """Returns the output of a stage (0 is `layer1`), pooled where the network does so."""
        if self.with_pool2 and stage == 0:
            return max_pool(x, (2, 1, 1), (2, 1, 1), (0, 0, 0))
        return x

    @property
    def num_stages(self) -> int:
        return len(self.stage_blocks or STAGE_BLOCKS[self.depth])

    @property
    def out_channels(self) -> int:
        """Channels of the last stage's output."""
        return self.width * 2 ** (self.num_stages - 1) * (4 if self.depth >= 50 else 1)

    def num_blocks(self, stage: int) -> int:
        return (self.stage_blocks or STAGE_BLOCKS[self.depth])[stage]

    def is_shifted(self, stage: int, block: int) -> bool:
        """Whether this block shifts: every one, from ResNet-101 on every second one.

        As in MMAction2, the third stage's length decides, and only before branches ("blockres").
        """
        sparse = self.shift_place == "blockres" and self.num_stages > 2 and self.num_blocks(2) >= 23
        return self.shift_div > 0 and block % (2 if sparse else 1) == 0

    def is_non_local(self, stage: int, block: int) -> bool:
        return bool(self._of_block("non_local", stage, block))

    def freeze(self, stage: int) -> str:
        """Returns the `freeze` of a stage (0 is the stem) and of the lateral connection into it."""
        return freeze_level(
            stage,
            frozen_stages=self.frozen_stages,
            norm_eval=self.norm_eval,
            partial_bn=self.partial_bn,
        )

    def _block(self, stage: int, block: int) -> Mapping:
        """The fields of a `Block`; stages and blocks count from 0."""
        return nn.FrozenDict(
            width=self.width * 2**stage,
            bottleneck=self.depth >= 50,
            stride_s=self.spatial_strides[stage] if block == 0 else 1,
            stride_t=self.temporal_strides[stage] if block == 0 else 1,
            dilation=self.dilations[stage],
            style=self.style,
            inflate=bool(self._of_block("inflate", stage, block)),
            inflate_style=self.inflate_style,
            zero_init_residual=self.zero_init_residual,
            shift_div=self.shift_div if self.is_shifted(stage, block) else 0,
            shift_place=self.shift_place,
            factorize=self.factorize,
            non_local=self.non_local_cfg if self.is_non_local(stage, block) else None,
            options=self.options,
            freeze=self.freeze(stage + 1),
        )

    def _of_block(self, field: str, stage: int, block: int) -> int:
        value = getattr(self, field)[stage]
        return value[block] if isinstance(value, tuple) else value

    def _check_fields(self) -> None:
        for field, choices in (
            ("depth", tuple(STAGE_BLOCKS)),
            ("style", ("pytorch", "caffe")),
            ("inflate_style", ("3x1x1", "3x3x3")),
            ("shift_place", ("blockres", "block")),
            ("factorize", ("", "all", "torchvision", "middle")),
        ):
            if getattr(self, field) not in choices:
                raise InputError(
                    f"model.{field} {getattr(self, field)!r} is not one of "
                    + ", ".join(map(str, choices))
                )
        for field in ("spatial_strides", "temporal_strides", "dilations", "inflate", "non_local"):
            self._check_stages(field)
        check_stage_numbers(self.frozen_stages, self.remat, self.num_stages)

    def _check_stages(self, field: str) -> None:
        value = getattr(self, field)
        if len(value) < self.num_stages:
            raise InputError(
                f"model.{field} {value} has {len(value)} entries, the network "
                f"{self.num_stages} stages; give one a stage"
            )
        for stage, entry in enumerate(value[: self.num_stages]):
            if isinstance(entry, tuple) and len(entry) != self.num_blocks(stage):
                raise InputError(
                    f"model.{field}[{stage}] {entry} has {len(entry)} entries, "
                    f"the stage {self.num_blocks(stage)} blocks; give one a block"
                )
