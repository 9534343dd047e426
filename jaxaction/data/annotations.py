"""The videos that an annotation file lists, with the names of their labels."""

import os
from collections.abc import Sequence
from pathlib import Path

from jaxaction.data.annotation_lines import Entry, read_entries, read_text
from jaxaction.data.records import Record
from jaxaction.data.stills import FrameFolder
from jaxaction.errors import InputError

MODALITIES = ("rgb", "flow")
MAX_CLASSES = 100_000  # more than any data set has; an id of a video lies far above


class AnnotationSource:
    """Records of an annotation file; a video is a path or a `FrameFolder`, opened when read."""

    mirror_changes_class = False

    def __init__(self, records: list[Record], label_names: tuple[str, ...], multi_label: bool):
        self._records = records
        self.label_names = label_names
        self.multi_label = multi_label

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Record:
        return self._records[index]

    def id(self, index: int) -> str:
        return self._records[index].id


def annotation_source(
    file: str | os.PathLike,
    root: str | os.PathLike = "",
    num_classes: int = 0,
    multi_label: bool = False,
    modality: str = "rgb",
) -> AnnotationSource:
    """Returns the videos that a text file lists, one a line, or a csv file with a header.

    A line is `path label`, for a folder of frames also `folder frames label`. With `multi_label`
    all numbers at its end are labels; a path that ends in a number then needs a csv. Paths may
    have spaces, and are relative to `root`, or if that is empty to the file's own folder. Blank
    lines and lines that begin with # are left out. The names of a csv's columns are in
    `annotation_lines`. `labels.txt` in the list's folder names one label a line, and a csv may use
    these names; without this file labels are called by their numbers. `modality` "flow" reads pairs
    of pictures from the folders.

    `InputError` for a file that is missing or lists no video, for a label that is not a whole
    number in `[0, num_classes)` (0: no upper limit), and if no listed video exists. A single
    missing video is left to the loader, which reports it.
    """
    file = Path(file)
    folder = Path(root) if str(root) else file.parent
    names = read_label_names(file)
    entries = read_entries(file, folder, names, multi_label)
    if not entries:
        raise InputError(f"{file} lists no videos; write one `path label` a line")
    for entry in entries:
        _check_labels(entry, num_classes)
    videos = resolve_videos(file, folder, entries, modality)
    records = [
        Record(entry.path, video, entry.labels if multi_label else entry.labels[0])
        for entry, video in zip(entries, videos, strict=True)
    ]
    label_names = _label_names(file, names, entries, num_classes)
    return AnnotationSource(records, label_names, multi_label)


def read_label_names(file: Path) -> tuple[str, ...]:
    """Returns the lines of `labels.txt` in the list's folder; none without it.

    A line's number is its label, so `InputError` for a blank line before the last name, and for two
    equal names.
    """
    path = file.parent / "labels.txt"
    if not path.is_file():
        return ()
    names = [line.strip() for line in read_text(path)]
    while names and not names[-1]:
        names.pop()
    if "" in names:
        raise InputError(
            f"{path}:{names.index('') + 1} is blank, so the labels after it would get wrong names;"
            " write one name a line"
        )
    twice = next((name for i, name in enumerate(names) if name in names[:i]), "")
    if twice:
        raise InputError(f"{path} has the name {twice!r} twice; give each class a name of its own")
    return tuple(names)


def _check_labels(entry: Entry, num_classes: int) -> None:
    for label in entry.labels:
        if label < 0:
            raise InputError(f"{entry.place}: label {label} is negative; labels count from 0")
        if label >= MAX_CLASSES:  # before memory is spent on so many classes
            raise InputError(
                f"{entry.place}: label {label} is no number of a class, of which there may be"
                f" {MAX_CLASSES}; labels count from 0"
            )
        if num_classes and label >= num_classes:
            raise InputError(
                f"{entry.place}: label {label} is not below the number of classes, {num_classes}"
                " (labels count from 0); correct the label, or train with model.num_classes=0,"
                " which takes the number from the training videos"
            )


def resolve_videos(
    file: Path, folder: Path, entries: Sequence[Entry], modality: str
) -> Sequence[str | FrameFolder]:
    """Returns the path of every entry, or if the first that exists is a folder, a `FrameFolder`.

    `InputError` if none exists, or if the entries are video files and `modality` is "flow".
    """
    if modality not in MODALITIES:
        raise InputError(f"data.modality {modality!r} is none of {', '.join(MODALITIES)}")
    paths = [str(folder / entry.path) for entry in entries]
    first = next((path for path in paths if os.path.exists(path)), "")
    if not first:
        raise InputError(
            f"none of the {len(entries)} videos in {file} exists (the first is "
            f"{paths[0]}); set data.root to the folder that paths are relative to"
        )
    if os.path.isdir(first):
        return [
            FrameFolder(path, entry.num_frames, modality)
            for path, entry in zip(paths, entries, strict=True)
        ]
    if modality == "flow":
        raise InputError(
            f"{file} lists videos ({first}), but data.modality flow is read from folders of x_* "
            "and y_* pictures; `jaxaction data flow --from` makes them, and their list"
        )
    return paths


def _label_names(
    file: Path, names: tuple[str, ...], entries: Sequence[Entry], num_classes: int
) -> tuple[str, ...]:
    highest = max(max(entry.labels) for entry in entries)
    if not names:
        return tuple(str(label) for label in range(max(num_classes, 1 + highest)))
    named = f"{file.parent / 'labels.txt'} names {len(names)} labels, but"
    if len(names) <= highest:
        place = next(entry.place for entry in entries if highest in entry.labels)
        raise InputError(
            f"{named} {place} has label {highest} (labels count from 0); name every label, one a"
            " line"
        )
    if len(names) < num_classes:
        raise InputError(
            f"{named} there are {num_classes} classes in the model; set model.num_classes=0 to take"
            " the number from the training videos, or name every label, one a line"
        )
    return names
