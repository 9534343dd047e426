"""Checks a config's values against each other and the model, before anything is written."""

import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxaction.config import build, ranges
from jaxaction.data.protocol import CHANNELS
from jaxaction.errors import InputError
from jaxaction.models.contract import VideoModel
from jaxaction.models.heads import view_logits


def check_numbers(config: ConfigDict) -> None:
    """Raises InputError for a number that is impossible for every model and data set."""
    ranges.check_ranges(config)
    mean, std = config.data.mean, config.data.std
    if len(mean) != len(std) or not all(std):
        raise InputError(
            f"data.mean {mean} and data.std {std} must have one number per channel each, and"
            " data.std must not contain 0"
        )
    channels = CHANNELS.get(config.data.modality, len(mean)) * config.data.stack
    if len(mean) != channels:
        example = (128.0,) * channels  # stored flow has this mean, and it is a usual scale
        raise InputError(
            f"data.mean has {len(mean)} numbers, but {config.data.stack} frame(s) of"
            f" {config.data.modality} have {channels} channels; give a mean and a std for each, as"
            f" in --config.data.mean='{example}' --config.data.std='{example}'"
        )
    if config.test.batch_size % jax.process_count():
        raise InputError(
            f"test.batch_size {config.test.batch_size} is not a multiple of the"
            f" {jax.process_count()} processes; set it to a multiple, such as {jax.process_count()}"
        )


def check_test_keys(config: ConfigDict, overrides: Iterable[str]) -> None:
    """Raises InputError for overridden keys of `data` that only training uses.

    The test of a stored run uses the keys of the same names in `config.test`. Without this check
    an override of `data` would have no effect, and no message either.
    """
    for key in overrides:
        section, _, name = key.partition(".")
        if section == "data" and name in config.test:
            raise InputError(
                f"--config.{key} only changes training; set --config.test.{name}, which is"
                f" {config.test[name]!r} in this run"
            )


def check_clips(config: ConfigDict) -> None:
    """Raises InputError for clips that the model can't take, before the first batch.

    Only shapes go through the model: those of a training batch, and of a view of `val` and `test`.
    """
    network, checked = build.model(config), set()
    variables = build.abstract_variables(config)
    for name in ("data", "val", "test"):
        train, section = name == "data", config[name]
        batch = config.train.batch_size // config.train.accumulate if train else 1
        shape = (batch, section.clip_len, *section.size, len(config.data.mean))
        window = tuple(section.get("window", ()))
        if (shape, train, window) in checked:  # a trace takes seconds, and `val` is often `test`
            continue
        checked.add((shape, train, window))
        try:
            _apply_abstract(network, variables, shape, train, window)
        except ValueError as error:
            # The model names keys of training and of the test; here the section is known.
            message = str(error).replace("data.", f"{name}.").replace("test.", f"{name}.")
            raise InputError(message) from error


def _apply_abstract(
    network: VideoModel,
    variables: dict[str, Any],
    shape: tuple[int, ...],
    train: bool,
    window: tuple[int, ...],
) -> None:
    def logits(variables, clip, key):
        if not train:
            return view_logits(network, variables, clip, window)
        rngs = {"dropout": key}
        return network.apply(variables, clip, True, mutable=["batch_stats"], rngs=rngs)

    jax.eval_shape(logits, variables, jax.ShapeDtypeStruct(shape, jnp.float32), jax.random.key(0))


def batch_multiple(config: ConfigDict, mesh: Mesh) -> int:
    """Returns the number that has to divide the global batch.

    The batch is divided into the parts of a step, each part over all devices, and into groups of
    batch norm.
    """
    parts = mesh.size * config.train.accumulate
    return math.lcm(parts, config.model.get("bn_group", 0) or 1)
