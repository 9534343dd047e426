"""The optical flow of one video, written as pictures into a folder of its own."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxaction.data import decode, transforms
from jaxaction.data.decode import DecodeError
from jaxaction.errors import InputError

# Decoded frames that are held at once; reading them takes two to three times as much for a while.
_CHUNK_BYTES = 64 * 2**20
# OpenCV's DIS ends the process on some wide pictures of fewer lines.
_MIN_SIDE = 32


@dataclass(frozen=True)
class FlowSettings:
    """How flow is computed and stored."""

    bound: float
    """Pixels of motion at the ends of the grey scale; what is faster is cut off."""
    short_side: int
    """Pixels of the shorter side, to which frames are resized first; 0: as they are."""
    rgb: bool
    """Whether the frames themselves are written, too."""


def extract(video: str, folder: Path, settings: FlowSettings, on_frame: Callable[[], None]) -> int:
    """Writes the flow of a video into `folder`; returns the number of flow frames.

    From frame i to i + 1 (i from 1) it is `x_0000i.jpg` and `y_0000i.jpg`, so of n frames there
    are n - 1 pairs; frames are `img_00001.jpg` to n. A folder that exists is finished and only
    counted, since it gets its name when all is written (`.incomplete` before). `on_frame` is
    called after every pair; what it raises ends the work.

    `DecodeError` for a video that can't be read to its end, has one frame or is too small;
    `InputError` where nothing can be written, or the folder holds something else.
    """
    try:
        if folder.exists():
            return _count_flow_frames(folder)
        partial = folder.with_name(f"{folder.name}.incomplete")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        try:
            count = _write_frames(video, partial, settings, on_frame)
        except DecodeError:
            shutil.rmtree(partial)
            raise
        partial.rename(folder)
        return count
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{folder} can't be written ({reason}); mend that or choose another --out, what is"
            " finished stays"
        ) from error


def levels(flow: Float[np.ndarray, "h w 2"], bound: float) -> UInt8[np.ndarray, "h w 2"]:
    """Returns flow in pixels as grey levels: -bound or less is 0, bound or more 255.

    Between them `127.5 + 127.5 * flow / bound`, rounded to the nearest level and a half to the
    even one, so that no motion is 128.
    """
    return np.rint(np.clip(127.5 + flow * (127.5 / bound), 0, 255)).astype(np.uint8)


def _count_flow_frames(folder) -> int:
    count = sum(1 for _ in folder.glob("x_*.jpg")) if folder.is_dir() else 0
    if not count:
        raise InputError(f"{folder} exists and holds no flow; move it away or choose another --out")
    return count


def _write_frames(video, folder, settings, on_frame) -> int:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    previous, number = None, 0
    for number, frame in enumerate(_frames(video, settings.short_side)):
        grey = _checked_grey(frame, previous, video)
        if settings.rgb:
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            _write_jpeg(folder / f"img_{number + 1:05}.jpg", bgr)
        if previous is not None:
            x, y = cv2.split(levels(dis.calc(previous, grey, None), settings.bound))
            _write_jpeg(folder / f"x_{number:05}.jpg", x)
            _write_jpeg(folder / f"y_{number:05}.jpg", y)
            on_frame()
        previous = grey
    if not number:
        raise DecodeError(f"{video} has one frame; flow needs two")
    return number


def _frames(video, short_side) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yields all frames as RGB, reading as many at once as `_CHUNK_BYTES` hold."""
    with decode.open_video(video) as opened:
        start, step = 0, 1
        while start < (count := opened.num_frames):
            frames = opened.read(range(start, min(start + step, count)))
            start += len(frames)
            step = max(8, _CHUNK_BYTES // frames[0].nbytes)
            yield from transforms.resize_short_side(frames, short_side) if short_side else frames


def _checked_grey(frame, previous, video) -> UInt8[np.ndarray, "h w"]:
    height, width = frame.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise DecodeError(
            f"{video}: frames of {height}x{width} are too small for optical flow; set --short-side"
            f" to {_MIN_SIDE} or more"
        )
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if previous is not None and grey.shape != previous.shape:
        raise DecodeError(f"{video} changes its frame size on the way")
    return grey


def _write_jpeg(path, picture):
    path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())  # cv2.imwrite hides a full disk
