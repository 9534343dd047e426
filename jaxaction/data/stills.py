"""A video that was stored as a list of encoded pictures (TFDS's Video features)."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8


class Stills:
    """Pictures (JPEG or PNG bytes, one a frame) read like a video; bad ones raise `error`."""

    def __init__(self, pictures: Sequence[bytes], error: type[Exception]):
        self._pictures = pictures
        self._error = error
        if not len(pictures):
            raise error("the video is empty: 0 pictures")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def num_frames(self) -> int:
        """How many pictures there are."""
        return len(self._pictures)

    def count_by_decoding(self) -> int:
        """How many pictures there are; none is decoded for it."""
        return len(self._pictures)

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "t h w 3"]:
        """Returns these frames as RGB; only they are decoded."""
        if max(indices) >= len(self._pictures) or min(indices) < 0:
            raise self._error(f"the video has {len(self._pictures)} frames; asked for {indices}")
        decoded = {i: self._picture(i) for i in set(indices)}
        return np.stack([decoded[i] for i in indices])

    def _picture(self, i):
        picture = cv2.imdecode(np.frombuffer(self._pictures[i], np.uint8), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise self._error(f"frame {i} of the video is not a readable picture")
        return picture
