"""Finds videos that can't be decoded completely, and copies among videos."""

import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from jaxaction.data import decode, truncated
from jaxaction.data.stills import FrameFolder, Stills

SECONDS_BETWEEN_LINES = 10.0
FRAMES_AT_ONCE = 16

In = TypeVar("In")
Out = TypeVar("Out")


class Inspection(NamedTuple):
    """The result of decoding a video."""

    num_frames: int
    problem: str
    """In words, to follow the video's name; "" if there is none."""


def inspect_video(video: object, quick: bool) -> Inspection:
    """Decodes a video to its end and returns the result.

    With `quick`, the video is only opened, and the frames are counted by its container. `video` is
    anything that `decode.open_video` takes.
    """
    if isinstance(video, str | os.PathLike | FrameFolder) and not os.path.exists(path_of(video)):
        return Inspection(0, "does not exist")
    try:
        with decode.open_video(video) as opened:
            promised = truncated.header_frames(video)
            if quick:
                return Inspection(promised or opened.num_frames, "")
            count = _decode(opened, video)
    except decode.DecodeError as error:
        return Inspection(0, _reason(error, path_of(video)))
    return Inspection(count, truncated.describe_truncation(count, promised))


def find_copies(videos: Iterable[In], threads: int) -> list[list[In]]:
    """Returns the groups of videos with the same bytes."""
    # Only videos of one size are read, since most have a size of their own.
    by_size = defaultdict(list)
    for video in videos:
        by_size[_size(video)].append(video)
    candidates = [video for group in by_size.values() if len(group) > 1 for video in group]
    by_digest = defaultdict(list)
    for video, digest in zip(candidates, map_in_threads(_digest, candidates, threads), strict=True):
        by_digest[digest].append(video)
    return [group for group in by_digest.values() if len(group) > 1]


def map_in_threads(
    work: Callable[[In], Out], items: Sequence[In], threads: int, doing: str = ""
) -> list[Out]:
    """Returns `work(item)` for all items, in their order.

    With `doing`, a word such as "decoded", it prints its progress on stderr every ten seconds.
    """
    started = last_line = time.monotonic()
    results = []
    with ThreadPoolExecutor(threads) as pool:
        for result in pool.map(work, items):
            results.append(result)
            now = time.monotonic()
            if doing and now - last_line > SECONDS_BETWEEN_LINES:
                last_line, rate = now, len(results) / (now - started)
                seconds_left = (len(items) - len(results)) / rate
                print(
                    f"{doing} {len(results)} of {len(items)} videos, {rate:.1f} a second,"
                    f" {seconds_left / 60:.0f} minutes left",
                    file=sys.stderr,
                )
    return results


def path_of(video: object) -> str:
    """Returns the path of a file or a folder of frames; for other videos, a name for messages."""
    if isinstance(video, bytes):
        return f"video of {len(video)} bytes"
    if isinstance(video, list):
        return "the video"
    return video.path if isinstance(video, FrameFolder) else str(video)


def _decode(opened: decode.Video | Stills, video: object) -> int:
    count = opened.count_by_decoding()
    if isinstance(video, FrameFolder):  # it has counted files, and opened none
        for start in range(0, count, FRAMES_AT_ONCE):
            opened.read(range(start, min(start + FRAMES_AT_ONCE, count)))
    return count


def _reason(error: decode.DecodeError, path: str) -> str:
    """Returns the message without the path at its beginning, which the line already has."""
    return str(error).removeprefix("the video").removeprefix(path).strip(": ")


def _files(video: object) -> list[Path]:
    path = Path(path_of(video))
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _size(video: object) -> tuple[int, int]:
    files = _files(video)
    return len(files), sum(file.stat().st_size for file in files)


def _digest(video: object) -> bytes:
    digest = hashlib.sha256()
    for path in _files(video):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.digest()
