"""PyTorch's layout of weights and ours, and how a `state_dict` is fitted to a model."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxaction.errors import InputError
from jaxaction.text import first_few

Path = tuple[str, ...]
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


class Fit(NamedTuple):
    """The weights that fit a model, by their paths in it, and MMAction2's names of the others."""

    variables: dict[Path, np.ndarray]
    missing: list[str]  # the model has them, the weights don't
    unused: list[str]
    misfits: list[str]  # of another shape

    def check_complete(self, shown: int | None = None) -> None:
        """Raises InputError if anything did not fit.

        The message lists the first `shown` of each kind (None: all).
        """
        kinds = {
            "missing": self.missing,
            "unexpected": self.unused,
            "of another shape": self.misfits,
        }
        listed = [
            f"{len(keys)} {kind}: {first_few(keys, shown)}" for kind, keys in kinds.items() if keys
        ]
        if listed:
            raise InputError("the weights do not fit the model; " + "; ".join(listed))


def fit(
    weights: Mapping[str, np.ndarray], names: Mapping[Path, str], shapes: Mapping[Path, Any]
) -> Fit:
    """Puts each weight where `names` says; `shapes` are the model's. Counters are left out."""
    given = without_counters(weights)
    variables, misfits = {}, []
    for path in (path for path, key in names.items() if key in given):
        weight = given[names[path]]
        variables[path] = array = from_torch(weight)
        if array.shape != shapes[path].shape:
            wanted = to_torch_shape(shapes[path].shape)
            misfits.append(f"{names[path]} {list(np.shape(weight))} instead of {wanted}")
    missing = sorted(set(names.values()) - set(given))
    return Fit(variables, missing, sorted(set(given) - set(names.values())), misfits)


def without_counters(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights without PyTorch's `num_batches_tracked`."""
    return {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}


def from_torch(array: np.ndarray) -> np.ndarray:
    """Returns a weight in Flax's layout, as float32.

    `[o, i, (t,) h, w]` becomes `[t, h, w, i, o]`, `[o, i]` becomes `[i, o]`.
    """
    with np.errstate(over="ignore"):  # `conversion` refuses values that become infinite
        array = np.asarray(array, np.float32)
    if array.ndim == 4:
        array = array[:, :, None]
    if array.ndim == 5:
        return np.ascontiguousarray(array.transpose(2, 3, 4, 1, 0))
    return np.ascontiguousarray(array.T)


def to_torch(array: np.ndarray, flat: bool = False) -> np.ndarray:
    """Returns a weight in PyTorch's layout: the inverse of `from_torch`.

    `flat` drops a convolution's axis of frames, which must have length 1.
    """
    if array.ndim != 5:
        return np.ascontiguousarray(array.T)
    array = array.transpose(4, 3, 0, 1, 2)
    return np.ascontiguousarray(array[:, :, 0] if flat else array)


def to_torch_shape(shape: tuple[int, ...]) -> list[int]:
    """Returns the shape that a weight of this shape has in PyTorch, with its axis of frames."""
    return [shape[4], shape[3], *shape[:3]] if len(shape) == 5 else list(shape[::-1])
