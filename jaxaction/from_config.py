"""Turns the sections of a ConfigDict into the plain values and objects that the package takes."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

import jaxaction
from jaxaction import data, optim
from jaxaction.data.protocol import check as check_protocol
from jaxaction.errors import InputError

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
    """The Linen module of `config.model`, computing in bfloat16 if `config.compute` says so."""
    dtype = "bfloat16" if config.compute == "bfloat16" else "float32"
    return jaxaction.build(tuples(config.model.to_dict()) | {"dtype": dtype})


def clip_shape(config: ConfigDict) -> tuple[int, int, int, int, int]:
    """(1, t, h, w, c) of one training clip."""
    return (1, config.data.clip_len, *config.data.size, len(config.data.mean))


def source(config: ConfigDict, split: str) -> Any:
    """The videos of `split`, "train" or "test", with their label names.

    A data set whose number of classes is not the model's is an InputError.
    """
    section = config.data
    if section.source == "tfds":
        name = section[f"{split}_split"]
        found = data.tfds_source(
            section.name, name, section.data_dir, section.video_feature, section.label_feature
        )
        where = f"{section.name}, split {name}"
    elif section.source == "annotations":
        where = section[f"{split}_file"]
        if not where:
            raise InputError(f"data.{split}_file is empty; set --config.data.{split}_file=FILE")
        found = data.annotation_source(where, section.root, config.model.num_classes)
    else:
        raise InputError(f"data.source {section.source!r} is none of tfds, annotations")
    _check_classes(config, found, where)
    return found


def _check_classes(config: ConfigDict, found: Any, where: str) -> None:
    classes = len(found.label_names)
    if classes != config.model.num_classes:
        raise InputError(
            f"model.num_classes {config.model.num_classes} differs from the {classes} classes of"
            f" {where}; set model.num_classes to {classes}"
        )
    if not len(found):
        raise InputError(f"{where} has no videos")


def train_loader(config: ConfigDict, videos: Any) -> Any:
    """The endless, shuffled batches of training clips; a process gets its share of each."""
    return data.train_loader(
        videos,
        _fields(data.TrainTransform, config.data),
        config.train.batch_size,
        config.train.seed,
        config.data.num_threads,
        (jax.process_index(), jax.process_count()),
    )


def protocol(section: ConfigDict, name: str = "test") -> data.Protocol:
    """How a test video becomes views, from `config.val` or `config.test`; `name` is which."""
    check_protocol(section, name)
    return _fields(data.Protocol, section)


def _fields(kind: type, section: ConfigDict) -> Any:
    values = tuples(section.to_dict())
    return kind(**{field.name: values[field.name] for field in dataclasses.fields(kind)})


def optimizer(config: ConfigDict, steps_per_epoch: int) -> tuple[Any, optim.Schedule]:
    """The optax chain of `config.optim`, and its learning rate as a function of the step."""
    section = config.optim
    names = [name for name in optim.Schedule._fields[2:] if name in section]
    rate = optim.scaled_rate(
        section.learning_rate, config.train.batch_size, section.reference_batch
    )
    schedule = optim.Schedule(rate, steps_per_epoch, **{name: section[name] for name in names})
    optim.check_schedule(schedule)
    chain = optim.chain(
        section.name,
        schedule,
        section.momentum,
        section.weight_decay,
        section.clip_norm,
        section.multipliers,
    )
    return chain, schedule


def steps_per_epoch(config: ConfigDict, videos: Any) -> int:
    """Whole batches in one pass over the videos, at least one."""
    return max(1, len(videos) // config.train.batch_size)


def abstract_variables(config: ConfigDict) -> dict:
    """Shapes and dtypes of the model's parameters and statistics, computed without memory."""
    network = model(config)
    return jax.eval_shape(lambda: jaxaction.init(network, clip_shape(config), jax.random.key(0)))


def check_clips(config: ConfigDict) -> None:
    """Sends shapes alone through the model: a training batch, and a view of `val` and of `test`.

    What the model can't take (its ValueError) is an InputError here, before the first batch.
    """
    for name in ("data", "val", "test"):
        try:
            _apply_abstract(config, config[name], train=name == "data")
        except ValueError as error:
            raise InputError(str(error).replace("data.", f"{name}.")) from error


def check_numbers(config: ConfigDict) -> None:
    """Raises InputError for a number of `train` or `data` that makes no run."""
    train, data_section = config.train, config.data
    for key in ("log_every_steps", "checkpoint_every_steps", "keep"):
        if train[key] < 1:
            raise InputError(f"train.{key} {train[key]} is below 1")
    for key in ("epochs", "eval_every_epochs"):
        if train[key] < 0:
            raise InputError(f"train.{key} {train[key]} is below 0")
    if not 0 <= data_section.max_bad_share <= 1:
        raise InputError(f"data.max_bad_share {data_section.max_bad_share} is not in [0, 1]")
    if not len(data_section.mean) == len(data_section.std) or not all(data_section.std):
        raise InputError(
            f"data.mean {data_section.mean} and data.std {data_section.std} are not a number a"
            " channel, the latter not 0"
        )


def _apply_abstract(config: ConfigDict, section: ConfigDict, train: bool) -> None:
    network = model(config)
    shape = (section.clip_len, *section.size, len(config.data.mean))

    def logits(clip, key):
        variables = jaxaction.init(network, (1, *shape), key)
        if not train:
            return network.apply(variables, clip, False)
        rngs = {"dropout": key}
        return network.apply(variables, clip, True, mutable=["batch_stats"], rngs=rngs)

    batch = config.train.batch_size if train else 1
    clip = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    jax.eval_shape(logits, clip, jax.random.key(0))
