"""MMAction2's configs and weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxaction.errors import InputError
from jaxaction.interop.layout import LEAVES, Path, fit, from_torch, to_torch, to_torch_shape
from jaxaction.interop.mmaction_model import model_config
from jaxaction.models import abstract_variables, build
from jaxaction.models.contract import VideoModel

__all__ = ["convert", "from_torch", "mmaction_key", "model_config", "state_dict", "to_torch_shape"]


def convert(state_dict: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns variables `{"params", "batch_stats"}` from MMAction2's `state_dict`, as float32.

    `config` is that of `jaxaction.build`. Strict: InputError (a ValueError) lists the weights that
    the model has and the dict lacks, those that only the dict has, and those of another shape.
    PyTorch's `num_batches_tracked` counters are left out.
    """
    model = build(config)
    shapes = traverse_util.flatten_dict(abstract_variables(model))
    fitted = fit(state_dict, {path: mmaction_key(model, path) for path in shapes}, shapes)
    fitted.check_complete()
    return traverse_util.unflatten_dict(fitted.variables)


def state_dict(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns MMAction2's `state_dict` of variables, which `convert` gives back exactly.

    Counters of batches (`num_batches_tracked`) are 0, so that PyTorch loads it strictly. InputError
    for a network that MMAction2 doesn't have.
    """
    model = build(config)
    if setting := model.missing_in_mmaction():
        raise InputError(f"MMAction2 has no network with {setting}; its weights can't go there")
    weights = {}
    for path, leaf in traverse_util.flatten_dict(dict(variables)).items():
        key = mmaction_key(model, path)
        flat = model.MMACTION_IS_2D and "non_local_block" not in path
        weights[key] = to_torch(np.asarray(leaf), flat)
        if path[-1] == "var":
            counter = key.removesuffix("running_var") + "num_batches_tracked"
            weights[counter] = np.zeros((), np.int64)
    return weights


def mmaction_key(model: VideoModel, path: Path) -> str:
    """Returns MMAction2's name of the variable at `path`, which begins with its collection."""
    _, *modules, leaf = path
    return ".".join([*model.mmaction_modules(tuple(modules)), LEAVES[leaf]])
