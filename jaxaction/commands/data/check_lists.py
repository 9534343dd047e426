"""An annotation file read to its end: its videos, and every line that training would refuse."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxaction.data.annotation_lines import Entry, read_entries
from jaxaction.data.annotations import read_label_names, resolve_videos
from jaxaction.errors import InputError

_FLAGS = {
    "data.root": "--root",
    "data.modality": "--modality",
    "data.multi_label=True": "--multi-label",
}


class ListedVideo(NamedTuple):
    """One line that can be used."""

    place: str  # FILE:LINE
    path: str  # as it is listed
    video: Any  # a path or a `FrameFolder`
    labels: tuple[int, ...]


class ListOptions(NamedTuple):
    """Options of the command line that say how lists are read."""

    root: str
    multi_label: bool
    modality: str


def read_list(file: str, options: ListOptions, report: Callable[[str], None]) -> list[ListedVideo]:
    """Returns the videos of a list; `report` gets a line for each line that can't be used.

    InputError where nothing can be made of the file as a whole: it is missing, no text, without a
    video, or none of its videos exists.
    """
    path, folder = Path(file), Path(options.root or Path(file).parent)
    names = read_label_names(path)
    refuse = lambda error: report(str(error))  # noqa: E731
    try:
        entries = read_entries(path, folder, names, options.multi_label, refuse)
        entries = [entry for entry in entries if _has_valid_labels(entry, report)]
        if not entries:
            raise InputError(f"{file} lists no videos; write one `path label` a line")
        videos = resolve_videos(path, folder, entries, options.modality)
    except InputError as error:
        raise InputError(_with_flags(str(error))) from None
    return [
        ListedVideo(entry.place, entry.path, video, entry.labels)
        for entry, video in zip(entries, videos, strict=True)
    ]


def label_problems(file: str, videos: list[ListedVideo]) -> Iterator[str]:
    """Lines on labels that no video has or that have no name."""
    used = {label for video in videos for label in video.labels}
    names, highest = read_label_names(Path(file)), max(used)
    if absent := [label for label in range(highest) if label not in used]:
        yield (
            f"{file}: no video has label {ranges_text(absent)}; labels should run without a gap"
            f" from 0 to the highest, {highest}"
        )
    if names and len(names) <= highest:
        yield f"{file}: label {highest} has no name; labels.txt beside it has {len(names)} lines"


def label_remarks(file: str, videos: list[ListedVideo]) -> Iterator[str]:
    """Lines on labels with few videos or, at the end of `labels.txt`, none."""
    count = Counter(label for video in videos for label in video.labels)
    if unused := list(range(max(count) + 1, len(read_label_names(Path(file))))):
        yield f"{file}: no video has label {ranges_text(unused)}, the last of labels.txt beside it"
    middle = sorted(count.values())[len(count) // 2]
    if rare := sorted(label for label, videos in count.items() if videos * 10 < middle):
        labels = ranges_text(rare)
        yield f"{file}: less than a tenth of the usual {middle} videos have label {labels}"


def ranges_text(numbers: list[int]) -> str:
    """Rising numbers in short: `3, 5-9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _with_flags(message: str) -> str:
    """The message with the command's flags in place of the config's keys."""
    for key, flag in _FLAGS.items():
        message = message.replace(key, flag)
    return message


def _has_valid_labels(entry: Entry, report: Callable[[str], None]) -> bool:
    negative = next((label for label in entry.labels if label < 0), None)
    if negative is not None:
        report(f"{entry.place}: label {negative} is negative; labels count from 0")
    return negative is None
