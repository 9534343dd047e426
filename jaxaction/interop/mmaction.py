"""MMAction2's configs and weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxaction.errors import InputError
from jaxaction.interop.layout import LEAVES, Path, fit, from_torch, to_torch, to_torch_shape
from jaxaction.interop.mmaction_model import model_config
from jaxaction.models import abstract_variables, build
from jaxaction.models.mobilenet import TSMMobileNetV2, is_shifted
from jaxaction.models.recognizers import TSM, TSN
from jaxaction.models.resnet import ResNet

__all__ = ["convert", "from_torch", "model_config", "reference_key", "state_dict", "to_torch_shape"]

# Networks whose convolutions have no axis of frames in the reference, but for non-local blocks.
FLAT = (TSN, TSM, TSMMobileNetV2)


def convert(state_dict: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns variables `{"params", "batch_stats"}` from a reference's `state_dict`, as float32.

    `config` is that of `jaxaction.build`. Strict: InputError (a ValueError) lists the weights that
    the model has and the dict lacks, those that it has besides, and those of another shape.
    PyTorch's `num_batches_tracked` counters are left out.
    """
    model = build(config)
    shapes = traverse_util.flatten_dict(abstract_variables(model))
    found = fit(state_dict, {path: reference_key(model, path) for path in shapes}, shapes)
    found.check()
    return traverse_util.unflatten_dict(found.variables)


def state_dict(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the reference's `state_dict` of variables, which `convert` gives back exactly.

    Counters of batches (`num_batches_tracked`) are 0, so that PyTorch loads it strictly. InputError
    for a network that the reference doesn't have.
    """
    model = build(config)
    for field, value in (("factorize", "all"), ("slow_frames", "stride")):
        if getattr(model, field, value) != value:
            raise InputError(
                f"MMAction2 has no network with model.{field}={getattr(model, field)}; its weights"
                " can't go there"
            )
    weights = {}
    for path, leaf in traverse_util.flatten_dict(dict(variables)).items():
        key = reference_key(model, path)
        flat = isinstance(model, FLAT) and "non_local_block" not in path
        weights[key] = to_torch(np.asarray(leaf), flat)
        if path[-1] == "var":
            counter = key.removesuffix("running_var") + "num_batches_tracked"
            weights[counter] = np.zeros((), np.int64)
    return weights


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
