"""The networks, and how a config becomes one."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxaction.errors import InputError
from jaxaction.models.mobilenet import TSMMobileNetV2
from jaxaction.models.recognizers import I3D, TSM, TSN, R2Plus1D, SlowOnly
from jaxaction.models.slowfast import SlowFast
from jaxaction.runtime import xla_options

MODELS = {
    "tsn": TSN,
    "tsm": TSM,
    "tsm_mobilenetv2": TSMMobileNetV2,
    "i3d": I3D,
    "r2plus1d": R2Plus1D,
    "slowonly": SlowOnly,
    "slowfast": SlowFast,
}


def build(config: Mapping[str, Any]) -> nn.Module:
    """Returns the Linen module that `config` describes: a `name` of `MODELS` and its fields.

    Lists become tuples and dicts are frozen, so a config that went through JSON will do. InputError
    (a ValueError) names an unknown model or field and the nearest known one.
    """
    options = {key: frozen(value) for key, value in dict(config).items()}
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


def init(model: nn.Module, clip_shape: tuple[int, ...], key: jax.Array) -> dict[str, Any]:
    """Returns fresh variables `{"params", "batch_stats"}` for clips of shape `[n, t, h, w, c]`."""

    def variables(key):
        return model.init(key, jnp.zeros(clip_shape, jnp.float32), False)

    if isinstance(key, jax.core.Tracer):  # inside another program, which has its own options
        return variables(key)
    return jax.jit(variables, compiler_options=xla_options.for_one_run())(key)


def abstract_variables(model: nn.Module) -> dict[str, Any]:
    """Returns the shapes and types of a model's variables, without computing any."""
    return jax.eval_shape(lambda key: init(model, example_clip(model), key), jax.random.key(0))


def example_clip(model: nn.Module) -> tuple[int, int, int, int, int]:
    """Returns the shape of a small clip that the model can take."""
    frames = getattr(model, "num_segments", 0) or 4 * getattr(model, "resample_rate", 8)
    return (1, frames, 64, 64, model.in_channels)


def frozen(value: Any) -> Any:
    """Returns `value` with lists as tuples and mappings as frozen dicts, all the way down."""
    if isinstance(value, Mapping) or hasattr(value, "to_dict"):
        return nn.FrozenDict({key: frozen(item) for key, item in dict(value).items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    return value


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(known)}"
