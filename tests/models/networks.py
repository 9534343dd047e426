"""Tiny networks of every family, their variables, and clips for them.

Everything here asks the models themselves (`models.contract`), so a model is tested as soon as it
is in `MODELS`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import jaxaction
from jaxaction.models import MODELS, abstract_variables
from jaxaction.models.contract import VideoModel

each_model = pytest.mark.parametrize("name", MODELS)


def tiny(name: str, **fields: Any) -> dict[str, Any]:
    """The config of a tiny network of this family, with five classes."""
    return {"name": name, "num_classes": 5, **MODELS[name].TINY, **fields}


def clip_shape(model: VideoModel) -> tuple[int, ...]:
    """The shape of two clips that the model can take."""
    return (2, *model.example_clip()[1:])


def draw_variables(model: VideoModel) -> dict[str, Any]:
    """Random variables, none of them at the value that it is initialised to."""
    rng = np.random.default_rng(0)
    leaves = flatten_dict(abstract_variables(model))
    drawn = {path: _draw(rng, path[-1], leaf.shape) for path, leaf in leaves.items()}
    return jax.tree.map(jnp.asarray, unflatten_dict(drawn))


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name in ("var", "scale"):
        return rng.uniform(0.3, 1.5, shape).astype(np.float32)
    fan_in = np.prod(shape[:-1]) if name == "kernel" else 4
    return (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)


NON_LOCAL = {"non_local": (0, 1), "non_local_cfg": {"norm": True, "norm_eps": 0.4}}
# Every norm_eps is large and unlike the others, so that a norm folded with another's is seen.
NETWORKS = {name: tiny(name, norm_eps=0.1) for name in MODELS} | {
    "tsm non-local": tiny("tsm", norm_eps=0.1, num_segments=4, **NON_LOCAL),
    "i3d non-local": tiny("i3d", norm_eps=0.1, **NON_LOCAL),
    "i3d basic": tiny("i3d", norm_eps=0.1, depth=18, inflate_style="3x3x3"),
    "slowonly caffe": tiny("slowonly", norm_eps=0.1, style="caffe", dilations=(1, 2)),
    "slowfast apart": tiny("slowfast", norm_eps=0.1, lateral=False),
    "slowfast lateral norm": tiny("slowfast", norm_eps=0.1, lateral_norm=True),
    "slowfast non-local": tiny("slowfast", norm_eps=0.1, slow=NON_LOCAL, fast={"norm_eps": 0.7}),
}


def network(name: str, **fields: Any) -> tuple[VideoModel, dict[str, Any], jax.Array]:
    """A model of `NETWORKS`, its random variables, and clips."""
    model = jaxaction.build(NETWORKS[name] | fields)
    clips = np.random.default_rng(1).standard_normal(clip_shape(model), np.float32)
    return model, draw_variables(model), jnp.asarray(clips)
