"""What a run begins with when `init_from` names another run: its weights."""

from collections.abc import Callable
from typing import Any

import jax
from flax import traverse_util
from ml_collections import ConfigDict

from jaxaction import checkpoint, from_config
from jaxaction.errors import InputError
from jaxaction.interop.layout import some

HEAD = "cls_head"
# What a network needs as it was trained; sizes and lengths may differ.
CONVENTIONS = ("data.mean", "data.std", "model.slow_frames", "model.style", "model.norm_eps")


def set_classes(config: ConfigDict, log: Callable[[str], None]) -> None:
    """Sets `model.num_classes` to that of the training videos where the run begins with another
    one's weights or the number is 0; `log` gets a line if it differs."""
    if not config.init_from and config.model.num_classes:
        return
    found = len(from_config.open_source(config, "train", num_classes=0)[0].label_names)
    if found != config.model.num_classes:
        log(f"{found} classes, as the training videos have (config: {config.model.num_classes})")
        config.model.num_classes = found


def weights(config: ConfigDict, log: Callable[[str], None]) -> dict[str, jax.Array]:
    """The weights of the run `config.init_from`, `{"params/...": array}`; empty if it names none.

    A classifier of another number of classes is left out, and `log` says so. InputError if anything
    else is missing there or has another shape.
    """
    if not config.init_from:
        return {}
    run = checkpoint.load_run(config.init_from, log)
    theirs = traverse_util.flatten_dict(dict(run.variables), sep="/")
    ours = traverse_util.flatten_dict(from_config.abstract_variables(config), sep="/")
    differing = [key for key in sorted(ours | theirs) if not _same(key, ours, theirs)]
    wrong = [key for key in differing if f"/{HEAD}/" not in key or key not in ours]
    if wrong:
        raise InputError(
            f"init_from {config.init_from} holds another network: {len(wrong)} weights differ,"
            f" {some(wrong)}; convert the weights for this config, or set model.* as there"
        )
    for line in _lines(config, run, bool(differing)):
        log(line)
    return {key: theirs[key] for key in ours if key not in differing}


def overlay(variables: dict, begun: dict[str, jax.Array]) -> dict[str, Any]:
    """`variables` with those of `begun` in their places."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return traverse_util.unflatten_dict(flat | begun, sep="/")


def _same(key: str, ours: dict[str, jax.Array], theirs: dict[str, jax.Array]) -> bool:
    return key in ours and key in theirs and ours[key].shape == theirs[key].shape


def _lines(config: ConfigDict, run: checkpoint.Run, new_head: bool) -> list[str]:
    lines = [f"begins with the weights of {config.init_from}, step {run.step}"]
    if new_head:
        there = run.config.model.num_classes
        lines.append(
            f"the classifier of {there} classes is replaced by a fresh one of"
            f" {config.model.num_classes}"
        )
    for key in CONVENTIONS:
        section, name = key.split(".")
        ours, theirs = config[section].get(name), run.config[section].get(name)
        if ours != theirs and None not in (ours, theirs):
            lines.append(f"warning: {config.init_from} has {key}={theirs}, this config {ours}")
    return lines
