"""Mistakes in lists of videos and in the videos, before they cost a training: `data check`."""

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
from jaxaction.commands.data.check_lists import Listed
from jaxaction.data import inspect_videos
from jaxaction.data.annotations import MODALITIES
from jaxaction.data.inspect_videos import Found, place_of
from jaxaction.errors import InputError

Lists = dict[str, list[Listed]]
Looks = dict[str, Found]  # by the video's real path


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
    kind = check_lists.Kind(args.root, args.multi_label, args.modality)
    problems = _Printed()
    lists = {file: check_lists.read_list(file, kind, problems) for file in args.files}
    looks = _looks(lists, args.quick, threads)
    kinds = (
        _video_problems(lists, looks, args.frames),
        _repeated(lists),
        _copies(lists, looks, threads),
        *(check_lists.label_problems(*item) for item in lists.items()),
    )
    for line in itertools.chain(*kinds):
        problems(line)
    for file, rows in lists.items():
        print("\n".join([_summary(file, rows, looks), *check_lists.label_remarks(file, rows)]))
    print("".join(f"{line}\n" for line in _alike(lists)), end="")
    print(_number(problems.count, "problem") if problems.count else "no problems")
    return 1 if problems.count else 0


class _Printed:
    """Prints lines and counts them."""

    def __init__(self):
        self.count = 0

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        self.count += 1


def _real(video: Any) -> str:
    return os.path.realpath(place_of(video))


def _looks(lists: Lists, quick: bool, threads: int) -> Looks:
    """What a look at each video finds, at one that is listed twice just once."""
    videos = {_real(video.video): video.video for rows in lists.values() for video in rows}
    work: Callable[[Any], Found] = partial(inspect_videos.look, quick=quick)
    doing = "opened" if quick else "decoded"
    found = inspect_videos.in_threads(work, list(videos.values()), threads, doing)
    return dict(zip(videos, found, strict=True))


def _video_problems(lists: Lists, looks: Looks, at_least: int) -> Iterator[str]:
    for row in (row for rows in lists.values() for row in rows):
        found = looks[_real(row.video)]
        if found.problem:
            yield f"{row.place}: {row.path} {found.problem}"
        elif found.num_frames < at_least:
            yield f"{row.place}: {row.path} has {found.num_frames} frames, fewer than {at_least}"


def _repeated(lists: Lists) -> Iterator[str]:
    """Lines on videos that are listed twice, in one list or in two."""
    first: dict[str, tuple[str, Listed]] = {}
    for file, rows in lists.items():
        for row in rows:
            before, earlier = first.setdefault(_real(row.video), (file, row))
            if earlier is row:
                continue
            other = "" if earlier.labels == row.labels else ", with another label"
            where = (
                f"is listed in {earlier.place} already"
                if before == file
                else (f"is in {earlier.place}, too: lists share a video")
            )
            yield f"{row.place}: {row.path} {where}{other}"


def _copies(lists: Lists, looks: Looks, threads: int) -> Iterator[str]:
    """Lines on files of other names that hold the same bytes."""
    rows: dict[str, tuple[str, Listed]] = {}
    for file, listed in lists.items():
        for row in listed:
            rows.setdefault(_real(row.video), (file, row))
    whole = [row.video for key, (_, row) in rows.items() if looks[key].num_frames]
    for group in inspect_videos.same_content(whole, threads):
        (before, first), *others = (rows[_real(video)] for video in group)
        for file, row in others:
            shared = "" if file == before else ": lists share a video"
            other = "" if first.labels == row.labels else ", with another label"
            copied = f"is a copy of {first.path} ({first.place})"
            yield f"{row.place}: {row.path} {copied}{shared}{other}"


def _alike(lists: Lists) -> Iterator[str]:
    """Remarks on lists in which files of other folders have the same name."""
    for (file, rows), (other, others) in itertools.combinations(lists.items(), 2):
        names = {PurePath(row.path).stem: row for row in reversed(others)}
        pairs = [(row, names.get(PurePath(row.path).stem)) for row in rows]
        pairs = [(a, b) for a, b in pairs if b and _real(a.video) != _real(b.video)]
        if pairs:
            have = "video has" if len(pairs) == 1 else "videos have"
            yield (
                f"{file}, {other}: {len(pairs)} {have} the same name in other folders, first"
                f" {pairs[0][0].path} and {pairs[0][1].path}"
            )


def _summary(file: str, rows: list[Listed], looks: Looks) -> str:
    classes = Counter(label for row in rows for label in row.labels)
    each = sorted(classes.values())
    lengths = [looks[_real(row.video)].num_frames for row in rows]
    lengths = sorted(length for length in lengths if length)
    frames = _spread(lengths, "frame") if lengths else "none can be read"
    counts = f"{_number(len(rows), 'video')}, {_number(len(classes), 'class', 'classes')}"
    return f"{file}: {counts} of {_spread(each, 'video')}; {frames}"


def _spread(values: list[int], noun: str) -> str:
    """`29 to 1776 frames (median 160)`, of rising values."""
    if values[0] == values[-1]:
        return _number(values[0], noun)
    return f"{values[0]} to {values[-1]} {noun}s (median {statistics.median(values):g})"


def _number(count: int, noun: str, several: str = "") -> str:
    """`1 video`, `2 videos`."""
    return f"{count} {noun if count == 1 else several or noun + 's'}"
