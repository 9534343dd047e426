"""Decoded RGB frames as arrays, turned upright as players show them."""

import av
import numpy as np
from av.sidedata.sidedata import Type
from jaxtyping import Int, UInt8


def upright_pixels(frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the upright pixels of an rgb24 frame, as a view of the frame's memory.

    A display matrix may mirror or turn the frame; its angle is rounded to a multiple of 90 degrees.
    """
    plane = frame.planes[0]
    # FFmpeg pads rows to a multiple of some bytes: line_size is the distance between rows.
    pixels = np.ndarray(
        (frame.height, frame.width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1)
    )
    matrix = _display_matrix(frame)
    return pixels if matrix is None else _turn(pixels, matrix)


def _display_matrix(frame: av.VideoFrame) -> Int[np.ndarray, "2 2"] | None:
    """Returns ((a, b), (c, d)) of x' = a x + c y, y' = b x + d y; None without a display matrix."""
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    return None if matrix is None else np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2]


def _turn(
    pixels: UInt8[np.ndarray, "h w 3"], matrix: Int[np.ndarray, "2 2"]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    (a, b), (c, d) = matrix.tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, mirror_y, mirror_x = pixels.swapaxes(0, 1), b < 0, c < 0
    else:
        mirror_y, mirror_x = d < 0, a < 0
    return pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
