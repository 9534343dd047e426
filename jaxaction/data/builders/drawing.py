"""Draws and encodes generated videos: textures, shapes, h264."""

import io
from typing import NamedTuple

import av
import cv2
import numpy as np
from jaxtyping import Float, UInt8

_PATCH = 64  # pixels of a shape's own picture


class Shape(NamedTuple):
    """A textured shape inside a unit square."""

    picture: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w 1"]


def background(side: int, rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Returns a random texture of two dark colours."""
    colour, other_colour = rng.uniform(0, 100, (2, 3))
    return texture(side, colour, other_colour, int(rng.integers(5, 13)), rng)


def shape(rng: np.random.Generator) -> Shape:
    """Returns a random longish shape with a texture of two bright colours."""
    colour, other_colour = rng.uniform(90, 255, (2, 3))
    picture = texture(_PATCH, colour, other_colour, int(rng.integers(3, 7)), rng)
    return Shape(picture, _outline(rng)[..., None])


def texture(
    side: int,
    colour: Float[np.ndarray, " 3"],
    other_colour: Float[np.ndarray, " 3"],
    cells: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "h w 3"]:
    """Returns a smooth random blend of two colours, with `cells` blobs along each side."""
    # The range goes beyond 0 to 1, so that parts of the texture are of one pure colour.
    blend = rng.uniform(-0.3, 1.3, (cells, cells)).astype(np.float32)
    blend = cv2.resize(blend, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    blend = np.clip(blend, 0, 1)
    picture = (1 - blend) * colour + blend * other_colour
    return np.clip(picture, 0, 255).astype(np.float32)


def paste(
    behind: Float[np.ndarray, "h w 3"],
    shape: Shape,
    center: tuple[float, float],
    size: float,
    angle: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the background with the shape over it.

    `center` (x, y) and `size`, the side of the shape's square, are in pixels; `angle` is in degrees
    clockwise.
    """
    matrix = cv2.getRotationMatrix2D((_PATCH / 2, _PATCH / 2), -angle, size / _PATCH)
    matrix[:, 2] += np.array(center) - _PATCH / 2
    side = behind.shape[1::-1]
    picture = cv2.warpAffine(shape.picture, matrix, side, flags=cv2.INTER_LINEAR)
    alpha = cv2.warpAffine(shape.alpha, matrix, side, flags=cv2.INTER_LINEAR)[..., None]
    return (behind + alpha * (picture - behind)).round().astype(np.uint8)


def encode(frames: UInt8[np.ndarray, "t h w 3"], fps: int) -> bytes:
    """Returns the frames as an h264 mp4 in which every frame is coded alone and in the same way."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the same bytes on any machine
        # Groups of one picture ("g") and a fixed quantizer ("qp"): no frame depends on another, so
        # that none shows where in the clip it is.
        stream.options = {"preset": "veryfast", "qp": "24", "g": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _outline(rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Returns the mask of a random long polygon or star, heavy at one end, with soft edges.

    Turned about the middle of its square, it looks like the hand of a clock, not like a wheel.
    """
    corners = int(rng.integers(2, 7))
    inner = rng.uniform(0.6, 1)
    angles = (np.arange(2 * corners) + rng.uniform()) * np.pi / corners
    radius = np.where(np.arange(2 * corners) % 2, inner, 1) * (1 + 0.6 * np.cos(angles)) / 1.6
    stretch = np.array([1, rng.uniform(0.45, 0.75)])
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * stretch * radius[:, None]
    points = _PATCH / 2 + (_PATCH / 2 - 3) * points
    mask = np.zeros((_PATCH, _PATCH), np.float32)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 1.0, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (5, 5), 0)
