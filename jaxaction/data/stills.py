"""Videos that are stored as pictures, one per frame: encoded bytes (TFDS), or files in a folder."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from jaxtyping import Int, UInt8

# A picture's bytes or path; for optical flow a pair of paths, x and y.
Picture = bytes | str | tuple[str, str]
Indices = Sequence[int] | Int[np.ndarray, " t"]
_Numbered = Mapping[tuple[str, str], dict[int, str]]  # {(prefix, suffix): {number: path}}

# A name is split at its last number: `flow_x_00001.jpg` into `flow_x_`, `00001` and `.jpg`.
_NUMBERED = re.compile(r"(.*?)(\d+)(\.(?:jpe?g|png|bmp|webp))", re.IGNORECASE)
# An x or y that is a word of its own in a prefix is an axis of flow; the y of `body_` is not.
_FLOW = re.compile(r"(|.*[^a-z])([xy])(_?)", re.IGNORECASE)
_VIDEO_FILES = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".flv", ".mpg", ".mpeg", ".wmv")


class Stills:
    """Pictures that are read like a video.

    A bad picture raises `error`, the class of an exception; `name` is the video's in its message.
    """

    fps = 0.0  # pictures don't say how fast they were taken

    def __init__(
        self, pictures: Sequence[Picture], error: type[Exception], name: str = "the video"
    ):
        self._pictures = pictures
        self._error = error
        self._name = name
        if not len(pictures):
            raise error(f"{name} is empty: 0 pictures")

    def __enter__(self) -> "Stills":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def num_frames(self) -> int:
        """The number of pictures."""
        return len(self._pictures)

    def count_by_decoding(self) -> int:
        """Returns the number of pictures, without decoding any."""
        return len(self._pictures)

    def read(self, indices: Indices) -> UInt8[np.ndarray, "t h w c"]:
        """Returns these frames as RGB, or as x and y of optical flow; decodes no other frame."""
        if max(indices) >= len(self._pictures) or min(indices) < 0:
            raise self._error(f"{self._name} has {len(self._pictures)} frames; asked for {indices}")
        decoded = {int(i): self._frame(int(i)) for i in set(indices)}
        if len({frame.shape for frame in decoded.values()}) > 1:
            raise self._error(f"{self._name} has frames of several sizes")
        return np.stack([decoded[int(i)] for i in indices])

    def _frame(self, i: int) -> UInt8[np.ndarray, "h w c"]:
        picture = self._pictures[i]
        if not isinstance(picture, tuple):
            return self._decode(picture, i, cv2.IMREAD_COLOR_RGB)
        x, y = (self._decode(part, i, cv2.IMREAD_GRAYSCALE) for part in picture)
        if x.shape != y.shape:
            raise self._error(f"frame {i} of {self._name} has x and y of different sizes")
        return np.stack([x, y], axis=-1)

    def _decode(self, picture: bytes | str, i: int, flags: int) -> UInt8[np.ndarray, "h w *c"]:
        try:
            # cv2.imread would print a warning about a bad file, and can't say why it failed.
            data = np.fromfile(picture, np.uint8) if isinstance(picture, str) else picture
        except OSError as error:
            message = f"frame {i} of {self._name} cannot be read: {error.strerror}"
            raise self._error(message) from None
        # OpenCV raises an error of its own for an empty buffer.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) else None
        if pixels is None:
            raise self._error(f"frame {i} of {self._name} is not a readable picture")
        return cast(np.ndarray, pixels)


@dataclass(frozen=True)
class FrameFolder:
    """A folder with a numbered picture per frame, or with a pair for x and y of optical flow.

    Names of any form are found: `img_00001.jpg`, `000.png`, and for flow `x_00001.jpg` with
    `y_00001.jpg`, also `flow_x_00001.jpg`. The lowest number is frame 0.
    """

    path: str
    num_frames: int = 0
    """The number of frames that the list gives; 0: all that there are."""
    modality: str = "rgb"
    """"rgb" or "flow"."""

    def open(self, error: type[Exception]) -> Stills:
        """Returns the pictures, at most the listed number of them.

        Raises `error` for a folder without pictures, for a gap in their numbers, and for fewer
        pictures than are listed.
        """
        groups = self._numbered_files(error)
        pictures = (
            self._flow(groups, error) if self.modality == "flow" else self._rgb(groups, error)
        )
        if len(pictures) < self.num_frames:
            raise error(
                f"{self.path} is listed with {self.num_frames} frames, but has {len(pictures)}"
            )
        return Stills(pictures[: self.num_frames or None], error, self.path)

    def _names(self, error: type[Exception]) -> list[str]:
        try:
            return sorted(os.listdir(self.path))
        except OSError as reason:
            raise error(f"{self.path} cannot be read: {reason.strerror}") from None

    def _numbered_files(self, error: type[Exception]) -> _Numbered:
        groups: dict[tuple[str, str], dict[int, str]] = {}
        for name in self._names(error):
            # A Mac's archive has a hidden `._img_00001.jpg` next to each picture.
            if (match := _NUMBERED.fullmatch(name)) and not name.startswith("."):
                prefix, number, suffix = match.groups()
                group = groups.setdefault((prefix, suffix), {})
                group[int(number)] = os.path.join(self.path, name)
        return groups

    def _rgb(self, files: _Numbered, error: type[Exception]) -> Sequence[Picture]:
        groups = {key: group for key, group in files.items() if not _FLOW.fullmatch(key[0])}
        if not groups:
            raise error(f"{self.path} {self._without_pictures(files, error)}")
        if len(groups) > 1:
            kinds = ", ".join(f"{prefix}*{suffix}" for prefix, suffix in groups)
            raise error(
                f"{self.path} contains {len(groups)} series of numbered pictures, {kinds}; leave"
                " one series in a folder"
            )
        (group,) = groups.values()
        return self._in_order(group, error)

    def _without_pictures(self, files: _Numbered, error: type[Exception]) -> str:
        """Returns what the folder contains instead of numbered pictures, and what to do."""
        names = self._names(error)
        videos = [name for name in names if name.lower().endswith(_VIDEO_FILES)]
        if videos:
            number = f"{len(videos)} video files" if len(videos) > 1 else "a video file"
            return (
                f"is a folder of video files ({number}, no numbered pictures); list each file in a"
                f" line of its own, such as `{os.path.join(self.path, videos[0])} LABEL`"
            )
        if files:
            return "contains only pictures of flow, x_* and y_*; set data.modality=flow"
        return (
            "contains no numbered pictures, such as img_00001.jpg; list a folder with one for each"
            " frame"
        )

    def _flow(self, files: _Numbered, error: type[Exception]) -> Sequence[Picture]:
        groups: dict[tuple[str, str, str], dict[str, dict[int, str]]] = {}
        for (prefix, suffix), group in files.items():
            if match := _FLOW.fullmatch(prefix):
                before, axis, after = match.groups()
                groups.setdefault((before, after, suffix), {})[axis.lower()] = group
        pairs = [group for group in groups.values() if len(group) == 2]
        if len(pairs) != 1:
            raise error(
                f"{self.path} contains {len(pairs) or 'no'} pairs of series x_* and y_* of flow;"
                " leave one pair in a folder, as `jaxaction data flow` writes it"
            )
        x, y = (self._in_order(pairs[0][axis], error) for axis in "xy")
        if len(x) != len(y):
            raise error(f"{self.path} has {len(x)} pictures of flow's x, but {len(y)} of its y")
        return list(zip(x, y, strict=True))

    def _in_order(self, group: dict[int, str], error: type[Exception]) -> list[str]:
        numbers = sorted(group)
        gap = next((a + 1 for a, b in zip(numbers, numbers[1:], strict=False) if b != a + 1), None)
        if gap is not None:
            raise error(f"{self.path} lacks the picture with number {gap}")
        return [group[number] for number in numbers]
