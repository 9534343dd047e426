"""Optical flow of videos as folders of pictures, for flow networks: `jaxaction data flow`.

The flow is OpenCV's DIS (Kroeger et al. 2016). MMAction2's flow networks saw TV-L1 in training: a
network is as accurate as its figures say only on the kind of flow that it was trained on.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cv2

from jaxaction.commands.data import flow_jobs
from jaxaction.commands.data.flow_frames import FlowSettings, extract
from jaxaction.data import truncated
from jaxaction.data.decode import DecodeError
from jaxaction.errors import InputError
from jaxaction.files import write_atomically

_SECONDS_BETWEEN_LINES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction data flow`."""
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="a file that PyAV can open")
    parser.add_argument(
        "--from", dest="list", metavar="FILE", help="an annotation list, to be made for flow, too"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="gets one folder a video")
    parser.add_argument(
        "--root",
        default="",
        help="the folder that the list's paths are relative to (the list's own); folders of flow"
        " are named by the path below it",
    )
    parser.add_argument("--bound", type=float, default=20.0, help="pixels at the end of grey (20)")
    parser.add_argument("--short-side", type=int, default=0, help="resize frames to it first")
    parser.add_argument("--rgb", action="store_true", help="write the frames, too")
    parser.add_argument("--threads", type=int, help="videos at once (one a core)")


def main(args: argparse.Namespace) -> int:
    """Extracts what is not there yet; the exit code is 0 if any video has its flow in the end.

    Videos that can't be read are named on stderr and left out of the list; those that are cut off
    are named, too. `InputError` if none can be read.
    """
    settings, out = _flow_settings(args), Path(args.out)
    file = Path(args.list) if args.list else None
    if file:
        jobs = flow_jobs.jobs_of_list(file, args.root)
    else:
        jobs = flow_jobs.jobs_of_videos(args.videos, args.root)
    new_list = flow_jobs.list_path(file, out, jobs) if file else None
    made = _keep_settings(out, settings)
    counts, unreadable = _extract_all(jobs, out, settings, args.threads or os.cpu_count() or 1)
    if not counts:
        _remove_made(made)
        count = len(unreadable)
        raise InputError(f"no flow: {count} of {count} videos can't be read ({unreadable[0]})")
    for message in [*_truncation_messages(jobs, counts), *unreadable]:
        print(message, file=sys.stderr)
    left_out = f"; {len(unreadable)} can't be read, left out" if unreadable else ""
    print(f"{out}: {sum(counts.values())} flow frames of {len(counts)} videos{left_out}")
    if new_list:
        print(f"{new_list}: {flow_jobs.write_list(new_list, file, jobs, counts)} lines")
    return 0


def _flow_settings(args) -> FlowSettings:
    if bool(args.videos) == bool(args.list):
        raise InputError("give either videos or a list with --from")
    if not 0 < args.bound < math.inf:
        raise InputError(f"--bound {args.bound:g}: give pixels above 0")
    if args.short_side < 0:
        raise InputError(
            f"--short-side {args.short_side} is negative: give pixels, or 0 to keep the size"
        )
    if args.threads is not None and args.threads < 1:
        raise InputError(f"--threads {args.threads}: give 1 or more")
    return FlowSettings(bound=args.bound, short_side=args.short_side, rgb=args.rgb)


def _keep_settings(out: Path, settings: FlowSettings) -> list[Path]:
    """Writes `flow.json`, so that one folder never holds flow of two kinds; returns what it made.

    `InputError` if what is there was made otherwise, or `out` is in use for something else.
    """
    path, values = out / "flow.json", dataclasses.asdict(settings)
    if path.exists():
        stored = _read_settings(path)
        if stored != settings:
            raise InputError(
                f"{out} holds flow of {_flags_text(stored)}, not {_flags_text(settings)}; set the"
                " same or choose another --out"
            )
        return []
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is no empty folder, nor one of this command; give a new --out")
    made = [path] if out.exists() else [path, out]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} can't be made ({error.strerror}); choose another --out") from error
    content = values | {"algorithm": f"DIS, preset medium, of OpenCV {cv2.__version__}"}
    write_atomically(path, lambda file: file.write(json.dumps(content).encode() + b"\n"))
    return made


def _remove_made(made: list[Path]) -> None:
    """Removes what `_keep_settings` made, and empty folders of videos, unless more lies there."""
    if not made:
        return
    path, *made_folders = made
    for below, *_ in os.walk(path.parent, topdown=False):
        if Path(below) != path.parent:
            _remove_if_empty(below)
    if os.listdir(path.parent) == [path.name]:
        path.unlink()
    for folder in made_folders:
        _remove_if_empty(folder)


def _remove_if_empty(folder) -> None:
    with contextlib.suppress(OSError):  # it is not empty
        os.rmdir(folder)


def _read_settings(path) -> FlowSettings:
    try:
        values = json.loads(path.read_text())
        names = [field.name for field in dataclasses.fields(FlowSettings)]
        return FlowSettings(**{name: values[name] for name in names})
    except (ValueError, TypeError, KeyError, OSError):
        raise InputError(f"{path} can't be read; choose another --out") from None


def _flags_text(settings) -> str:
    rgb = "with" if settings.rgb else "without"
    return f"--bound {settings.bound:g} --short-side {settings.short_side} {rgb} --rgb"


def _extract_all(jobs, out, settings, threads) -> tuple[dict[str, int], list[str]]:
    """Returns the number of flow frames by folder, and what is wrong with the other videos."""
    cv2.setNumThreads(0)  # videos are the parallelism
    videos = {job.folder: job.video for job in jobs}
    progress, counts, unreadable = _Progress(len(videos)), {}, {}
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {
            pool.submit(extract, video, out / folder, settings, progress.frame): folder
            for folder, video in videos.items()
        }
        for future in as_completed(futures):
            try:
                counts[futures[future]] = future.result()
            except DecodeError as error:
                unreadable[futures[future]] = str(error)
            progress.video()
    finally:
        progress.stop()
        pool.shutdown(cancel_futures=True)
    return counts, [unreadable[folder] for folder in videos if folder in unreadable]


def _truncation_messages(jobs, counts) -> Iterator[str]:
    """Lines on videos whose flow is that of a part."""
    for folder, video in {job.folder: job.video for job in jobs}.items():
        if folder in counts:
            frames = counts[folder] + 1
            if message := truncated.describe_truncation(frames, truncated.header_frames(video)):
                yield f"{video} {message}"


class _Stopped(Exception):
    """Ends a thread's work on a video that nobody waits for any more."""


class _Progress:
    """Lines on stderr while threads work; also the way to stop them."""

    def __init__(self, total: int):
        self._lock = threading.Lock()
        self._total, self._videos, self._frames = total, 0, 0
        self._started = self._last_line = time.monotonic()
        self._stopped = False

    def frame(self):
        """Counts a flow frame."""
        if self._stopped:
            raise _Stopped
        with self._lock:
            self._frames += 1
            if time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
                self._print_line()

    def video(self):
        """Counts a video that is through, finished or not."""
        with self._lock:
            self._videos += 1
            if self._videos == self._total:
                self._print_line()

    def stop(self):
        """Ends the threads at their next frame."""
        self._stopped = True

    def _print_line(self):
        self._last_line = time.monotonic()
        rate = self._frames / max(self._last_line - self._started, 1e-9)
        print(
            f"{self._videos}/{self._total} videos, {self._frames} new flow frames,"
            f" {rate:.0f} a second",
            file=sys.stderr,
            flush=True,
        )
