"""Batch norms folded into the convolutions before them, for inference."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxaction.errors import InputError
from jaxaction.models import abstract_variables
from jaxaction.models.contract import VideoModel
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d

Path = tuple[str, ...]


def fold_batch_norm(model: VideoModel, variables: Mapping) -> tuple[VideoModel, dict[str, Any]]:
    """Returns the model without its batch norms, for inference alone, and its `{"params"}`.

    Each norm (its running statistics, scale and bias) goes into the kernel of the convolution
    before it and a bias there, so logits and `features` are the same up to rounding. InputError for
    a model that is folded already, and for variables of another model.
    """
    if not isinstance(model, nn.Module) or not isinstance(variables, Mapping):
        given = f"{type(model).__name__}, {type(variables).__name__}"
        raise InputError(f"fold_batch_norm takes a model and its variables, in this order: {given}")
    if model.folded:
        raise InputError(
            "the model is folded already (model.folded is true); use it and its variables as they "
            "are, or fold the model that it comes from"
        )
    convs, expected = _trace(model)
    leaves = flatten_dict(variables)
    if _shapes(leaves) != _shapes(flatten_dict(expected)):
        raise InputError(
            "the variables don't fit the model: names or shapes differ; "
            "give the params and batch_stats of this very model"
        )
    for norm, (conv, epsilon) in convs.items():
        _fold(leaves, conv, norm, epsilon)
    leaves = {path: jnp.asarray(leaf, jnp.float32) for path, leaf in leaves.items()}
    return model.clone(folded=True), unflatten_dict(leaves)


def _trace(model: VideoModel) -> tuple[dict[Path, tuple[Path, float]], dict[str, Any]]:
    """Returns what belongs to each batch norm, by its path, and the model's abstract variables.

    To a norm belong the path of the convolution whose output it gets, and its epsilon.
    """
    convs, last_conv, last_output = {}, (), None

    def watch(call, args, kwargs, context):
        nonlocal last_conv, last_output
        module = context.module if context.method_name == "__call__" else None
        if isinstance(module, BatchNorm):
            if args[0] is not last_output:
                raise ValueError(f"{'/'.join(module.path)} follows no convolution: not foldable")
            convs[module.path] = last_conv, module.options.norm_eps
        output = call(*args, **kwargs)
        if isinstance(module, Conv3d):
            last_conv, last_output = module.path, output
        return output

    with nn.intercept_methods(watch):
        return convs, abstract_variables(model)


def _fold(leaves: dict[Path, Any], conv: Path, norm: Path, epsilon: float) -> None:
    """Replaces the norm's leaves by another kernel and a bias of the convolution, in float64."""
    params, stats = (
        {name: np.asarray(leaves.pop((collection, *norm, name)), np.float64) for name in names}
        for collection, names in (("params", ("scale", "bias")), ("batch_stats", ("mean", "var")))
    )
    factor = params["scale"] / np.sqrt(stats["var"] + epsilon)
    kernel = ("params", *conv, "kernel")
    leaves[kernel] = np.asarray(leaves[kernel]) * factor
    leaves["params", *conv, "bias"] = params["bias"] - stats["mean"] * factor


def _shapes(leaves: dict[Path, Any]) -> dict[Path, tuple[int, ...]]:
    return {path: np.shape(leaf) for path, leaf in leaves.items()}
