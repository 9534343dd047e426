"""Videos from TensorFlow Datasets, without TensorFlow: array_record files, in any order."""

import difflib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants

from jaxaction.data import decode, tfds_video
from jaxaction.data.builders.motions import Motions
from jaxaction.data.records import Record
from jaxaction.errors import InputError

# Our own builders are prepared if absent. Their mirrored clips would belong to another class.
OWN_BUILDERS = {Motions.name: Motions}
# The data sets that `jaxaction data prepare` makes from files on disk.
FROM_FILES = ("kinetics", "something_something_v2", "hmdb51", "video_list")


class TfdsSource:
    """Records of one split; a video is a file's bytes or a list of encoded frames.

    A record's id is its `id` feature if the data set has such a text, else its place in the split,
    such as "train/17".
    """

    def __init__(
        self,
        data: Sequence,
        split: str,
        video: str,
        label: str,
        features: tfds.features.FeaturesDict,
        mirror_changes_class: bool,
    ):
        self._data = data
        self._split = split
        self._video = video
        self._label = label
        self._has_ids = isinstance(dict(features.items()).get("id"), tfds.features.Text)
        self._ids: dict[int, str] = {}  # a record's id is known once it was read
        classes = _class_label(features[label])
        self.label_names = tuple(classes.names) if classes else ()
        self.mirror_changes_class = mirror_changes_class
        self.multi_label = isinstance(features[label], tfds.features.Sequence)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Record:
        example = self._data[index]
        video, label = example[self._video], example[self._label]
        video = video if isinstance(video, bytes) else list(video)
        label = tuple(int(each) for each in label) if self.multi_label else int(label)
        return Record(self._id_of(index, example), video, label)

    def id(self, index: int) -> str:
        if not self._has_ids:
            return f"{self._split}/{index}"
        return self._ids.get(index) or self._id_of(index, self._data[index])

    def _id_of(self, index: int, example: Mapping) -> str:
        if not self._has_ids:
            return f"{self._split}/{index}"
        return self._ids.setdefault(index, example["id"].decode())


def tfds_source(
    name: str,
    split: str,
    data_dir: str | os.PathLike = "",
    video_feature: str = "",
    label_feature: str = "",
) -> TfdsSource:
    """Returns the videos of a split, such as "train" or "test[:10%]", of a TFDS data set.

    `name` is as in `tfds.load` ("ucf101/ucf101_1:2.0.0"); `data_dir` "" is TFDS's own default.
    Without `video_feature`, the video is the only `Video` feature, or else the only one with an
    encoded video's bytes. Without `label_feature`, the label is the only `ClassLabel`, or the only
    sequence of them; then labels are tuples. Our own data sets (`motions`) are prepared if absent.
    Others must have been prepared as array_record.

    `InputError` for a name, split or feature that does not exist, or a data set that is not
    prepared.
    """
    tfds_video.enable()
    builder = _prepared_builder(name, data_dir)
    features = builder.info.features
    label = _label_feature(name, features, label_feature)
    data = _open_split(builder, name, split)
    return TfdsSource(
        data,
        split=split,
        video=_video_feature(name, features, video_feature, data),
        label=label,
        features=features,
        mirror_changes_class=builder.name in OWN_BUILDERS,
    )


def _prepared_builder(name: str, data_dir: str | os.PathLike) -> tfds.core.DatasetBuilder:
    builder = _builder(name, data_dir)
    if builder.data_path.exists():
        return builder
    if builder.name not in OWN_BUILDERS:
        raise InputError(
            f"{name} is not prepared in {builder.data_path.parent}; {_how_to_prepare(builder)}"
        )
    print(f"preparing {name} in {builder.data_dir} (once, under a minute)", file=sys.stderr)
    _prepare(builder)
    return _builder(name, data_dir)


def _builder(name: str, data_dir: str | os.PathLike) -> tfds.core.DatasetBuilder:
    video_modules = _video_modules()
    if (module := name.split("/")[0].split(":")[0]) in video_modules:
        # tfds finds its older builders only once their module is imported.
        importlib.import_module(f"tensorflow_datasets.video.{module}")
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError:
        if name.split("/")[0].split(":")[0] in FROM_FILES:
            raise InputError(_not_prepared_message(name, data_dir)) from None
        known = [
            *OWN_BUILDERS,
            *FROM_FILES,
            *video_modules,
            *tfds.list_builders(with_community_datasets=False),
        ]
        near = difflib.get_close_matches(name.split("/")[0], known, 1, cutoff=0.0)
        message = f"there is no TFDS data set {name!r}; the nearest name is {near[0]}"
        raise InputError(message) from None
    except (ValueError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0]
        message = f"data.name {name!r} names no TFDS data set: {first_line}"
        raise InputError(message) from None


def _video_modules() -> list[str]:
    """Returns the names of TFDS's modules of video data sets, without importing them."""
    spec = importlib.util.find_spec("tensorflow_datasets.video")
    folders = spec.submodule_search_locations if spec else None
    names = (module.name for module in pkgutil.iter_modules(folders or []))
    return [name for name in names if not name.endswith("_test")]


def _prepare(builder: tfds.core.DatasetBuilder) -> None:
    # The output of tfds speaks of downloads, and its bars overwrite our lines.
    with open(os.devnull, "w") as quiet, redirect_stdout(quiet), redirect_stderr(quiet):
        try:
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            builder.download_and_prepare(file_format="array_record", download_config=config)
        except OSError as error:
            # If another process was first, the last renaming fails, and the data set that is there
            # is complete, since a renaming put it there as a whole.
            if not builder.data_path.exists():
                raise InputError(
                    f"{builder.name} can't be prepared in {builder.data_dir}"
                    f" ({error.strerror or error}); set data.data_dir to a folder for data sets"
                ) from error


def _not_prepared_message(name: str, data_dir: str | os.PathLike) -> str:
    """Returns how to prepare a data set that is made from files."""
    folder = Path(data_dir or constants.DATA_DIR).expanduser()
    name = name.split(":")[0]
    base = name.split("/")[0]
    configs = sorted(path.parent.parent.name for path in folder.glob(f"{base}/*/*/features.json"))
    if configs and "/" not in name:
        full_names = ", ".join(f"{base}/{config}" for config in configs)
        return f"data.name {name} lacks its second part; set it to one of {full_names} in {folder}"
    command = f"jaxaction data prepare {name} --from DIR --out {folder}"
    return f"{name} is not prepared in {folder}; run: {command}"


def _how_to_prepare(builder: tfds.core.DatasetBuilder) -> str:
    config = builder.builder_config
    name = f"{builder.name}/{config.name}" if config else builder.name
    if builder.name == "ucf101":
        return f"run: jaxaction data prepare {name} --out {builder.data_dir_root}"
    return (
        f"run: python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}', "
        f"data_dir='{builder.data_dir_root}').download_and_prepare(file_format='array_record')\""
        " (most video builders need TensorFlow for it)"
    )


def _open_split(builder: tfds.core.DatasetBuilder, name: str, split: str) -> Sequence:
    features = builder.info.features
    raw = {key: tfds_video.EncodedFrames() for key, f in features.items() if _holds_frames(f)}
    try:
        return builder.as_data_source(split, decoders=raw or None)
    except NotImplementedError:
        raise InputError(
            f"{name} in {builder.data_dir} was prepared as {builder.info.file_format.value}, which "
            f"cannot be read at random; delete it and {_how_to_prepare(builder)}"
        ) from None
    except (ValueError, KeyError) as error:
        splits = ", ".join(builder.info.splits)
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{name} ({splits}) has no split {split!r}: {reason}") from None


def _label_feature(name: str, features: tfds.features.FeaturesDict, wanted: str) -> str:
    names = [key for key, feature in features.items() if _class_label(feature)]
    return _pick_feature(name, "label", names, wanted)


def _class_label(feature: tfds.features.FeatureConnector) -> tfds.features.ClassLabel | None:
    """Returns the feature if it is a label, or its element if it is a sequence of labels."""
    feature = feature.feature if isinstance(feature, tfds.features.Sequence) else feature
    return feature if isinstance(feature, tfds.features.ClassLabel) else None


def _video_feature(
    name: str, features: tfds.features.FeaturesDict, wanted: str, data: Sequence
) -> str:
    names = [key for key, feature in features.items() if _holds_frames(feature)]
    if not names:
        first = data[0]  # a feature of bytes doesn't say whether they are a video
        names = [key for key, f in features.items() if _holds_bytes(f) and _is_video(first[key])]
    return _pick_feature(name, "video", names, wanted)


def _pick_feature(name: str, kind: str, candidates: Sequence[str], wanted: str) -> str:
    if wanted in candidates:
        return wanted
    names = ", ".join(candidates) or "none"
    if wanted:
        raise InputError(f"data.{kind}_feature {wanted!r} is no {kind} of {name}; it has {names}")
    if len(candidates) != 1:
        raise InputError(
            f"{name} has {len(candidates)} {kind} features ({names}); set data.{kind}_feature to"
            " one"
            if candidates
            else f"{name} has no {kind} feature"
        )
    return candidates[0]


def _holds_frames(feature: tfds.features.FeatureConnector) -> bool:
    # A `Video` feature is a sequence of images.
    sequence = isinstance(feature, tfds.features.Sequence)
    return sequence and isinstance(feature.feature, tfds.features.Image)


def _holds_bytes(feature: tfds.features.FeatureConnector) -> bool:
    return feature.shape == () and feature.np_dtype in (np.object_, np.bytes_)


def _is_video(value: object) -> bool:
    try:
        return decode.num_frames(value) > 0
    except (decode.DecodeError, TypeError):
        return False
