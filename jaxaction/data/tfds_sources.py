"""Videos from TensorFlow Datasets, without TensorFlow: array_record files, read at random."""

import difflib
import importlib.util
import os
import pkgutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from jaxaction.data import decode, tfds_video
from jaxaction.data.builders.motions import Motions
from jaxaction.data.records import Record
from jaxaction.errors import InputError

# Our own builders are prepared when absent; mirrored, their clips would belong to another class.
OWN_BUILDERS = {Motions.name: Motions}
# The data sets that `jaxaction data prepare` makes from files on disk.
FROM_FILES = ("kinetics", "something_something_v2", "hmdb51", "video_list")


class TfdsSource:
    """Records of one split; a video is a file's bytes or a list of encoded frames.

    A record's id is its `id` feature, where the data set has one that is text, else its place in
    the split, "train/17".
    """

    def __init__(
        self, data, split: str, video: str, label: str, features, mirror_changes_class: bool
    ):
        self._data = data
        self._split = split
        self._video = video
        self._label = label
        self._has_ids = isinstance(dict(features.items()).get("id"), tfds.features.Text)
        self._ids: dict[int, str] = {}  # of the records that were read
        self.label_names = tuple(_class_label(features[label]).names)
        self.mirror_changes_class = mirror_changes_class
        self.multi_label = isinstance(features[label], tfds.features.Sequence)

    def __len__(self):
        return len(self._data)

    def __getitem__(self, index) -> Record:
        example = self._data[index]
        video, label = example[self._video], example[self._label]
        video = video if isinstance(video, bytes) else list(video)
        label = tuple(int(each) for each in label) if self.multi_label else int(label)
        return Record(self._id_of(index, example), video, label)

    def id(self, index) -> str:
        if not self._has_ids:
            return f"{self._split}/{index}"
        return self._ids.get(index) or self._id_of(index, self._data[index])

    def _id_of(self, index, example) -> str:
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
    The video is the one `Video` feature, or else the one that holds an encoded video's bytes; the
    label is the one `ClassLabel`, or the one sequence of them, of which records have a tuple; name
    them where there are several. Our own data sets (`motions`) are prepared if absent; others must
    have been, as array_record.

    `InputError` for a name, split or feature that does not exist, or an unreadable preparation.
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


def _prepared_builder(name, data_dir):
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


def _builder(name, data_dir):
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


def _video_modules():
    folders = importlib.util.find_spec("tensorflow_datasets.video").submodule_search_locations
    names = (module.name for module in pkgutil.iter_modules(folders))
    return [name for name in names if not name.endswith("_test")]


def _prepare(builder):
    # tfds' own account of it speaks of downloads and redraws its bars over our output.
    with open(os.devnull, "w") as quiet, redirect_stdout(quiet), redirect_stderr(quiet):
        try:
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            builder.download_and_prepare(file_format="array_record", download_config=config)
        except OSError as error:
            # Where another process was first, the last renaming fails; what it left is whole,
            # because it appeared by one renaming.
            if not builder.data_path.exists():
                raise InputError(
                    f"{builder.name} can't be prepared in {builder.data_dir}"
                    f" ({error.strerror or error}); set data.data_dir to a folder for data sets"
                ) from error


def _not_prepared_message(name, data_dir) -> str:
    """Returns how to prepare a data set that is made from files."""
    folder = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    name = name.split(":")[0]
    base = name.split("/")[0]
    configs = sorted(path.parent.parent.name for path in folder.glob(f"{base}/*/*/features.json"))
    if configs and "/" not in name:
        full_names = ", ".join(f"{base}/{config}" for config in configs)
        return f"data.name {name} is not all of a name; {folder} holds {full_names}"
    command = f"jaxaction data prepare {name} --from DIR --out {folder}"
    return f"{name} is not prepared in {folder}; run: {command}"


def _how_to_prepare(builder) -> str:
    config = builder.builder_config
    name = f"{builder.name}/{config.name}" if config else builder.name
    if builder.name == "ucf101":
        return f"run: jaxaction data prepare {name} --out {builder.data_dir_root}"
    return (
        f"run: python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}', "
        f"data_dir='{builder.data_dir_root}').download_and_prepare(file_format='array_record')\""
        " (most video builders need TensorFlow for it)"
    )


def _open_split(builder, name, split):
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


def _label_feature(name, features, wanted):
    names = [key for key, feature in features.items() if _class_label(feature)]
    return _pick_feature(name, "label", names, wanted)


def _class_label(feature) -> tfds.features.ClassLabel | None:
    """The label that a feature is, or is a sequence of."""
    feature = feature.feature if isinstance(feature, tfds.features.Sequence) else feature
    return feature if isinstance(feature, tfds.features.ClassLabel) else None


def _video_feature(name, features, wanted, data):
    names = [key for key, feature in features.items() if _holds_frames(feature)]
    if not names:
        first = data[0]
        names = [key for key, f in features.items() if _holds_bytes(f) and _is_video(first[key])]
    return _pick_feature(name, "video", names, wanted)


def _pick_feature(name, kind, candidates, wanted):
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


def _holds_frames(feature):
    sequence = isinstance(feature, tfds.features.Sequence)
    return sequence and isinstance(feature.feature, tfds.features.Image)


def _holds_bytes(feature):
    return feature.shape == () and feature.np_dtype in (np.object_, np.bytes_)


def _is_video(value):
    try:
        return decode.num_frames(value) > 0
    except (decode.DecodeError, TypeError):
        return False
