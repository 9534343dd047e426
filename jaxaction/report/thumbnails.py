"""A few small frames of a test video, found and decoded in the way of the test."""

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from jaxaction.config import build
from jaxaction.data.protocol import read_sampled
from jaxaction.data.records import Source
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.report.contents import Contents

FRAMES = 4
LARGEST = 128  # pixels of a picture's longer side
QUALITY = 70  # of the JPEG


class ThumbnailError(Exception):
    """There are no pictures of a video; the message says why."""


class Thumbnails:
    """Pictures of the videos of a run's test.

    A report without them is worth having, so a missing data set raises nothing: `problem` then says
    why there are no pictures. It is empty otherwise.
    """

    def __init__(self, contents: Contents, test: Evaluation) -> None:
        self.problem = ""
        self._videos: Source | None = None
        self._unreadable = len(test.unreadable)
        # In a copy without references, so that no key of the report's config follows the change.
        config = contents.config.copy_and_resolve_references()
        # The test may have used another data set than the training run.
        config.data.update(contents.dataset)
        try:
            classes = test.scores.shape[1]
            self._videos, _ = build.open_source(config, "test", classes)
        except (OSError, ValueError) as error:
            self.problem = _line(error)

    def of(self, row: int, name: str) -> list[bytes]:
        """Returns JPEGs of the video `name` in this row of the test, or raises ThumbnailError."""
        try:
            video = self._find(row, name)
            return [jpeg(frame) for frame in read_sampled(video, _spread)[0]]
        except ThumbnailError:
            raise
        # Readers of data sets raise their own errors for damaged files, and a picture isn't worth a
        # report.
        except Exception as error:
            raise ThumbnailError(_line(error)) from error

    def _find(self, row: int, name: str) -> object:
        """Returns the video; rows of the test leave out the unreadable videos before it.

        Asks for few ids, since some data sets read a whole video for its id.
        """
        if self._videos is None:
            raise ThumbnailError(self.problem)
        last = min(row + self._unreadable, len(self._videos) - 1)
        for index in range(row, last + 1):
            if self._videos.id(index) == name:
                return self._videos[index].video
        raise ThumbnailError("another video has its place in the data set now")


def jpeg(frame: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Returns a JPEG of at most `LARGEST` pixels a side; flow has x in red and y in green."""
    if frame.shape[2] == 2:
        # 128 is no motion in a flow picture; as blue it keeps a still picture grey.
        frame = np.pad(frame, ((0, 0), (0, 0), (0, 1)), constant_values=128)
    scale = min(1.0, LARGEST / max(frame.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _spread(num_frames: int, fps: float) -> Int[np.ndarray, "1 t"]:
    """Returns the frame in the middle of each of `FRAMES` equal parts of a video."""
    count = min(FRAMES, num_frames)
    return ((np.arange(count) + 0.5) * num_frames / count).astype(int)[None]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
