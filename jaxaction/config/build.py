"""Builds the objects that a ConfigDict describes: model, videos, protocol."""

import dataclasses
from typing import TypeVar

import jax
from jaxtyping import PyTree
from ml_collections import ConfigDict

import jaxaction
from jaxaction import data, files, models
from jaxaction.config import stored
from jaxaction.data.protocol import check_protocol
from jaxaction.data.records import Source
from jaxaction.errors import InputError
from jaxaction.models.contract import ClipShape, VideoModel

Fields = TypeVar("Fields", data.Protocol, data.TrainTransform)

# JAX's names of matmul precisions. JAX's own default is the fastest one of a device, which on a GPU
# rounds float32 factors to TF32.
_PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}


def set_precision(config: ConfigDict) -> None:
    """Sets JAX's matmul precision as `compute` says: float32 means float32, also on a GPU."""
    if config.compute not in _PRECISIONS:
        raise InputError(f"compute {config.compute!r} is none of {', '.join(_PRECISIONS)}")
    jax.config.update("jax_default_matmul_precision", _PRECISIONS[config.compute])


def model(config: ConfigDict) -> VideoModel:
    """Returns the Linen module of `config.model`; it computes in bfloat16 if `compute` says so.

    It takes as many channels as `data.mean` has numbers, unless `config.model` sets `in_channels`.
    """
    # TF32 is a precision of products, not a type of arrays.
    dtype = "bfloat16" if config.compute == "bfloat16" else "float32"
    channels = {"in_channels": len(config.data.mean)}
    return jaxaction.build(channels | stored.tuples(config.model.to_dict()) | {"dtype": dtype})


def clip_shape(config: ConfigDict) -> ClipShape:
    """Returns the shape (1, t, h, w, c) of one training clip."""
    return (1, config.data.clip_len, *config.data.size, len(config.data.mean))


def source(config: ConfigDict, split: str) -> Source:
    """Returns the videos of `split`, "train" or "test", with their label names.

    InputError if there are no videos, if the number of classes is not the model's, or if
    `data.multi_label` does not say whether videos have one label or several.
    """
    videos, where = open_source(config, split, config.model.num_classes)
    _check_classes(config, videos, where)
    return videos


def open_source(config: ConfigDict, split: str, num_classes: int) -> tuple[Source, str]:
    """Returns the unchecked videos of `split`, and their name for messages.

    Labels in a list of videos have to be below `num_classes`; 0: any label is accepted.
    """
    section = config.data
    if section.source == "tfds" and section.modality != "rgb":
        raise InputError(
            f"data.modality {section.modality} is read from lists of folders, not from TFDS; set"
            " --config.data.source=annotations"
        )
    if section.source == "tfds" and section[f"{split}_file"]:
        raise InputError(
            f"data.{split}_file {section[f'{split}_file']} is a list of videos, but data.source is"
            " tfds; set --config.data.source=annotations to read it, or"
            f" --config.data.{split}_file= to leave it out"
        )
    if section.source == "tfds":
        name = section[f"{split}_split"]
        features = (section.video_feature, section.label_feature)
        folder = files.expand(section.data_dir)
        videos = data.tfds_source(section.name, name, folder, *features)
        return videos, f"{section.name}, split {name}"
    if section.source != "annotations":
        raise InputError(f"data.source {section.source!r} is none of tfds, annotations")
    file = section[f"{split}_file"]
    if not file:
        raise InputError(f"data.{split}_file is empty; set --config.data.{split}_file=FILE")
    kinds = (section.multi_label, section.modality)
    places = (files.expand(file), files.expand(section.root))
    return data.annotation_source(*places, num_classes, *kinds), file


def _check_classes(config: ConfigDict, videos: Source, where: str) -> None:
    classes = len(videos.label_names)
    if classes != config.model.num_classes:
        raise InputError(
            f"model.num_classes {config.model.num_classes} differs from the {classes} classes of"
            f" {where}; set model.num_classes to {classes}, or to 0 to take the number from the"
            " training videos"
        )
    if not len(videos):
        raise InputError(f"{where} has no videos")
    if videos.multi_label != config.data.multi_label:
        number = "several labels" if videos.multi_label else "one label"
        raise InputError(
            f"{where} has {number} per video; set data.multi_label to {videos.multi_label}"
        )


def protocol(section: ConfigDict, name: str = "test") -> data.Protocol:
    """Returns how a test video becomes views.

    `section` is `config.val` or `config.test`. `name`, "val" or "test", stands in messages.
    """
    check_protocol(section.to_dict(), name)
    return dataclass_fields(data.Protocol, section)


def dataclass_fields(kind: type[Fields], section: ConfigDict) -> Fields:
    """Returns a `kind` with the values of those keys of `section` that are its fields."""
    values = stored.tuples(section.to_dict())
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: values[name] for name in names if name in values})


def abstract_variables(config: ConfigDict) -> dict[str, PyTree]:
    """Returns the shapes and dtypes of the model's variables; allocates no arrays."""
    return models.abstract_variables(model(config))
