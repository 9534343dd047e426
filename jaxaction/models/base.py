"""`Recognizer`, which all models inherit from."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaction.models.checks import check_shape, check_trainable
from jaxaction.models.contract import Clips, ClipShape
from jaxaction.models.heads import Head, pool


class Recognizer(nn.Module):
    """A backbone and a head, with the defaults of `contract.VideoModel` that suit most networks.

    A family's `setup` makes the child `backbone`, a module that takes a clip and `train`. The
    family defines `out_channels` and `TINY`, and overrides what differs for it.
    """

    num_classes: int
    """Number of classes. 0 in a config takes it from the labels of the training videos."""
    in_channels: int = 3
    """Channels of a frame: 3 for RGB, 2 for one step of flow. The default follows `data.mean`."""
    frozen_stages: int = -1
    """Stages up to this one keep their weights and statistics: -1 none, 0 the stem, 1 also
    `layer1`, and so on. -1, since training from scratch freezes nothing."""
    norm_eval: bool = False
    """Whether all batch norms use their running statistics in training, as for small batches of
    a fine-tuning run."""
    remat: tuple[int, ...] = ()
    """Stages whose activations are computed again in the backward pass: 0 the stem, 1 `layer1`,
    and so on. Saves memory and takes time; empty: none."""
    norm_eps: float = 1e-5
    """Added to the variance in every batch norm. PyTorch's default."""
    norm_momentum: float = 0.1
    """Share of a batch in the running statistics, as in PyTorch (Flax counts the other way)."""
    dropout: float = 0.5
    """Share of pooled features that are dropped before the classifier in training."""
    init_std: float = 0.01
    """Standard deviation of the classifier's initial weights. MMAction2's default."""
    bn_group: int = 0
    """Clips that share batch-norm statistics in training; 0: the whole batch, on all devices.
    MMAction2 has as many as a GPU holds, and its recipes set that number here."""
    dtype: str = "float32"
    """Type of activations and products, set by `compute`: "float32" or "bfloat16". Parameters,
    statistics and logits are float32."""
    folded: bool = False
    """Whether batch norms are folded into convolutions; `fold_batch_norm` sets it."""

    RUN_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"num_classes", "frozen_stages", "norm_eval", "remat"}
        | {"dropout", "init_std", "bn_group", "dtype", "folded"}
    )
    MMACTION_IS_2D: ClassVar[bool] = False
    IMAGE_BACKBONE: ClassVar[tuple[str, ...]] = ("backbone",)
    TINY: ClassVar[Mapping[str, Any]] = {}

    def setup(self) -> None:
        self.cls_head = Head(
            num_classes=self.num_classes, dropout=self.dropout, init_std=self.init_std
        )

    def __call__(self, clip: Clips, train: bool) -> Float[Array, "n k"]:
        """Returns the logits of normalised clips; InputError for a shape that it can't take."""
        self._check_input(clip.shape, train)
        return self.cls_head(self.pool(self.backbone(jnp.asarray(clip), train)), train)

    def features(self, clip: Clips, train: bool = False) -> Array | tuple[Array, ...]:
        """Returns the backbone's output `[n, t2, h2, w2, k]`, MMAction2's `extract_feat`."""
        self._check_input(clip.shape, train)
        return self.backbone(jnp.asarray(clip), train)

    def _check_input(self, shape: tuple[int, ...], train: bool) -> None:
        check_trainable(train, self.folded)
        self.check_clip(shape)

    def pool(self, features: Float[Array, "n t h w c"]) -> Float[Array, "n *t c"]:
        """Returns the pooled features that the head classifies."""
        return pool(features)

    def head_paths(self, features: Array | tuple[Array, ...]) -> tuple[Array, ...]:
        return (features,)

    @property
    def fast_channels(self) -> int:
        return 0

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raises InputError for a clip shape `[n, t, h, w, c]` that this network can't take."""
        check_shape(shape, self.in_channels)

    def example_clip(self) -> ClipShape:
        """Returns the shape of a small clip that this network can take."""
        return (1, 4, 64, 64, self.in_channels)

    @property
    def freezes_parameters(self) -> bool:
        return self.frozen_stages >= 0

    @property
    def uses_remat(self) -> bool:
        return bool(self.remat)

    def mmaction_modules(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        return modules

    def missing_in_mmaction(self) -> str:
        return ""
