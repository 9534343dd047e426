"""Finds mistakes in lists of videos and in the videos before a training run: `data check`."""

import argparse
import itertools
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePath
from typing import Any

from jaxaction.commands.data import check_lists
from jaxaction.commands.data.check_lists import ListedVideo
from jaxaction.data import inspect_videos
from jaxaction.data.annotations import MODALITIES
from jaxaction.data.inspect_videos import Inspection, path_of
from jaxaction.errors import InputError

Lists = dict[str, list[ListedVideo]]
Inspections = dict[str, Inspection]  # by the video's real path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction data check`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a list of videos")
    parser.add_argument("--root", default="", help="the folder of their paths (the list's own)")
    parser.add_argument("--multi-label", action="store_true", help="a video can have several")
    parser.add_argument("--modality", choices=MODALITIES, default="rgb")
    parser.add_argument("--frames", type=int, default=1, help="name videos with fewer than these")
    parser.add_argument("--quick", action="store_true", help="open videos, but decode none")
    parser.add_argument("--threads", type=int, help="that decode (as many as cores)")


def main(args: argparse.Namespace) -> int:
    """Prints a line for each problem and then what the lists hold; exit code 1 with problems."""
    threads = args.threads or os.cpu_count() or 1
    for name, value in (("--threads", threads), ("--frames", args.frames)):
        if value < 1:
            raise InputError(f"{name} {value}: give 1 or more")
    if len(set(map(os.path.realpath, args.files))) < len(args.files):
        raise InputError("a list is named twice on the command line; name each once")
    options = check_lists.ListOptions(args.root, args.multi_label, args.modality)
    report = _PrintedLines()
    lists = {file: check_lists.read_list(file, options, report) for file in args.files}
    inspections = _inspect(lists, args.quick, threads)
    problem_lines = (
        _video_problems(lists, inspections, args.frames),
        _repeat_problems(lists),
        _copy_problems(lists, inspections, threads),
        *(check_lists.label_problems(file, rows) for file, rows in lists.items()),
    )
    for line in itertools.chain.from_iterable(problem_lines):
        report(line)
    for file, rows in lists.items():
        print(_summary(file, rows, inspections))
        print("".join(f"{line}\n" for line in check_lists.label_remarks(file, rows)), end="")
    print("".join(f"{line}\n" for line in _same_names(lists)), end="")
    print(_count_text(report.count, "problem") if report.count else "no problems")
    return 1 if report.count else 0


class _PrintedLines:
    """Prints lines and counts them."""

    def __init__(self):
        self.count = 0

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        self.count += 1


def _real_path(video: Any) -> str:
    return os.path.realpath(path_of(video))


def _inspect(lists: Lists, quick: bool, threads: int) -> Inspections:
    """Inspects each video once, also one that is listed twice."""
    videos = {_real_path(video.video): video.video for rows in lists.values() for video in rows}
    work: Callable[[Any], Inspection] = partial(inspect_videos.inspect_video, quick=quick)
    doing = "opened" if quick else "decoded"
    results = inspect_videos.map_in_threads(work, list(videos.values()), threads, doing)
    return dict(zip(videos, results, strict=True))


def _video_problems(lists: Lists, inspections: Inspections, at_least: int) -> Iterator[str]:
    for row in (row for rows in lists.values() for row in rows):
        inspection = inspections[_real_path(row.video)]
        if inspection.problem:
            yield f"{row.place}: {row.path} {inspection.problem}"
        elif inspection.num_frames < at_least:
            count = f"{inspection.num_frames} frames"
            yield f"{row.place}: {row.path} has {count}, fewer than {at_least}"


def _repeat_problems(lists: Lists) -> Iterator[str]:
    """Lines on videos that are listed twice, in one list or in two."""
    first: dict[str, tuple[str, ListedVideo]] = {}
    for file, rows in lists.items():
        for row in rows:
            first_file, earlier = first.setdefault(_real_path(row.video), (file, row))
            if earlier is row:
                continue
            label_note = "" if earlier.labels == row.labels else ", with another label"
            where = (
                f"is listed in {earlier.place} already"
                if first_file == file
                else (f"is in {earlier.place}, too: lists share a video")
            )
            yield f"{row.place}: {row.path} {where}{label_note}"


def _copy_problems(lists: Lists, inspections: Inspections, threads: int) -> Iterator[str]:
    """Lines on files of other names that hold the same bytes."""
    rows: dict[str, tuple[str, ListedVideo]] = {}
    for file, listed in lists.items():
        for row in listed:
            rows.setdefault(_real_path(row.video), (file, row))
    readable = [row.video for key, (_, row) in rows.items() if inspections[key].num_frames]
    for group in inspect_videos.find_copies(readable, threads):
        (first_file, first), *copies = (rows[_real_path(video)] for video in group)
        for file, row in copies:
            list_note = "" if file == first_file else ": lists share a video"
            label_note = "" if first.labels == row.labels else ", with another label"
            copied = f"is a copy of {first.path} ({first.place})"
            yield f"{row.place}: {row.path} {copied}{list_note}{label_note}"


def _same_names(lists: Lists) -> Iterator[str]:
    """Remarks on lists in which files of other folders have the same name."""
    for (file, rows), (other_file, other_rows) in itertools.combinations(lists.items(), 2):
        names = {PurePath(row.path).stem: row for row in reversed(other_rows)}
        pairs = [(row, names.get(PurePath(row.path).stem)) for row in rows]
        pairs = [(a, b) for a, b in pairs if b and _real_path(a.video) != _real_path(b.video)]
        if pairs:
            have = "video has" if len(pairs) == 1 else "videos have"
            yield (
                f"{file}, {other_file}: {len(pairs)} {have} the same name in other folders, first"
                f" {pairs[0][0].path} and {pairs[0][1].path}"
            )


def _summary(file: str, rows: list[ListedVideo], inspections: Inspections) -> str:
    classes = Counter(label for row in rows for label in row.labels)
    class_sizes = sorted(classes.values())
    lengths = [inspections[_real_path(row.video)].num_frames for row in rows]
    lengths = sorted(length for length in lengths if length)
    frames = _range_text(lengths, "frame") if lengths else "none can be read"
    counts = f"{_count_text(len(rows), 'video')}, {_count_text(len(classes), 'class', 'classes')}"
    return f"{file}: {counts} of {_range_text(class_sizes, 'video')}; {frames}"


def _range_text(values: list[int], noun: str) -> str:
    """`29 to 1776 frames (median 160)`, of rising values."""
    if values[0] == values[-1]:
        return _count_text(values[0], noun)
    return f"{values[0]} to {values[-1]} {noun}s (median {statistics.median(values):g})"


def _count_text(count: int, noun: str, several: str = "") -> str:
    """`1 video`, `2 videos`."""
    return f"{count} {noun if count == 1 else several or noun + 's'}"
