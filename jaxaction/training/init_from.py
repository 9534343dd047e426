"""How `init_from` starts a run from another run: it takes that run's network and its weights."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import jax
from flax import traverse_util
from ml_collections import ConfigDict

from jaxaction.config import build
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.models.contract import VideoModel
from jaxaction.storage import checkpoint
from jaxaction.text import first_few

HEAD = "cls_head"

Log = Callable[[str], None]


def load(config: ConfigDict, log: Log) -> checkpoint.Run | None:
    """Returns the run that `config.init_from` names, None without one; fits `config` to it.

    The config takes over the mean and standard deviation of pixels and all fields of the model but
    its `RUN_FIELDS`. `log` gets a line for each value that this changes. The test protocol stays as
    it is. InputError if the two runs have models of different names.
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
    stored = run.config.model.to_dict()
    for name in network_fields(ours):
        ours_now, theirs_now = getattr(ours, name), getattr(theirs, name)
        if _without_run_fields(ours_now, ours) == _without_run_fields(theirs_now, ours):
            continue
        value = stored.get(name, theirs_now)
        if isinstance(value, Mapping):  # of a path of SlowFast
            own = {key: item for key, item in ours_now.items() if key in ours.RUN_FIELDS}
            value = _without_run_fields(value, ours) | own
        config.model[name] = value
        log(f"as there: model.{name}={value}")


def network_fields(model: VideoModel) -> list[str]:
    """The names of the fields of a model that its weights depend on."""
    linen = {"parent", "name"}
    return [f.name for f in fields(model) if f.name not in model.RUN_FIELDS | linen]


def _without_run_fields(value: Any, model: VideoModel) -> Any:
    """A field's value; of a mapping only the items that the weights depend on."""
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if key not in model.RUN_FIELDS}


def set_classes(config: ConfigDict, log: Log) -> None:
    """Sets `model.num_classes` to the number of classes of the training videos.

    It does so where the run starts from another run's weights or the number is 0. `log` gets a line
    if the number changes.
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
    """Returns the weights of a run, `{"params/...": array}`, to start a run with these classes.

    `label_names` are those of the classes. A classifier of other classes is left out, and `log`
    gets a line that says so. Empty without a run. InputError if anything else is missing there or
    has another shape.
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
    """Returns `variables` with those of `weights` in their places."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return traverse_util.unflatten_dict(flat | weights, sep="/")


def _fits(key: str, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    if key not in ours or key not in theirs:
        return False
    return f"/{HEAD}/" in key or ours[key].shape == theirs[key].shape
