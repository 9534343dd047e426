"""A few small frames of a test video, read as the test reads it."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxaction.config import build
from jaxaction.data.protocol import read_sampled
from jaxaction.report.contents import Contents

FRAMES = 4
LARGEST = 128  # pixels of a picture's longer side
QUALITY = 70  # of the JPEG


class ThumbnailError(Exception):
    """A video without pictures; the message says why."""


class Thumbnails:
    """Pictures of the videos of a run's test.

    A report is worth having without them: where the data set has gone, `problem` says why and is
    empty otherwise.
    """

    def __init__(self, contents: Contents) -> None:
        self.problem = ""
        self._videos: Any = ()
        self._unreadable = len(contents.test.unreadable)
        config = contents.config.copy_and_resolve_references()
        config.data.update(contents.dataset)
        try:
            classes = contents.test.scores.shape[1]
            self._videos, _ = build.open_source(config, "test", classes)
        except (OSError, ValueError) as error:
            self.problem = _line(error)

    def of(self, row: int, name: str) -> list[bytes]:
        """JPEGs of the video in this row of the test; `ThumbnailError` if it can't be read."""
        try:
            video = self._videos[self._index(row, name)].video
            return [jpeg(frame) for frame in read_sampled(video, _spread)[0]]
        except ThumbnailError:
            raise
        except Exception as error:  # whatever a damaged data set's reader raises
            raise ThumbnailError(_line(error)) from error

    def _index(self, row: int, name: str) -> int:
        """Where the video is in its source: rows leave out the unreadable ones before it.

        Few ids are asked for, since a data set may have to read a video to tell its id.
        """
        last = min(row + self._unreadable, len(self._videos) - 1)
        for index in range(row, last + 1):
            if self._videos.id(index) == name:
                return index
        raise ThumbnailError("another video has its place in the data set now")


def jpeg(frame: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A picture of at most `LARGEST` pixels; of optical flow x is red and y green."""
    if frame.shape[2] == 2:
        frame = np.pad(frame, ((0, 0), (0, 0), (0, 1)), constant_values=128)
    scale = min(1.0, LARGEST / max(frame.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _spread(num_frames: int, fps: float) -> np.ndarray:
    """The middles of `FRAMES` equal parts; `[1, t]`."""
    count = min(FRAMES, num_frames)
    return ((np.arange(count) + 0.5) * num_frames / count).astype(int)[None]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
