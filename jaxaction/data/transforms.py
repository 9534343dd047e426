"""Resizing, cropping and flipping frames: test-time crops, and random ones for training.

Frames are uint8 `[t, h, w, c]`. Sizes and crops agree with MMAction2 1.2.0
(`mmaction/datasets/transforms/processing.py`); resizing is OpenCV's bilinear, as there.
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
    """A part of a picture, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int


def resize(frames: Frames, size: tuple[int, int]) -> Resized:
    """Returns the frames at `size` (h, w), bilinear, shape not kept."""
    height, width = size
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, frames.shape[3]), np.uint8)
    for source, target in zip(frames, out, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def resize_short_side(frames: Frames, short_side: int) -> Resized:
    """Returns the frames with their shorter side at `short_side` pixels, shape kept."""
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
    """Returns left, right and middle (of an upright picture: top, bottom, middle).

    One side of the crop must be the frame's, as in MMAction2; else `InputError`.
    """
    spare_h, spare_w = _spare_pixels(frames, size)
    if spare_h and spare_w:
        raise InputError(
            f"three crops of {_size_text(size)} need a frame of that height or width, not "
            f"{_size_text(frames.shape[1:3])}; set short_side to a side of size, or crops to center"
            " or ten"
        )
    # Twice the half: an odd spare pixel stays unused at the far end.
    corners = [(0, 0), (spare_h // 2 * 2, spare_w // 2 * 2), (spare_h // 2, spare_w // 2)]
    return [cut(frames, Box(top, left, *size)) for top, left in corners]


def ten_crops(frames: Frames, size: tuple[int, int]) -> list[Resized]:
    """Returns the four corners and the middle, each followed by its mirror image."""
    spare_h, spare_w = _spare_pixels(frames, size)
    crops = []
    for top, left in _fixed_places(spare_h // 4, spare_w // 4, 5):
        crop = cut(frames, Box(top, left, *size))
        crops += [crop, flip(crop)]
    return crops


def flip(frames: Frames) -> Frames:
    """Returns the frames mirrored left to right.

    Two channels are x and y of optical flow: what went left goes right then, so that x becomes
    255 - x. (MMAction2 means that, but inverts x and y of every other frame.)
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
    """Returns clips `[v, t, h, w, s * c]` in which `stack` frames in a row are channels of one."""
    if stack == 1:
        return clips
    v, frames, height, width, channels = clips.shape
    parts = clips.reshape(v, frames // stack, stack, height, width, channels)
    return np.moveaxis(parts, 2, 4).reshape(v, frames // stack, height, width, stack * channels)


CROPS = {"center": center_crop, "three": three_crops, "ten": ten_crops}


def random_box(height: int, width: int, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """Returns a box of just `size` (h, w) anywhere in a picture."""
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
    """Returns a box of random area (share of the picture), aspect (w / h) and place.

    After ten tries that don't fit, the middle square. MMAction2's `RandomResizedCrop`.
    """
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
    """Returns a box of one of some sizes at one of 5 or 13 fixed places.

    Heights and widths are the picture's short side times a scale, at most `max_gap` scales apart,
    and snap to `size` when within 3 pixels of it. MMAction2's `MultiScaleCrop`.
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


def _snap(side, wanted, limit):
    return wanted if abs(side - wanted) < 3 and wanted <= limit else side


def _fixed_places(step_h, step_w, count) -> list[tuple[int, int]]:
    """Returns (top, left) of MMAction2's fixed crops, in its order."""
    quarters = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    quarters += [(2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]
    return [(top * step_h, left * step_w) for top, left in quarters[:count]]


def _spare_pixels(frames, size):
    _check_fits(frames.shape[1:3], size)
    return frames.shape[1] - size[0], frames.shape[2] - size[1]


def _check_fits(frame_size, size):
    if size[0] > frame_size[0] or size[1] > frame_size[1]:
        raise InputError(
            f"a crop of {_size_text(size)} does not fit in a frame of {_size_text(frame_size)}; "
            "make size smaller or short_side larger"
        )


def _size_text(size):
    return f"{size[0]}x{size[1]}"
