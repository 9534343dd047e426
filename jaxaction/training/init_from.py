"""A run that starts from another run, named by `init_from`: its network and its weights."""

from collections.abc import Callable
from typing import Any

import jax
from flax import traverse_util
from ml_collections import ConfigDict

from jaxaction.config import build
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.storage import checkpoint
from jaxaction.text import first_few

HEAD = "cls_head"
# What is the new run's own of a model; all else is part of what the weights were trained for.
OWN = {"num_classes", "num_segments", "dropout", "init_std", "bn_group", "zero_init_residual"}
OWN |= {"frozen_stages", "norm_eval", "partial_bn", "remat", "parent", "name", "dtype", "folded"}

Log = Callable[[str], None]


def load(config: ConfigDict, log: Log) -> checkpoint.Run | None:
    """Loads the run that `config.init_from` names and changes `config` to fit it; None without one.

    The network and the scale of pixels become those of that run, except for the number of classes
    and for options that only training uses; `log` gets a line for each value that changes. The
    protocol of the test stays the config's. InputError if that run is of another family.
    """
    if not config.init_from:
        return None
    run = checkpoint.load_run(config.init_from, log)
    theirs, ours = run.config.model.name, config.model.name
    if theirs != ours:
        raise InputError(f"init_from {config.init_from} holds a {theirs}, the config is a {ours}")
    _take_network(config, run, log)
    for name in ("mean", "std"):
        value = run.config.data[name]
        if value != config.data[name]:
            log(f"as there: data.{name}={value}")
            config.data[name] = value
    return run


def _take_network(config: ConfigDict, run: checkpoint.Run, log: Log) -> None:
    ours, theirs = build.model(config), build.model(run.config)
    for name in ours.__dataclass_fields__:
        if name in OWN or _network(getattr(ours, name)) == _network(getattr(theirs, name)):
            continue
        value = run.config.model.get(name, getattr(theirs, name))
        if hasattr(value, "items"):
            value = _network(value) | _own(getattr(ours, name))
        config.model[name] = value
        log(f"as there: model.{name}={value}")


def _network(value: Any) -> Any:
    """A field's value. From a dict, one of SlowFast's pathways, the keys of OWN are left out."""
    if not hasattr(value, "items"):
        return value
    return {key: item for key, item in value.items() if key not in OWN}


def _own(value: Any) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key in OWN}


def set_classes(config: ConfigDict, log: Log) -> None:
    """Sets `model.num_classes` to that of the training videos.

    Only if the run starts from another run's weights or the number is 0; `log` gets a line if it
    changes.
    """
    if not config.init_from and config.model.num_classes:
        return
    classes = len(build.open_source(config, "train", num_classes=0)[0].label_names)
    if classes != config.model.num_classes:
        log(f"{classes} classes, as the training videos have (config: {config.model.num_classes})")
        config.model.num_classes = classes


def weights(
    config: ConfigDict, run: checkpoint.Run | None, label_names: tuple[str, ...], log: Log
) -> dict[str, jax.Array]:
    """The weights of a run, `{"params/...": array}`, for videos with these classes.

    A classifier for other classes is left out; `log` says whether it is. Empty without a run.
    InputError if anything else is missing there or has another shape.
    """
    if run is None:
        return {}
    theirs = traverse_util.flatten_dict(dict(run.variables), sep="/")
    ours = traverse_util.flatten_dict(build.abstract_variables(config), sep="/")
    wrong = [key for key in sorted(ours | theirs) if not _fits(key, ours, theirs)]
    if wrong:
        raise InputError(
            f"init_from {config.init_from} holds another network: {len(wrong)} weights differ,"
            f" {first_few(wrong)}; convert the weights for this config, or set model.* as there"
        )
    log(f"begins with the weights of {config.init_from}, step {run.step}")
    there, here = run.config.model.num_classes, config.model.num_classes
    difference = labels.differing_labels(run.label_names, label_names)
    if there == here and not difference:
        log(f"the classifier of {here} classes is kept")
        return {key: theirs[key] for key in ours}
    why = f" ({difference})" if there == here else ""
    log(f"the classifier of {there} classes is replaced by a fresh one of {here}{why}")
    return {key: theirs[key] for key in ours if f"/{HEAD}/" not in key}


def overlay(variables: dict, weights: dict[str, jax.Array]) -> dict[str, Any]:
    """`variables` with those that `weights` names replaced."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return traverse_util.unflatten_dict(flat | weights, sep="/")


def _fits(key: str, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    if key not in ours or key not in theirs:
        return False
    return f"/{HEAD}/" in key or ours[key].shape == theirs[key].shape
