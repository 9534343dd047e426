"""The lines of annotation files: `path label`, `folder frames label`, several labels, and csv."""

import csv
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jaxaction.errors import InputError

# Names that a csv's columns may have; the first of each row that the header has is taken.
PATH_COLUMNS = ("path", "video_path", "video", "file", "filename", "name", "folder")
LABEL_COLUMNS = ("label", "labels", "class", "class_id", "label_id", "classes")
FRAMES_COLUMNS = ("num_frames", "frames", "total_frames")


class Entry(NamedTuple):
    """One listed video."""

    path: str
    """As it is listed."""
    labels: tuple[int, ...]
    """At least one."""
    place: str
    """`FILE:LINE`, for messages."""
    num_frames: int = 0
    """The number of frames in a folder, if the list has it; else 0."""


class _Line(NamedTuple):
    """One line of a file."""

    place: str
    """`FILE:LINE`, for messages."""
    content: Any
    """Its text, or of a csv a dict of the columns."""


def _raise(error: InputError):
    raise error


def read_entries(
    file: Path,
    folder: Path,
    names: Sequence[str],
    multi_label: bool,
    refuse: Callable[[InputError], None] = _raise,
) -> list[Entry]:
    """Returns the entries of a file in its order; labels of a csv may be words among `names`.

    Whether the lines of a text file hold a number of frames is seen at the first listed folder that
    exists below `folder`. A line that is no entry goes to `refuse` as the `InputError` that names
    it, and is left out if that returns. `InputError` for a text file of several labels a line
    without `multi_label`.
    """
    lines = list(enumerate(read_text(file), 1))
    if file.suffix.lower() == ".csv" and lines and "," in lines[0][1]:
        parse, rows = _csv_rows(file, [line for _, line in lines], names, multi_label)
        return _entries(parse, rows, refuse)
    texts = [_Line(f"{file}:{number}", line.strip()) for number, line in lines]
    texts = [line for line in texts if line.content and not line.content.startswith("#")]
    entries = _entries(partial(_parse_text, multi_label=multi_label), texts, refuse)
    entries = _take_frame_counts(entries, folder, refuse)
    if not multi_label:
        _check_one_label(entries, folder)
    return entries


def _entries(parse, items, refuse) -> list[Entry]:
    """Parses every item; an item for which `parse` raises InputError goes to `refuse`."""
    entries = []
    for item in items:
        try:
            entries.append(parse(item))
        except InputError as error:
            refuse(error)
    return entries


def read_text(file: Path) -> list[str]:
    """Returns the lines of a text file in UTF-8; `InputError` if it is missing or no text."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"annotation file {file} does not exist") from None
    except IsADirectoryError:
        raise InputError(
            f"{file} is a folder; name a text file with one `path label` a line"
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            f"annotation file {file} cannot be read as text in UTF-8; name a list with one"
            " `path label` a line"
        ) from None
    except OSError as error:
        raise InputError(f"annotation file {file} cannot be read: {error.strerror}") from None


def _parse_text(line: _Line, multi_label: bool) -> Entry:
    text = line.content.replace("\t", " ")
    if multi_label and (match := re.fullmatch(r"(.*?)((?: +\d+)+)", text)):
        return Entry(match[1], tuple(map(int, match[2].split())), line.place)
    path, _, label = text.rpartition(" ")
    if not path.strip():
        raise InputError(f"{line.place}: {text!r} is not `path label`")
    return Entry(path.strip(), (_number(label, line.place),), line.place)


def _number(label, place) -> int:
    if not label.isascii() or not label.lstrip("-").isdigit():
        raise InputError(f"{place}: label {label!r} is not a whole number")
    return int(label)


def _take_frame_counts(entries, folder, refuse) -> list[Entry]:
    """Takes the number of frames from every line, if the first folder that exists has one."""
    for entry in entries:
        counted = _with_frame_count(entry)
        if counted and os.path.isdir(folder / counted.path):
            return _entries(_require_frame_count, entries, refuse)
        if os.path.exists(folder / entry.path):
            return entries
    return entries


def _require_frame_count(entry) -> Entry:
    counted = _with_frame_count(entry)
    if counted is None:
        raise InputError(
            f"{entry.place}: {entry.path} is listed without its number of frames; write "
            "`folder frames label` in every line or `folder label` in every line"
        )
    return counted


def _check_one_label(entries, folder):
    """`InputError` if the first path with numbers at its end that exists does so without them."""
    for entry in entries:
        bare = re.sub(r"( +\d+)+$", "", entry.path)
        if bare == entry.path:
            continue
        if os.path.exists(folder / entry.path):
            return
        if os.path.exists(folder / bare):
            raise InputError(
                f"{entry.place} ends in several numbers; set data.multi_label=True if they are "
                f"labels of {bare}"
            )


def _with_frame_count(entry) -> Entry | None:
    """The entry with its first number taken as one of frames; None if there is no such number."""
    if len(entry.labels) > 1:
        return entry._replace(labels=entry.labels[1:], num_frames=entry.labels[0])
    path, _, frames = entry.path.rpartition(" ")
    if not path.strip() or not frames.isascii() or not frames.isdigit():
        return None
    return entry._replace(path=path.strip(), num_frames=int(frames))


def _csv_rows(file, lines, names, multi_label):
    """A parser of rows, and the rows with their places."""
    reader = csv.DictReader(lines, skipinitialspace=True)
    header = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    path, label = _column(file, header, PATH_COLUMNS), _column(file, header, LABEL_COLUMNS)
    frames = next((header[name] for name in FRAMES_COLUMNS if name in header), None)
    numbers = {name: number for number, name in enumerate(names)}

    def parse(line: _Line) -> Entry:
        place, row = line
        if not row[path] or not row[label]:
            raise InputError(f"{place}: the line lacks a {label if row[path] else path}")
        words = re.split(r"[;|]| +(?=\d)", row[label]) if multi_label else [row[label]]
        labels = tuple(_label(word.strip(), numbers, place) for word in words)
        count = _number(row[frames].strip(), place) if frames and row[frames] else 0
        return Entry(row[path].strip(), labels, place, count)

    return parse, [_Line(f"{file}:{reader.line_num}", row) for row in reader]


def _column(file, header, known) -> str:
    column = next((header[name] for name in known if name in header), None)
    if column is None:
        raise InputError(
            f"{file}: the header {', '.join(header.values())} names none of {', '.join(known)}"
        )
    return column


def _label(word, numbers, place) -> int:
    if word in numbers:
        return numbers[word]
    if word.isascii() and word.lstrip("-").isdigit():
        return int(word)
    raise InputError(
        f"{place}: label {word!r} is neither a whole number nor a line of labels.txt beside the "
        "list"
    )
