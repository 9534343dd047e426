"""A video that is kept as pictures, one a frame: JPEG or PNG bytes (TFDS), or files in a folder."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Int, UInt8

# A picture's bytes or path; of optical flow two of them, x and y.
Picture = bytes | str | tuple[str, str]
Indices = Sequence[int] | Int[np.ndarray, " t"]

_NUMBERED = re.compile(r"(.*?)(\d+)(\.(?:jpe?g|png|bmp|webp))", re.IGNORECASE)
_VIDEOS = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".flv", ".mpg", ".mpeg", ".wmv", ".ts")
_FLOW = re.compile(r"(|.*[^a-z])([xy])(_?)", re.IGNORECASE)


class Stills:
    """Pictures read like a video; bad ones raise `error`, which is told `name`."""

    fps = 0.0  # pictures don't say how fast they were taken

    def __init__(
        self, pictures: Sequence[Picture], error: type[Exception], name: str = "the video"
    ):
        self._pictures = pictures
        self._error = error
        self._name = name
        if not len(pictures):
            raise error(f"{name} is empty: 0 pictures")

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

    def read(self, indices: Indices) -> UInt8[np.ndarray, "t h w c"]:
        """Returns these frames as RGB, or as x and y of optical flow; only they are decoded."""
        if max(indices) >= len(self._pictures) or min(indices) < 0:
            raise self._error(f"{self._name} has {len(self._pictures)} frames; asked for {indices}")
        decoded = {int(i): self._frame(int(i)) for i in set(indices)}
        if len({frame.shape for frame in decoded.values()}) > 1:
            raise self._error(f"{self._name} changes its frame size on the way")
        return np.stack([decoded[int(i)] for i in indices])

    def _frame(self, i):
        picture = self._pictures[i]
        if not isinstance(picture, tuple):
            return self._decode(picture, i, cv2.IMREAD_COLOR_RGB)
        x, y = (self._decode(part, i, cv2.IMREAD_GRAYSCALE) for part in picture)
        if x.shape != y.shape:
            raise self._error(f"frame {i} of {self._name} has x and y of different sizes")
        return np.stack([x, y], axis=-1)

    def _decode(self, picture, i, flags):
        try:
            data = np.fromfile(picture, np.uint8) if isinstance(picture, str) else picture
        except OSError as error:
            message = f"frame {i} of {self._name} cannot be read: {error.strerror}"
            raise self._error(message) from None
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) else None
        if pixels is None:
            raise self._error(f"frame {i} of {self._name} is not a readable picture")
        return pixels


@dataclass(frozen=True)
class FrameFolder:
    """A folder with one numbered picture a frame, or one for x and one for y of optical flow.

    How the files are called is found out: `img_00001.jpg`, `000.png`, and for flow
    `x_00001.jpg` with `y_00001.jpg`, also `flow_x_00001.jpg`. The lowest number is frame 0.
    """

    path: str
    num_frames: int = 0
    """As the list says; 0: as many as there are."""
    modality: str = "rgb"
    """"rgb" or "flow"."""

    def open(self, error: type[Exception]) -> Stills:
        """Returns the pictures; `error` for a folder without any, for a gap, and for fewer pictures
        than are listed. If there are more, the listed number is used."""
        groups = self._numbered_files(error)
        pictures = (
            self._flow(groups, error) if self.modality == "flow" else self._rgb(groups, error)
        )
        if len(pictures) < self.num_frames:
            raise error(
                f"{self.path} is listed with {self.num_frames} frames, but holds {len(pictures)}"
            )
        return Stills(pictures[: self.num_frames or None], error, self.path)

    def _numbered_files(self, error) -> dict[tuple[str, str], dict[int, str]]:
        """Returns {(prefix, suffix): {number: path}}."""
        groups = {}
        try:
            names = sorted(os.listdir(self.path))
        except OSError as reason:
            raise error(f"{self.path} cannot be read: {reason.strerror}") from None
        for name in names:
            # A Mac's archive has a hidden `._img_00001.jpg` next to each picture.
            if (match := _NUMBERED.fullmatch(name)) and not name.startswith("."):
                prefix, number, suffix = match.groups()
                group = groups.setdefault((prefix, suffix), {})
                group[int(number)] = os.path.join(self.path, name)
        return groups

    def _rgb(self, files, error) -> list[str]:
        groups = {key: group for key, group in files.items() if not _FLOW.fullmatch(key[0])}
        if len(groups) != 1:
            raise error(f"{self.path} {self._why_no_series(list(groups))}")
        return self._in_order(*groups.values(), error)

    def _why_no_series(self, kinds: list[tuple[str, str]]) -> str:
        if kinds:
            names = ", ".join(f"{prefix}*{suffix}" for prefix, suffix in kinds)
            return f"has several series of numbered pictures ({names}); keep one in a folder"
        videos = [n for n in sorted(os.listdir(self.path)) if n.lower().endswith(_VIDEOS)]
        if videos:
            return f"has {len(videos)} videos ({videos[0]}) and no pictures; list each video itself"
        return "has no numbered pictures, such as img_00001.jpg"

    def _flow(self, files, error) -> list[tuple[str, str]]:
        groups = {}
        for (prefix, suffix), group in files.items():
            if match := _FLOW.fullmatch(prefix):
                before, axis, after = match.groups()
                groups.setdefault((before, after, suffix), {})[axis.lower()] = group
        pairs = [group for group in groups.values() if len(group) == 2]
        if len(pairs) != 1:
            raise error(
                f"{self.path} has {len(pairs)} series of flow, x_* and y_*, not one; "
                "`jaxaction data flow` makes them"
            )
        x, y = (self._in_order(pairs[0][axis], error) for axis in "xy")
        if len(x) != len(y):
            raise error(f"{self.path} holds {len(x)} pictures of flow's x and {len(y)} of its y")
        return list(zip(x, y, strict=True))

    def _in_order(self, group, error) -> list[str]:
        numbers = sorted(group)
        gap = next((a + 1 for a, b in zip(numbers, numbers[1:], strict=False) if b != a + 1), None)
        if gap is not None:
            raise error(f"{self.path} lacks the picture with number {gap}")
        return [group[number] for number in numbers]
