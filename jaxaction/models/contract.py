"""The contract of a model: what everything outside `models/` may ask of one."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

ClipShape = tuple[int, int, int, int, int]  # n t h w c
Clips = Float[Array | np.ndarray, "n t h w c"]


@runtime_checkable
class VideoModel(Protocol):
    """A Flax Linen module that gives the logits of clips; each entry of `MODELS` makes one.

    A model is a frozen dataclass. Its fields are the flat keys of `config.model`: these, and those
    of its family. `base.Recognizer` implements all of it but the backbone, `out_channels` and a
    useful `TINY`. The child `cls_head` makes logits `[n, k]` of pooled features `[n, c]`; its
    parameters depend on `num_classes`.
    """

    # The fields that every model has; see `base.Recognizer`.
    num_classes: int
    in_channels: int
    frozen_stages: int
    norm_eval: bool
    remat: tuple[int, ...]
    norm_eps: float
    norm_momentum: float
    dropout: float
    init_std: float
    bn_group: int
    dtype: str
    folded: bool

    # The network.

    def __call__(self, clip: Clips, train: bool) -> Float[Array, "n k"]:
        """Returns float32 logits of normalised clips; InputError as `check_clip`."""
        ...

    def features(self, clip: Clips, train: bool = False) -> Array | tuple[Array, ...]:
        """Returns the backbone's output `[n, t2, h2, w2, k]`, for several paths one of each."""
        ...

    def head_paths(self, features: Array | tuple[Array, ...]) -> tuple[Array, ...]:
        """Returns the features of each path, in the order in which the head sees their channels."""
        ...

    @property
    def out_channels(self) -> int:
        """Channels that the head sees."""
        ...

    @property
    def fast_channels(self) -> int:
        """The number of the head's channels, the first ones, that a fast path gives; 0: none."""
        ...

    # Clips.

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raises InputError for a clip shape `[n, t, h, w, c]` that this network can't take."""
        ...

    def example_clip(self) -> ClipShape:
        """Returns the shape of a small clip that this network can take."""
        ...

    # Training.

    @property
    def freezes_parameters(self) -> bool:
        """Whether some parameters get no gradient; `trainable.frozen_parameters` says which."""
        ...

    @property
    def uses_remat(self) -> bool:
        """Whether the backward pass computes some activations again."""
        ...

    # Fields (also items of mapping fields) that stay the run's own when it starts from another
    # run's weights (`init_from`). All other fields are taken over with the weights.
    RUN_FIELDS: ClassVar[frozenset[str]]

    # Weights from elsewhere.

    def mmaction_modules(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        """Returns MMAction2's names for the modules around a parameter, given our names."""
        ...

    def missing_in_mmaction(self) -> str:
        """Returns the setting, `model.KEY=VALUE`, that no network of MMAction2 has, or ""."""
        ...

    # Whether MMAction2's network is a 2D one, whose kernels have no axis of frames.
    MMACTION_IS_2D: ClassVar[bool]

    # The path of the module that takes the weights of an image network.
    IMAGE_BACKBONE: ClassVar[tuple[str, ...]]

    # Tests.

    # The fields, beside `num_classes`, of a network of this family that is small enough for tests.
    TINY: ClassVar[Mapping[str, Any]]

    # Linen has these; see `flax.linen.Module`.

    def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any: ...

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any: ...

    def clone(self, **updates: Any) -> Any: ...
