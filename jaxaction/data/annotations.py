"""Videos from an annotation file: lines `path label`."""

import os
from pathlib import Path

from jaxaction.data.records import Record
from jaxaction.errors import InputError


class AnnotationSource:
    """Records of an annotation file; the video is the path, opened only when it is read."""

    mirror_changes_class = False

    def __init__(self, records: list[Record], label_names: tuple[str, ...]):
        self._records = records
        self.label_names = label_names

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index) -> Record:
        return self._records[index]

    def id(self, index) -> str:
        return self._records[index].id


def annotation_source(
    file: str | os.PathLike, root: str | os.PathLike = "", num_classes: int = 0
) -> AnnotationSource:
    """Returns the videos of a text file with one `path label` a line.

    The label is the last word, so paths may have spaces. Blank lines and those that begin with #
    are left out. Paths are relative to `root`, or else to the file's own folder. Labels are named
    by the lines of a `labels.txt` beside the file, or else by their numbers.

    `InputError` for a file that is missing or without a video, a label that is not a whole number
    in `[0, num_classes)` (0: no upper limit), or where no listed video exists. A single missing
    video is left to the loader, which reports it.
    """
    file = Path(file)
    folder = Path(root) if str(root) else file.parent
    records = []
    for number, line in enumerate(_lines(file), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            path, label = _parse(line, f"{file}:{number}", num_classes)
            records.append(Record(path, str(folder / path), label))
    if not records:
        raise InputError(f"{file} lists no videos; write one `path label` a line")
    if not any(os.path.exists(record.video) for record in records):
        raise InputError(
            f"none of the {len(records)} videos in {file} exists (the first is "
            f"{records[0].video}); set data.root to the folder that paths are relative to"
        )
    return AnnotationSource(records, _label_names(file, records, num_classes))


def _lines(file):
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"annotation file {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"annotation file {file} cannot be read as text: {error}") from None


def _parse(line, place, num_classes) -> tuple[str, int]:
    path, _, label = line.replace("\t", " ").rpartition(" ")
    if not path.strip():
        raise InputError(f"{place}: {line!r} is not `path label`")
    if not label.isascii() or not label.lstrip("-").isdigit():
        raise InputError(f"{place}: label {label!r} is not a whole number")
    label = int(label)
    if label < 0:
        raise InputError(f"{place}: label {label} is negative; labels count from 0")
    if num_classes and label >= num_classes:
        raise InputError(
            f"{place}: label {label} is not below the number of classes, {num_classes}; "
            "labels count from 0"
        )
    return path.strip(), label


def _label_names(file, records, num_classes):
    count = max(num_classes, 1 + max(record.label for record in records))
    names = file.parent / "labels.txt"
    if not names.is_file():
        return tuple(str(label) for label in range(count))
    found = tuple(line.strip() for line in _lines(names) if line.strip())
    if len(found) < count:
        raise InputError(f"{names} names {len(found)} labels, but there are {count}")
    return found
