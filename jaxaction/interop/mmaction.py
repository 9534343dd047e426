"""MMAction2's configs and weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxaction.errors import InputError
from jaxaction.interop.mmaction_config import model_config
from jaxaction.models import abstract_variables, build
from jaxaction.models.mobilenet import TSMMobileNetV2, is_shifted
from jaxaction.models.recognizers import TSM
from jaxaction.models.resnet import ResNet

__all__ = ["convert", "model_config", "reference_key"]

Path = tuple[str, ...]
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def convert(state_dict: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns variables `{"params", "batch_stats"}` from a reference's `state_dict`, as float32.

    `config` is that of `jaxaction.build`. Strict: InputError (a ValueError) lists the weights that
    the model has and the dict lacks, those that it has besides, and those of another shape.
    PyTorch's `num_batches_tracked` counters are left out.
    """
    model = build(config)
    shapes = traverse_util.flatten_dict(abstract_variables(model))
    keys = {path: reference_key(model, path) for path in shapes}
    given = {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}
    variables, misfits = {}, []
    for path in (path for path, key in keys.items() if key in given):
        variables[path] = array = from_torch(given[keys[path]])
        if array.shape != shapes[path].shape:
            wanted = to_torch_shape(shapes[path].shape)
            misfits.append(f"{keys[path]} {list(np.shape(given[keys[path]]))} instead of {wanted}")
    missing = sorted(set(keys.values()) - set(given))
    unexpected = sorted(set(given) - set(keys.values()))
    if missing or unexpected or misfits:
        raise InputError(_differences(missing, unexpected, misfits))
    return traverse_util.unflatten_dict(variables)


def from_torch(array: np.ndarray) -> np.ndarray:
    """Returns a weight in Flax's layout, as float32.

    `[o, i, (t,) h, w]` becomes `[t, h, w, i, o]`, `[o, i]` becomes `[i, o]`.
    """
    array = np.asarray(array, np.float32)
    if array.ndim == 4:
        array = array[:, :, None]
    if array.ndim == 5:
        return np.ascontiguousarray(array.transpose(2, 3, 4, 1, 0))
    return np.ascontiguousarray(array.T)


def to_torch_shape(shape: tuple[int, ...]) -> list[int]:
    """Returns the shape in the reference's layout of a weight of this shape, frames included."""
    return [shape[4], shape[3], *shape[:3]] if len(shape) == 5 else list(shape[::-1])


def reference_key(model: Any, path: Path) -> str:
    """Returns the reference's name of the variable at `path`, which begins with its collection.

    Our names are the reference's, but for the wrappers (`net`, `block`) that TSM puts around
    modules there.
    """
    _, *parts, leaf = path
    if isinstance(model, TSM) and parts[1].startswith("layer"):
        parts = _wrapped(model, parts)
    if isinstance(model, TSMMobileNetV2) and parts[1].startswith("layer"):
        stage, block, rest = int(parts[1][5:]) - 1, int(parts[2]), parts[3:]
        if rest[:2] == ["conv", "0"] and is_shifted(model, stage, block):
            parts = [*parts[:5], "net", *parts[5:]]
    return ".".join([*parts, LEAVES[leaf]])


def _wrapped(model: TSM, parts: list[str]) -> list[str]:
    backbone = ResNet(**model.backbone_fields())
    layer, block, *rest = parts[1:]
    stage, number = int(layer[5:]) - 1, int(block)
    outer = [parts[0], layer, "net"] if model.temporal_pool and stage == 1 else [parts[0], layer]
    outer.append(block)
    if backbone.is_non_local(stage, number) and rest[0] != "non_local_block":
        outer.append("block")
    if backbone.is_shifted(stage, number):
        if model.shift_place == "block":
            outer.append("net")
        elif rest[:2] == ["conv1", "conv"]:
            rest = [*rest[:2], "net", *rest[2:]]
    return outer + rest


def _differences(missing: list[str], unexpected: list[str], misfits: list[str]) -> str:
    parts = (("missing", missing), ("unexpected", unexpected), ("of another shape", misfits))
    listed = [f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in parts if keys]
    return "the weights do not fit the model; " + "; ".join(listed)
