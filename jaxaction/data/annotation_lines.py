"""Parses annotation files: `path label`, `folder frames label`, several labels, and csv."""

import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from jaxaction.errors import InputError

# Names that a csv's columns may have. The first in each tuple that the header contains is taken.
PATH_COLUMNS = ("path", "video_path", "video", "file", "filename", "name", "folder")
LABEL_COLUMNS = ("label", "labels", "class", "class_id", "label_id", "classes")
FRAMES_COLUMNS = ("num_frames", "frames", "total_frames")


# Up to this many lines with the same mistake get a message each, more get one together: a mistake
# in every line, such as a missing labels.txt, would fill the screen.
_MESSAGES_PER_MISTAKE = 3

Item = TypeVar("Item")


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
    """One line of a text file."""

    place: str
    text: str


class _Row(NamedTuple):
    """One row of a csv."""

    place: str
    columns: dict  # missing cells are None, and a list of surplus ones has the key None


class _LineError(InputError):
    """A line that is no entry: `subject` breaks `rule`."""

    def __init__(self, place: str, subject: str, rule: str):
        super().__init__(f"{place}: {subject} {rule}")
        self.rule = rule


Refuse = Callable[[InputError], None]


def _raise(error: InputError) -> NoReturn:
    raise error


def read_entries(
    file: Path,
    folder: Path,
    names: Sequence[str],
    multi_label: bool,
    refuse: Refuse = _raise,
) -> list[Entry]:
    """Returns the entries of a file in its order; labels of a csv may be words among `names`.

    The first listed folder that exists below `folder` decides whether the lines of a text file
    contain a number of frames. A line that is no entry goes to `refuse` as an `InputError` with its
    number; if `refuse` returns, the line is left out. More than three lines with the same mistake
    get one `InputError` together. `InputError` also for a text file with several labels a line
    without `multi_label`.
    """
    lines = list(enumerate(read_text(file), 1))
    if file.suffix.lower() == ".csv" and lines and "," in lines[0][1]:
        parse, rows = _csv_rows(file, [line for _, line in lines], names, multi_label)
        return _entries(parse, rows, refuse)
    texts = [_Line(f"{file}:{number}", line.strip()) for number, line in lines]
    texts = [line for line in texts if line.text and not line.text.startswith("#")]
    entries = _entries(partial(_parse_text, multi_label=multi_label), texts, refuse)
    entries = _take_frame_counts(entries, folder, refuse)
    if not multi_label:
        _check_one_label(entries, folder)
    return entries


def _entries(parse: Callable[[Item], Entry], items: Iterable[Item], refuse: Refuse) -> list[Entry]:
    """Parses every item; the errors go to `refuse` afterwards, those of one mistake together."""
    entries, errors = [], []
    for item in items:
        try:
            entries.append(parse(item))
        except _LineError as error:
            errors.append(error)
    for error in _merged(errors):
        refuse(error)
    return entries


def _merged(errors: Sequence[_LineError]) -> list[InputError]:
    """Returns the errors; many with one rule become the first of them, with their number."""
    count = Counter(error.rule for error in errors)
    merged: dict[object, InputError] = {}
    for error in errors:
        if count[error.rule] <= _MESSAGES_PER_MISTAKE:
            merged[error] = error
        elif error.rule not in merged:
            more = count[error.rule] - 1
            merged[error.rule] = InputError(f"{error} (the same in {more} more lines)")
    return list(merged.values())


def read_text(file: Path) -> list[str]:
    """Returns the lines of a text file in UTF-8; `InputError` if it is missing or no text."""
    # Spreadsheets write a byte order mark in front, which utf-8-sig drops.
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"annotation file {file} does not exist") from None
    except IsADirectoryError:
        raise InputError(
            f"{file} is a folder; name a text file that lists its videos, one a line: the path and"
            " the label, such as `run/a.mp4 0`"
        ) from None
    except UnicodeDecodeError:
        raise InputError(
            f"annotation file {file} cannot be read as text in UTF-8; name a list with one"
            " `path label` a line"
        ) from None
    except OSError as error:
        raise InputError(f"annotation file {file} cannot be read: {error.strerror}") from None


def _parse_text(line: _Line, multi_label: bool) -> Entry:
    text = line.text.replace("\t", " ")
    if multi_label and (match := re.fullmatch(r"(.*?)((?: +\d+)+)", text)):
        return Entry(match[1], tuple(map(int, match[2].split())), line.place)
    # A path may have spaces, a label has none.
    path, _, label = text.rpartition(" ")
    if not path.strip():
        raise _LineError(line.place, repr(text), "is not `path label`")
    return Entry(path.strip(), (_number(label, line.place),), line.place)


def _number(label: str, place: str) -> int:
    # isdigit alone also accepts digits such as a superscript 2, which int refuses.
    if not label.isascii() or not label.lstrip("-").isdigit():
        raise _LineError(place, f"label {label!r}", "is not a whole number")
    return int(label)


def _take_frame_counts(entries: list[Entry], folder: Path, refuse: Refuse) -> list[Entry]:
    """Takes the number of frames from every line, if the first folder that exists has one."""
    for entry in entries:
        counted = _with_frame_count(entry)
        if counted and os.path.isdir(folder / counted.path):
            return _entries(_require_frame_count, entries, refuse)
        if os.path.exists(folder / entry.path):
            return entries
    return entries


def _require_frame_count(entry: Entry) -> Entry:
    counted = _with_frame_count(entry)
    if counted is None:
        raise _LineError(
            entry.place,
            entry.path,
            "is listed without its number of frames; write `folder frames label` in every line or"
            " `folder label` in every line",
        )
    return counted


def _check_one_label(entries: list[Entry], folder: Path) -> None:
    """Raises `InputError` if numbers before the label seem to be labels, too.

    The first path that ends in numbers and exists decides: if it exists only without the numbers,
    they are labels.
    """
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


def _with_frame_count(entry: Entry) -> Entry | None:
    """Returns the entry with its first number as its frames; None if that is its only number."""
    if len(entry.labels) > 1:
        return entry._replace(labels=entry.labels[1:], num_frames=entry.labels[0])
    path, _, frames = entry.path.rpartition(" ")
    if not path.strip() or not frames.isascii() or not frames.isdigit():
        return None
    return entry._replace(path=path.strip(), num_frames=int(frames))


def _csv_rows(
    file: Path, lines: list[str], names: Sequence[str], multi_label: bool
) -> tuple[Callable[[_Row], Entry], list[_Row]]:
    """Returns a parser of rows, and the rows with their places."""
    reader = csv.DictReader(lines, skipinitialspace=True)
    header = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    path, label = _column(file, header, PATH_COLUMNS), _column(file, header, LABEL_COLUMNS)
    frames = next((header[name] for name in FRAMES_COLUMNS if name in header), None)
    numbers = {name: number for number, name in enumerate(names)}

    def parse(line: _Row) -> Entry:
        place, row = line
        if not row[path] or not row[label]:
            raise _LineError(place, "the line", f"lacks a {label if row[path] else path}")
        # A space separates labels only in front of a number, since names of labels have spaces.
        words = re.split(r"[;|]| +(?=\d)", row[label]) if multi_label else [row[label]]
        labels = tuple(_label(word.strip(), numbers, place) for word in words)
        count = _number(row[frames].strip(), place) if frames and row[frames] else 0
        return Entry(row[path].strip(), labels, place, count)

    # The reader's line number, not a count of rows: a quoted field may span lines.
    return parse, [_Row(f"{file}:{reader.line_num}", row) for row in reader]


def _column(file: Path, header: Mapping[str, str], known: Sequence[str]) -> str:
    column = next((header[name] for name in known if name in header), None)
    if column is None:
        raise InputError(
            f"{file}: the header {', '.join(header.values())} names none of {', '.join(known)};"
            " begin the file with a line such as `path,label`"
        )
    return column


def _label(word: str, numbers: Mapping[str, int], place: str) -> int:
    if word in numbers:
        return numbers[word]
    if word.isascii() and word.lstrip("-").isdigit():
        return int(word)
    raise _LineError(
        place,
        f"label {word!r}",
        "is neither a whole number nor a line of labels.txt in the list's folder",
    )
