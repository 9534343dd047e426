"""The options that all layers of a network share."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class LayerOptions:
    """The fields of a model that every one of its layers needs.

    Users set them as flat keys of `config.model`; the model gathers them here and hands them on.
    `norm_eps`, `norm_momentum` and `bn_group` are those of `layers.BatchNorm`. `dtype` is what
    activations are computed in. With `folded` a convolution has a bias and no norm follows it (see
    `fold.fold_batch_norm`).
    """

    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    bn_group: int = 0
    dtype: str = "float32"
    folded: bool = False


NAMES = tuple(field.name for field in fields(LayerOptions))


def layer_options(model: Any) -> LayerOptions:
    """Returns the `LayerOptions` with the values of the model's own fields."""
    return LayerOptions(**{name: getattr(model, name) for name in NAMES})


def gather_options(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `flat` with the fields of `LayerOptions` gathered under `options`.

    >>> gather_options({"depth": 50, "norm_eps": 0.1})["options"].norm_eps
    0.1
    """
    options = LayerOptions(**{name: value for name, value in flat.items() if name in NAMES})
    others = {name: value for name, value in flat.items() if name not in NAMES}
    return others | {"options": options}
