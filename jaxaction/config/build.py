"""Turns the sections of a ConfigDict into the plain values and objects that the package takes."""

import dataclasses
import json
from typing import Any

import jax
from ml_collections import ConfigDict

import jaxaction
from jaxaction import data, models
from jaxaction.data.protocol import check as check_protocol
from jaxaction.errors import InputError
from jaxaction.models.trainable import frozen_parameters
from jaxaction.training import accumulation, losses, precise_bn, train_step
from jaxaction.training import optimizer as optim
from jaxaction.training.divergence import Guard, loss_limit

_PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}


def to_dict(config: ConfigDict) -> dict:
    """The config as JSON values; `from_dict` gives it back, tuples included."""
    return json.loads(config.to_json())


def from_dict(values: dict) -> ConfigDict:
    """The config that `to_dict` wrote. A config holds no lists, so every list was a tuple."""
    return ConfigDict(tuples(values))


def tuples(value: Any) -> Any:
    """JSON values with every list, however deep, as a tuple."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def set_precision(config: ConfigDict) -> None:
    """Sets JAX's matmul precision for `compute`: float32 means float32, also on a GPU."""
    if config.compute not in _PRECISIONS:
        raise InputError(f"compute {config.compute!r} is none of {', '.join(_PRECISIONS)}")
    jax.config.update("jax_default_matmul_precision", _PRECISIONS[config.compute])


def model(config: ConfigDict) -> Any:
    """The Linen module of `config.model`, computing in bfloat16 if `config.compute` says so.

    It takes as many channels as `data.mean` has numbers, unless `config.model` says another number.
    """
    dtype = "bfloat16" if config.compute == "bfloat16" else "float32"
    channels = {"in_channels": len(config.data.mean)}
    return jaxaction.build(channels | tuples(config.model.to_dict()) | {"dtype": dtype})


def clip_shape(config: ConfigDict) -> tuple[int, int, int, int, int]:
    """(1, t, h, w, c) of one training clip."""
    return (1, config.data.clip_len, *config.data.size, len(config.data.mean))


def source(config: ConfigDict, split: str) -> Any:
    """The videos of `split`, "train" or "test", with their label names.

    A data set whose number of classes is not the model's is an InputError, and so is one with
    several labels a video, unless `data.multi_label` says so.
    """
    found, where = open_source(config, split, config.model.num_classes)
    _check_classes(config, found, where)
    return found


def open_source(config: ConfigDict, split: str, num_classes: int) -> tuple[Any, str]:
    """The videos of `split` as they are, and their name for messages; a list of videos has
    `num_classes` (0: as many as are in it)."""
    section = config.data
    if section.source == "tfds" and section.modality != "rgb":
        raise InputError(
            f"data.modality {section.modality} is read from lists of folders, not from TFDS; set"
            " data.source to annotations"
        )
    if section.source == "tfds" and section[f"{split}_file"]:
        raise InputError(
            f"data.{split}_file {section[f'{split}_file']} is a list of videos, but data.source is"
            f" tfds; set --config.data.source=annotations, or --config.data.{split}_file= to leave"
            " it out"
        )
    if section.source == "tfds":
        name = section[f"{split}_split"]
        features = (section.video_feature, section.label_feature)
        videos = data.tfds_source(section.name, name, section.data_dir, *features)
        return videos, f"{section.name}, split {name}"
    if section.source != "annotations":
        raise InputError(f"data.source {section.source!r} is none of tfds, annotations")
    file = section[f"{split}_file"]
    if not file:
        raise InputError(f"data.{split}_file is empty; set --config.data.{split}_file=FILE")
    kinds = (section.multi_label, section.modality)
    return data.annotation_source(file, section.root, num_classes, *kinds), file


def _check_classes(config: ConfigDict, found: Any, where: str) -> None:
    classes = len(found.label_names)
    if classes != config.model.num_classes:
        raise InputError(
            f"model.num_classes {config.model.num_classes} differs from the {classes} classes of"
            f" {where}; set model.num_classes to {classes}"
        )
    if not len(found):
        raise InputError(f"{where} has no videos")
    if found.multi_label != config.data.multi_label:
        number = "several labels" if found.multi_label else "one label"
        raise InputError(
            f"{where} has {number} a video; set data.multi_label to {found.multi_label}"
        )


def train_transform(config: ConfigDict) -> data.TrainTransform:
    """How a training video becomes a clip."""
    return _fields(data.TrainTransform, config.data)


def train_loader(config: ConfigDict, videos: Any, first_step: int = 0) -> Any:
    """The endless, shuffled batches of training clips from `first_step` on; a process gets its
    share of each."""
    return data.train_loader(
        videos,
        train_transform(config),
        config.train.batch_size,
        config.train.seed,
        config.data.num_threads,
        (jax.process_index(), jax.process_count()),
        first_step,
    )


def recipe(config: ConfigDict, devices: int) -> train_step.Recipe:
    """What a training step does on so many devices; InputError for what does not fit."""
    section, classes = config.train, config.model.num_classes
    losses.check_class_weights(section.class_weights, classes)
    sizes = (section.batch_size, section.accumulate, devices)
    accumulation.check(*sizes)
    return train_step.Recipe(
        train_step.Mixing(section.mixup, section.cutmix),
        section.label_smoothing,
        tuple(section.class_weights),
        section.ema_decay,
        section.accumulate,
        accumulation.kept_together(*sizes, config.model.get("bn_group", 0)),
    )


def precise_bn_settings(config: ConfigDict) -> precise_bn.Settings:
    """How the statistics of tests are computed."""
    section, pixels = config.train, (tuple(config.data.mean), tuple(config.data.std))
    sizes = (section.batch_size, section.accumulate)
    return precise_bn.Settings(section.precise_bn_clips, *sizes, *pixels)


def guard(config: ConfigDict, schedule: optim.Schedule, videos: Any) -> Guard:
    """What ends a training whose numbers go wrong."""
    factor, classes = config.train.max_loss_factor, config.model.num_classes
    return Guard(schedule, videos.id, loss_limit(factor, classes, config.data.multi_label))


def protocol(section: ConfigDict, name: str = "test") -> data.Protocol:
    """How a test video becomes views, from `config.val` or `config.test`; `name` is which."""
    check_protocol(section, name)
    return _fields(data.Protocol, section)


def _fields(kind: type, section: ConfigDict) -> Any:
    values = tuples(section.to_dict())
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: values[name] for name in names if name in values})


def optimizer(config: ConfigDict, steps_per_epoch: int) -> tuple[Any, optim.Schedule]:
    """The optax chain of `config.optim`, and its learning rate as a function of the step.

    It leaves the parameters that `config.model` freezes as they are.
    """
    section = config.optim
    values = {name: section[name] for name in optim.Schedule._fields[2:] if name in section}
    if section.warmup_samples:
        per_epoch = config.train.batch_size * steps_per_epoch
        optim.check_warmup(section.warmup_epochs, section.warmup_by)
        values["warmup_epochs"] = section.warmup_samples / per_epoch
    rate = optim.scaled_rate(
        section.learning_rate, config.train.batch_size, section.reference_batch
    )
    schedule = optim.Schedule(rate, steps_per_epoch, **values)
    optim.check_schedule(schedule)
    chain = optim.chain(
        section.name,
        schedule,
        section.momentum,
        section.weight_decay,
        section.clip_norm,
        section.multipliers,
    )
    return optim.freeze(chain, frozen_parameters(model(config))), schedule


def steps_per_epoch(config: ConfigDict, videos: Any) -> int:
    """Whole batches in one pass over the videos, at least one."""
    return max(1, len(videos) // config.train.batch_size)


def abstract_variables(config: ConfigDict) -> dict:
    """Shapes and dtypes of the model's parameters and statistics, computed without memory."""
    return models.abstract_variables(model(config))
