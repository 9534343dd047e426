"""Clips drawn below each other: a row of frames each, with a line of text above it."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

COLUMNS = 8
LARGEST = 160  # pixels of a picture's longer side on the sheet
GAP = 2  # pixels between pictures
TEXT_HEIGHT = 18  # pixels of a line
INK, PAPER = (20, 20, 20), 255

Picture = UInt8[np.ndarray, "h w 3"]
Scaled = UInt8[np.ndarray, "h2 w2 3"]


class Row(NamedTuple):
    """A clip and what is written above it."""

    title: str
    clip: UInt8[np.ndarray, "t h w c"]
    channels: int
    """Channels per frame: 3, or 2 for x and y of flow. A clip with more has stacked frames."""


def draw(heading: str, rows: Iterable[Row]) -> Scaled:
    """Returns the sheet, RGB.

    A clip of more than `COLUMNS` frames has only some, evenly spread, with its first and last. Flow
    has x in one line of pictures and y below it. Large pictures are made smaller.
    """
    blocks = [(row.title, _strip(row)) for row in rows]
    width = max(strip.shape[1] for _, strip in blocks)
    width = max(width, min(_text_width(heading), COLUMNS * LARGEST))
    stripes = [_text_line(heading, width)]
    for title, strip in blocks:
        stripes += [_text_line(title, width), _pad_right(strip, width)]
    return np.concatenate(stripes)


def _strip(row: Row) -> Scaled:
    frames = _evenly_spread(_unstack(row.clip, row.channels))
    if row.channels == 3:
        return _side_by_side(frames)
    x_and_y = np.moveaxis(frames, 3, 0)[..., None]
    return np.concatenate([_side_by_side(np.repeat(axis, 3, axis=-1)) for axis in x_and_y])


def _unstack(clip: UInt8[np.ndarray, "t h w sc"], channels: int) -> UInt8[np.ndarray, "ts h w c"]:
    """Frames that are channels of one, one after the other."""
    t, height, width, every = clip.shape
    frames = clip.reshape(t, height, width, every // channels, channels)
    return np.moveaxis(frames, 3, 1).reshape(-1, height, width, channels)


def _evenly_spread(frames: UInt8[np.ndarray, "t h w c"]) -> UInt8[np.ndarray, "s h w c"]:
    if len(frames) <= COLUMNS:
        return frames
    return frames[np.round(np.linspace(0, len(frames) - 1, COLUMNS)).astype(int)]


def _shrink(frame: Picture) -> Scaled:
    scale = LARGEST / max(frame.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(frame)
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _side_by_side(frames: UInt8[np.ndarray, "t h w 3"]) -> Scaled:
    edge = ((0, GAP), (0, GAP), (0, 0))
    spaced = [np.pad(_shrink(frame), edge, constant_values=PAPER) for frame in frames]
    return np.concatenate(spaced, axis=1)


def _text_line(text: str, width: int) -> Scaled:
    """The text on a line of its own, its end left out where there is no room."""
    text = text.encode("ascii", "replace").decode()
    if _text_width(text) > width:
        while text and _text_width(f"{text}...") > width:
            text = text[:-1]
        text += "..."
    line = np.full((TEXT_HEIGHT, width, 3), PAPER, np.uint8)
    where = (2, TEXT_HEIGHT - 5)
    return cv2.putText(line, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0] + 4


def _pad_right(strip: Picture, width: int) -> Scaled:
    missing = width - strip.shape[1]
    return np.pad(strip, ((0, 0), (0, missing), (0, 0)), constant_values=PAPER)
