"""Tells videos that open but are cut off: fewer frames can be decoded than the header promises."""

import io
from typing import Any

import av

from jaxaction.data import decode
from jaxaction.data.stills import FrameFolder

# A header may count a few frames that are never shown; fewer than this share is a cut-off file.
MIN_SHARE = 0.9


def describe_truncation(frames: int, promised: int) -> str:
    """`is cut off or damaged: 81 of 280 frames can be decoded`; "" of a complete video."""
    if frames >= MIN_SHARE * promised:
        return ""
    return f"is cut off or damaged: {frames} of {promised} frames can be decoded"


def header_frames(video: Any) -> int:
    """How many frames a file's header promises; 0 where it doesn't, and for pictures.

    `video` is what `decode.open_video` takes.
    """
    if isinstance(video, FrameFolder | list | tuple):
        return 0
    try:
        file = io.BytesIO(video) if isinstance(video, bytes) else f"file:{video}"
        with decode.open_container(file) as container:
            return container.streams.video[0].frames
    except (av.error.FFmpegError, IndexError):
        return 0
