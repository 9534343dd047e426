"""Finds videos that open but are cut off: their header promises more frames than can be decoded."""

import io

import av.error

from jaxaction.data import decode
from jaxaction.data.stills import FrameFolder

# A header may count a few frames that are never shown. With less than this share of the promised
# frames, a file counts as cut off.
MIN_SHARE = 0.9


def describe_truncation(frames: int, promised: int) -> str:
    """Returns `is cut off or damaged: 81 of 280 frames can be decoded`, or "" if it is complete."""
    if frames >= MIN_SHARE * promised:
        return ""
    return f"is cut off or damaged: {frames} of {promised} frames can be decoded"


def header_frames(video: object) -> int:
    """Returns the number of frames in a file's header; 0 without one, and for pictures.

    `video` is anything that `decode.open_video` takes.
    """
    if isinstance(video, FrameFolder | list | tuple):
        return 0
    try:
        file = io.BytesIO(video) if isinstance(video, bytes) else f"file:{video}"
        with decode.open_container(file) as container:
            return container.streams.video[0].frames
    except (av.error.FFmpegError, IndexError):
        return 0
