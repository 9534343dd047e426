"""The networks, and how a config becomes one."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxaction.errors import InputError
from jaxaction.models.contract import VideoModel
from jaxaction.models.mobilenet import TSMMobileNetV2
from jaxaction.models.recognizers import I3D, TSM, TSN, R2Plus1D, SlowOnly
from jaxaction.models.slowfast import SlowFast
from jaxaction.runtime import xla_options

MODELS: dict[str, type[VideoModel]] = {
    "tsn": TSN,
    "tsm": TSM,
    "tsm_mobilenetv2": TSMMobileNetV2,
    "i3d": I3D,
    "r2plus1d": R2Plus1D,
    "slowonly": SlowOnly,
    "slowfast": SlowFast,
}


def build(config: Mapping[str, Any] | ConfigDict) -> VideoModel:
    """Returns the Linen module that `config` describes: a `name` of `MODELS` and its fields.

    Lists become tuples and dicts are frozen, so a config that went through JSON will do. InputError
    (a ValueError) names an unknown model or field and the nearest known one.
    """
    options = {key: hashable(value) for key, value in dict(config).items()}
    name = options.pop("name", "")
    if name not in MODELS:
        raise InputError(f"model.name '{name}' is no model; {_nearest(name, MODELS)}")
    known = {f.name: f for f in fields(MODELS[name]) if f.name not in ("parent", "name")}
    for key in options:
        if key not in known:
            raise InputError(f"model.{key} is no field of '{name}'; {_nearest(key, known)}")
    for key, field in known.items():
        if key not in options and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"model.{key} is missing; '{name}' can't be built without it")
    return MODELS[name](**options)


def init(model: VideoModel, clip_shape: tuple[int, ...], key: jax.Array) -> dict[str, Any]:
    """Returns fresh variables `{"params", "batch_stats"}` for clips of shape `[n, t, h, w, c]`."""

    def variables(key):
        return model.init(key, jnp.zeros(clip_shape, jnp.float32), False)

    if isinstance(key, jax.core.Tracer):  # inside another program, which has its own options
        return variables(key)
    return jax.jit(variables, compiler_options=xla_options.for_one_run())(key)


def abstract_variables(model: VideoModel) -> dict[str, Any]:
    """Returns the shapes and types of a model's variables, without computing any."""
    return jax.eval_shape(lambda key: init(model, model.example_clip(), key), jax.random.key(0))


def hashable(value: Any) -> Any:
    """Returns `value` with lists as tuples and mappings as frozen dicts, all the way down."""
    if isinstance(value, Mapping | ConfigDict):
        return nn.FrozenDict({key: hashable(item) for key, item in dict(value).items()})
    if isinstance(value, list | tuple):
        return tuple(hashable(item) for item in value)
    return value


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(known)}"
