"""From a `state_dict` of any known project to variables of a model, with a report."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxaction.errors import InputError
from jaxaction.interop import layout, mmaction, sources
from jaxaction.interop.layout import LEAVES, Path
from jaxaction.models import abstract_variables, build
from jaxaction.models.contract import VideoModel
from jaxaction.text import SHOWN, first_few

HEAD = "cls_head."


class Conversion(NamedTuple):
    """Variables `{"params", "batch_stats"}`, and the names (MMAction2's) behind them."""

    variables: dict[str, Any]
    source: str
    matched: list[str]
    fresh: list[str]  # initialised at random, since the weights have none for them
    unused: list[str]  # weights that the model has no place for
    reshaped: list[str]  # inflated over frames, or with zeros for the inputs from laterals

    @property
    def new_head(self) -> bool:
        """Whether the classifier is a fresh one."""
        return any(key.startswith(HEAD) for key in self.fresh)


def convert(
    weights: Mapping[str, np.ndarray], config: Mapping[str, Any], new_head: bool = False
) -> Conversion:
    """Fits weights of one of `sources.SOURCES` to the model that `jaxaction.build(config)` makes.

    Strict both ways: InputError lists what is missing, unexpected or of another shape, and names
    weights that are not finite. There are two exceptions. With `new_head` the classifier is fresh.
    2D ImageNet weights are inflated into 3D networks, as MMAction2 does, and leave classifiers,
    laterals, non-local blocks and the fast path fresh.
    """
    model, source = build(config), sources.recognise(weights)
    given = _renamed(layout.without_counters(weights), source, model)
    shapes = traverse_util.flatten_dict(abstract_variables(model))
    name = _plain_key if source.imagenet else mmaction.mmaction_key
    names = {path: name(model, path) for path in shapes}
    unused = [key for key in given if key.startswith(HEAD)] if new_head or source.imagenet else []
    given = {key: value for key, value in given.items() if key not in unused}
    reshaped = _inflate(given, names, shapes) if source.imagenet else []
    fitted = layout.fit(given, names, shapes)
    fresh = [key for key in fitted.missing if _may_be_fresh(key, source, new_head)]
    missing = [key for key in fitted.missing if key not in fresh]
    fitted._replace(missing=missing).check_complete(SHOWN)
    _check_values(given)
    fresh_paths = {path for path, key in names.items() if key in fresh}
    leaves = fitted.variables | _fresh_values(model, fresh_paths)
    matched = [names[path] for path in fitted.variables]
    variables = traverse_util.unflatten_dict(leaves)
    return Conversion(variables, source.name, matched, fresh, unused, reshaped)


def _renamed(
    weights: Mapping[str, Any], source: sources.Source, model: VideoModel
) -> dict[str, Any]:
    """The weights under MMAction2's names, with the channels in the order of our classifier."""
    renamed = {new: weights[old] for old, new in source.rename(weights).items()}
    if source.imagenet:
        backbone = ".".join(model.IMAGE_BACKBONE)
        renamed = {key.replace("backbone", backbone, 1): value for key, value in renamed.items()}
    classifier = f"{HEAD}fc_cls.weight"
    if source.slow_first and classifier in renamed:
        renamed[classifier] = np.roll(renamed[classifier], model.fast_channels, axis=1)
    return renamed


def _plain_key(model: VideoModel, path: Path) -> str:
    """MMAction2's name without the wrappers of TSM, which pretrained networks don't have."""
    del model
    return ".".join([*path[1:-1], LEAVES[path[-1]]])


def _may_be_fresh(key: str, source: sources.Source, new_head: bool) -> bool:
    if key.startswith(HEAD):
        return new_head or source.imagenet
    not_in_image_networks = ("non_local_block", "_lateral.", "backbone.fast_path.")
    return source.imagenet and any(name in key for name in not_in_image_networks)


def _inflate(
    weights: dict[str, np.ndarray], names: Mapping[Path, str], shapes: Mapping[Path, Any]
) -> list[str]:
    """Spreads 2D kernels over the frames of 3D ones, in place; returns the names of those changed.

    Each frame gets the kernel divided by their number, so that a still clip gives what the picture
    gave (Carreira and Zisserman 2017). Inputs of the slow path that come from laterals get zeros.
    """
    changed = []
    for path, key in names.items():
        weight, shape = weights.get(key), layout.to_torch_shape(shapes[path].shape)
        if weight is None or weight.ndim != 4 or list(weight[:, :, None].shape) == shape:
            continue
        frames, extra = shape[2], shape[1] - weight.shape[1]
        if "slow_path.layer" in key and extra > 0:
            weight = np.pad(weight, [(0, 0), (0, extra), (0, 0), (0, 0)])
        weights[key] = np.repeat(
            np.asarray(weight, np.float32)[:, :, None] / frames, frames, axis=2
        )
        changed.append(key)
    return changed


def _check_values(weights: Mapping[str, np.ndarray]) -> None:
    """Raises InputError for weights that a float32 network can't have, and names the first few."""
    kinds = {key: value.dtype for key, value in weights.items()}
    strange = [key for key, dtype in kinds.items() if not jnp.issubdtype(dtype, jnp.floating)]
    if strange:
        types = ", ".join(sorted({str(kinds[key]) for key in strange}))
        raise InputError(
            f"{len(strange)} weights are no floating-point numbers but {types}:"
            f" {first_few(strange)}; take a checkpoint that is not quantised"
        )
    with np.errstate(over="ignore"):  # float64 values that float32 can't hold become infinite
        singles = {key: np.asarray(value, np.float32) for key, value in weights.items()}
    bad = [key for key, value in singles.items() if not np.isfinite(value).all()]
    negative = [key for key, value in singles.items() if key.endswith("_var") and value.min() < 0]
    if bad or negative:
        what = "not finite" if bad else "variances below 0"
        raise InputError(
            f"{len(bad or negative)} weights have values that are {what}:"
            f" {first_few(bad or negative)}; take a checkpoint from before the training diverged"
        )


def _fresh_values(model: VideoModel, paths: set[Path]) -> dict[Path, np.ndarray]:
    """Fresh values (seed 0) of some of a model's variables."""
    if not paths:
        return {}

    def leaves(key):
        variables = model.init(key, jnp.zeros(model.example_clip(), jnp.float32), False)
        flat = traverse_util.flatten_dict(variables)
        return {"/".join(path): flat[path] for path in paths}

    values = jax.jit(leaves)(jax.random.key(0))
    return {path: np.asarray(values["/".join(path)]) for path in paths}
