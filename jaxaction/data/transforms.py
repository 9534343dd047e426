"""Resizes, crops and flips frames, at fixed places for tests and at random ones for training.

Sizes and crops agree with MMAction2 1.2.0 (`mmaction/datasets/transforms/processing.py`). Both
resize with OpenCV's bilinear interpolation.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxaction.errors import InputError

Frames = UInt8[np.ndarray, "t h w c"]
Resized = UInt8[np.ndarray, "t h2 w2 c"]
FLOW_CHANNELS = 2


class Box(NamedTuple):
    """A part of a picture in pixels; `top` and `left` count from its upper left corner."""

    top: int
    left: int
    height: int
    width: int


def resize(frames: Frames, size: tuple[int, int]) -> Resized:
    """Returns the frames resized to `size` (h, w), which may change their aspect."""
    height, width = size
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, frames.shape[3]), np.uint8)
    for source, target in zip(frames, out, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def resize_short_side(frames: Frames, short_side: int) -> Resized:
    """Returns the frames resized to `short_side` pixels at their shorter side, in their aspect."""
    height, width = frames.shape[1:3]
    scale = short_side / min(height, width)
    return resize(frames, (int(height * scale + 0.5), int(width * scale + 0.5)))


def cut(frames: Frames, box: Box) -> Resized:
    """Returns the part of every frame inside the box (a view of the same memory)."""
    return frames[:, box.top : box.top + box.height, box.left : box.left + box.width]


def center_crop(frames: Frames, size: tuple[int, int]) -> list[Resized]:
    """Returns the middle part of `size` (h, w), as the only crop."""
    spare_h, spare_w = _spare_pixels(frames, size)
    return [cut(frames, Box(spare_h // 2, spare_w // 2, *size))]


def three_crops(frames: Frames, size: tuple[int, int]) -> list[Resized]:
    """Returns the left, right and middle crop, or for upright pictures top, bottom and middle.

    `InputError` if neither side of the crop is as long as the frame's, as MMAction2 requires.
    """
    spare_h, spare_w = _spare_pixels(frames, size)
    if spare_h and spare_w:
        raise InputError(
            f"three crops of {_size_text(size)} need a frame of that height or width, not "
            f"{_size_text(frames.shape[1:3])}; set short_side to a side of size, or crops to center"
            " or ten"
        )
    # Twice the half, not all: as in MMAction2, an odd spare pixel at the far end is not used.
    corners = [(0, 0), (spare_h // 2 * 2, spare_w // 2 * 2), (spare_h // 2, spare_w // 2)]
    return [cut(frames, Box(top, left, *size)) for top, left in corners]


def ten_crops(frames: Frames, size: tuple[int, int]) -> list[Resized]:
    """Returns the four corners and the middle, each followed by its mirror image."""
    spare_h, spare_w = _spare_pixels(frames, size)
    crops: list[Resized] = []
    for top, left in _fixed_places(spare_h // 4, spare_w // 4, 5):
        crop = cut(frames, Box(top, left, *size))
        crops += [crop, flip(crop)]
    return crops


def flip(frames: Frames) -> Frames:
    """Returns the frames mirrored left to right.

    Two channels are x and y of optical flow. In the mirrored frames motion to the left goes to the
    right, so x becomes 255 - x. MMAction2 intends this too, but inverts x and y of every second
    frame.
    """
    mirrored = np.empty(frames.shape, np.uint8)
    for source, target in zip(frames, mirrored, strict=True):
        cv2.flip(source, 1, dst=target)  # 0.5 ms for 32x224x224, numpy's copy 7
    if frames.shape[3] == FLOW_CHANNELS:
        mirrored[..., 0] = 255 - mirrored[..., 0]
    return mirrored


def stack_frames(
    clips: UInt8[np.ndarray, "v frames h w c"], stack: int
) -> UInt8[np.ndarray, "v t h w c2"]:
    """Returns clips in which every `stack` frames in a row have become the channels of one.

    `[v, t * stack, h, w, c]` becomes `[v, t, h, w, stack * c]`.
    """
    if stack == 1:
        return clips
    v, frames, height, width, channels = clips.shape
    parts = clips.reshape(v, frames // stack, stack, height, width, channels)
    return np.moveaxis(parts, 2, 4).reshape(v, frames // stack, height, width, stack * channels)


CROPS = {"center": center_crop, "three": three_crops, "ten": ten_crops}


def random_box(height: int, width: int, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """Returns a box of `size` (h, w) at a random place in a picture."""
    _check_fits((height, width), size)
    top = int(rng.integers(height - size[0] + 1))
    left = int(rng.integers(width - size[1] + 1))
    return Box(top, left, *size)


def random_resized_box(
    height: int,
    width: int,
    rng: np.random.Generator,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """Returns a box of random area (as a share of the picture), aspect (w / h) and place.

    If ten random boxes don't fit, it is the largest square in the middle. MMAction2's
    `RandomResizedCrop`.
    """
    # On a logarithmic scale, wide boxes are as frequent as tall ones.
    aspects = np.exp(rng.uniform(*np.log(aspect), size=10))
    areas = rng.uniform(*area, size=10) * height * width
    widths = np.round(np.sqrt(areas * aspects)).astype(int)
    heights = np.round(np.sqrt(areas / aspects)).astype(int)
    for h, w in zip(heights.tolist(), widths.tolist(), strict=True):
        if h <= height and w <= width:
            return random_box(height, width, (h, w), rng)
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side, side)


def multi_scale_box(
    height: int,
    width: int,
    size: tuple[int, int],
    scales: tuple[float, ...],
    max_gap: int,
    places: int,
    rng: np.random.Generator,
) -> Box:
    """Returns a box of a random size among several, at one of 5 or 13 fixed places.

    Its height and width are the picture's shorter side times a scale each; their places in `scales`
    differ by at most `max_gap`. A side within 3 pixels of that in `size` becomes equal to it.
    MMAction2's `MultiScaleCrop`.
    """
    sides = [int(min(height, width) * scale) for scale in scales]
    pairs = [
        (h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= max_gap
    ]
    h, w = pairs[rng.integers(len(pairs))]
    h, w = _snap(h, size[0], height), _snap(w, size[1], width)
    corners = _fixed_places((height - h) // 4, (width - w) // 4, places)
    top, left = corners[rng.integers(places)]
    return Box(top, left, h, w)


def _snap(side: int, wanted: int, limit: int) -> int:
    return wanted if abs(side - wanted) < 3 and wanted <= limit else side


def _fixed_places(step_h: int, step_w: int, count: int) -> list[tuple[int, int]]:
    """Returns (top, left) of the first `count` fixed crops, in MMAction2's order."""
    quarters = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    quarters += [(2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]
    return [(top * step_h, left * step_w) for top, left in quarters[:count]]


def _spare_pixels(frames: Frames, size: tuple[int, int]) -> tuple[int, int]:
    _check_fits((frames.shape[1], frames.shape[2]), size)
    return frames.shape[1] - size[0], frames.shape[2] - size[1]


def _check_fits(frame_size: tuple[int, int], size: tuple[int, int]) -> None:
    if size[0] > frame_size[0] or size[1] > frame_size[1]:
        raise InputError(
            f"a crop of {_size_text(size)} does not fit in a frame of {_size_text(frame_size)}; "
            "make size smaller or short_side larger"
        )


def _size_text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
