"""Decodes single videos to find what is wrong with them, and finds copies among them."""

import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxaction.data import decode, truncated
from jaxaction.data.stills import FrameFolder

SECONDS_BETWEEN_LINES = 10.0
FRAMES_AT_ONCE = 16

In = TypeVar("In")
Out = TypeVar("Out")


class Inspection(NamedTuple):
    """A video's number of frames, and what is wrong with it ("": nothing)."""

    num_frames: int
    problem: str


def inspect_video(video: Any, quick: bool) -> Inspection:
    """Decodes a video to its end; `quick` opens it and believes the container's own count.

    `video` is what `decode.open_video` takes.
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


def find_copies(videos: Iterable[Any], threads: int) -> list[list[Any]]:
    """Returns the groups of videos whose bytes are the same; only those of one size are read."""
    by_size = defaultdict(list)
    for video in videos:
        by_size[_size(video)].append(video)
    candidates = [video for group in by_size.values() if len(group) > 1 for video in group]
    by_digest = defaultdict(list)
    for video, digest in zip(candidates, map_in_threads(_digest, candidates, threads), strict=True):
        by_digest[digest].append(video)
    return [group for group in by_digest.values() if len(group) > 1]


def map_in_threads(
    work: Callable[[In], Out], items: list[In], threads: int, doing: str = ""
) -> list[Out]:
    """Returns `work(item)` of all items in their order; says on stderr how far it is if `doing`."""
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


def path_of(video: Any) -> str:
    """The path of a video, be it a file or a folder of frames; of bytes what messages call them."""
    if isinstance(video, bytes):
        return f"video of {len(video)} bytes"
    if isinstance(video, list):
        return "the video"
    return video.path if isinstance(video, FrameFolder) else str(video)


def _decode(opened: Any, video: Any) -> int:
    count = opened.count_by_decoding()
    if isinstance(video, FrameFolder):  # which counts files, and opens none
        for start in range(0, count, FRAMES_AT_ONCE):
            opened.read(range(start, min(start + FRAMES_AT_ONCE, count)))
    return count


def _reason(error: decode.DecodeError, path: str) -> str:
    """The message without the path that it begins with, which the line has already."""
    return str(error).removeprefix("the video").removeprefix(path).strip(": ")


def _files(video: Any) -> list[Path]:
    path = Path(path_of(video))
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _size(video: Any) -> tuple[int, int]:
    files = _files(video)
    return len(files), sum(file.stat().st_size for file in files)


def _digest(video: Any) -> bytes:
    digest = hashlib.sha256()
    for path in _files(video):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.digest()
