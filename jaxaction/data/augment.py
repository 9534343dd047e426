"""Random changes of colour and shape for training: colour jitter, RandAugment, random erasing.

Clips are uint8 `[t, h, w, c]`. A draw holds for all frames of the clip, the input is not changed,
and the work is OpenCV's, which lets the loader's other threads go on.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, Num, UInt8

from jaxaction.data import transforms

Frame = UInt8[np.ndarray, "h w 3"]
Clip = UInt8[np.ndarray, "t h w 3"]

MEAN_COLOR = (124, 116, 104)
"""ImageNet's mean colour, which normalisation takes to zero: what is outside or erased."""
NO_MOTION = 128
"""The value of erased flow."""

_GREY = (0.299, 0.587, 0.114)
MAX_MAGNITUDE = 10
MAX_HUE = 0.5


def color_jitter(
    frames: Clip,
    rng: np.random.Generator,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.1,
) -> Clip:
    """Returns the clip in other colours, as torchvision's `ColorJitter` makes them.

    The first three are factors, drawn from `[max(0, 1 - x), 1 + x]`; the hue turns by -hue to hue
    of the circle (at most 0.5), in steps of 2 degrees. 0 leaves that property as it is. Their order
    is drawn for every clip, and hues wrap; MMAction2 draws one order for good and lets hues
    overflow. `ValueError` for a strength that is out of range, or frames that are not RGB.
    """
    strengths = (brightness, contrast, saturation, hue)
    if min(strengths) < 0 or hue > MAX_HUE:
        raise ValueError(f"colour jitter {strengths}: strengths begin at 0, hue ends at {MAX_HUE}")
    frames = _checked_rgb(frames)
    amounts = [rng.uniform(-min(x, 1), x) for x in strengths]
    changes = (_brightness, _contrast, _saturation, _hue)
    for i in rng.permutation(len(changes)):
        if amounts[i]:
            frames = changes[i](frames, amounts[i])
    return frames


def rand_augment(
    frames: Clip, rng: np.random.Generator, num_ops: int = 2, magnitude: float = 9
) -> Clip:
    """Returns the clip after `num_ops` random operations of `RAND_AUGMENT`, one after the other.

    Cubuk et al. 2020, section 3. `magnitude` is on the paper's scale of 0 to 10; a direction is
    drawn with every operation. At 0 all but autocontrast and equalize change nothing, at 10 they
    rotate by 30 degrees, shear by 0.3, shift by 0.45 of the side, change colour, contrast,
    brightness and sharpness by factors of 0.1 or 1.9, leave 4 of 8 bits, or invert everything.
    Pixels from outside the frame are `MEAN_COLOR`. `ValueError` for a magnitude that is out of
    range, or frames that are not RGB.
    """
    if not 0 <= magnitude <= MAX_MAGNITUDE:
        raise ValueError(f"RandAugment's magnitude {magnitude} is not in 0 to {MAX_MAGNITUDE}")
    frames = _checked_rgb(frames)
    operations = tuple(RAND_AUGMENT.values())
    for i in rng.integers(len(operations), size=num_ops):
        sign = 1 if rng.random() < 0.5 else -1
        frames = operations[i](frames, sign * magnitude / MAX_MAGNITUDE)
    return frames


def random_erasing(
    frames: UInt8[np.ndarray, "t h w c"],
    rng: np.random.Generator,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
) -> UInt8[np.ndarray, "t h w c"]:
    """Returns the clip with one box, the same in all frames, in `MEAN_COLOR`.

    Zhong et al. 2020, section 3. `area` is a share of the picture, `aspect` is w / h and drawn
    evenly on a logarithmic scale, so that wide boxes are as frequent as tall ones. Clips of another
    kind than RGB, such as flow, get `NO_MOTION`.
    """
    if rng.random() >= probability:
        return frames
    box = transforms.random_resized_box(*frames.shape[1:3], rng, area, aspect)
    frames = frames.copy()
    transforms.cut(frames, box)[...] = MEAN_COLOR if frames.shape[3] == 3 else NO_MOTION
    return frames


def _checked_rgb(frames) -> Clip:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            f"colours and shapes are changed in uint8 [t, h, w, 3], not {frames.dtype}"
            f" {list(frames.shape)}; leave color_jitter and rand_augment out for flow"
        )
    return np.ascontiguousarray(frames)  # a mirrored clip is none that OpenCV can read


def _map_frames(change: Callable[..., None], frames: Clip, *args) -> Clip:
    """Calls `change(frame, target, *args)` for all frames; returns the targets."""
    out = np.empty_like(frames)
    for frame, target in zip(frames, out, strict=True):
        change(frame, target, *args)
    return out


def _transform_colors(
    frame: Frame, target: Frame, matrix: Float[np.ndarray, "3 3"], offset=0.0
) -> None:
    """Computes `matrix @ pixel + offset` for all pixels, rounded and kept in 0 to 255."""
    offset = np.broadcast_to(offset, 3)
    cv2.transform(frame, np.column_stack([matrix, offset]).astype(np.float32), dst=target)


def _look_up(frames: Clip, table) -> Clip:
    """Returns `table[value]` for all values."""
    table = np.asarray(table, np.uint8)
    return _map_frames(lambda frame, target: cv2.LUT(frame, table, dst=target), frames)


def _brightness(frames, amount):
    return _map_frames(_transform_colors, frames, (1 + amount) * np.eye(3))


def _saturation(frames, amount):
    return _map_frames(
        _transform_colors, frames, (1 + amount) * np.eye(3) - amount * np.array([_GREY] * 3)
    )


def _contrast(frames, amount):
    return _map_frames(_frame_contrast, frames, amount)


def _frame_contrast(frame, target, amount):
    """Away from the frame's mean grey, or towards it."""
    mean = cv2.mean(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[0]
    _transform_colors(frame, target, (1 + amount) * np.eye(3), -amount * mean)


def _hue(frames, amount):
    shift = round(180 * amount)  # OpenCV's circle of 8 bits has 180 hues
    if not shift % 180:
        return frames
    return _map_frames(_frame_hue, frames, ((np.arange(256) + shift) % 180).astype(np.uint8))


def _frame_hue(frame, target, table):
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, 0), table), hsv, 0)
    cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=target)


def _frame_autocontrast(frame, target):
    """Every channel's darkest value to 0 and its brightest to 255; a flat channel stays."""
    low, high = frame.min(0).min(0).astype(float), frame.max(0).max(0).astype(float)
    flat = high == low
    scale = np.where(flat, 1.0, 255 / np.where(flat, 1.0, high - low))
    _transform_colors(frame, target, np.diag(scale), np.where(flat, 0.0, -low * scale))


def _frame_equalize(frame, target):
    cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(frame)], dst=target)


def _solarize(frames, amount):
    values = np.arange(256)
    return _look_up(frames, np.where(values < 256 * (1 - abs(amount)), values, 255 - values))


def _posterize(frames, amount):
    dropped = round(4 * abs(amount))
    return _look_up(frames, np.arange(256) >> dropped << dropped)


def _frame_sharpness(frame, target, amount):
    """Away from the smoothed frame, or towards it; PIL's filter of (1 1 1, 1 5 1, 1 1 1) / 13."""
    share = amount * 9 / 13  # the filter is 9/13 of a box and 4/13 of the frame itself
    cv2.addWeighted(frame, 1 + share, cv2.blur(frame, (3, 3)), -share, 0, dst=target)


def _warp(frames: Clip, matrix: Num[np.ndarray, "2 3"]) -> Clip:
    """Returns frames whose pixel at (x, y, 1) is the input's at `matrix @ (x, y, 1)`, bilinear.

    The origin is the middle of the picture.
    """
    height, width = frames.shape[1:3]
    middle = np.array([(width - 1) / 2, (height - 1) / 2]).reshape(2, 1, 1)
    y, x = np.indices((height, width)) - middle[::-1]
    places = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)])) + middle
    maps = cv2.convertMaps(*places.astype(np.float32), cv2.CV_16SC2)
    return _map_frames(_frame_remap, frames, maps)


def _frame_remap(frame, target, maps):
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": MEAN_COLOR}
    cv2.remap(frame, *maps, cv2.INTER_LINEAR, dst=target, **border)


def _rotate(frames, amount):
    angle = np.deg2rad(30 * amount)
    cos, sin = np.cos(angle), np.sin(angle)
    return _warp(frames, np.array([[cos, sin, 0], [-sin, cos, 0]]))


def _shear_x(frames, amount):
    return _warp(frames, np.array([[1, 0.3 * amount, 0], [0, 1, 0]]))


def _shear_y(frames, amount):
    return _warp(frames, np.array([[1, 0, 0], [0.3 * amount, 1, 0]]))


def _translate_x(frames, amount):
    return _warp(frames, np.array([[1, 0, round(0.45 * amount * frames.shape[2])], [0, 1, 0]]))


def _translate_y(frames, amount):
    return _warp(frames, np.array([[1, 0, 0], [0, 1, round(0.45 * amount * frames.shape[1])]]))


RAND_AUGMENT: dict[str, Callable[[Clip, float], Clip]] = {
    "identity": lambda frames, amount: frames,
    "autocontrast": lambda frames, amount: _map_frames(_frame_autocontrast, frames),
    "equalize": lambda frames, amount: _map_frames(_frame_equalize, frames),
    "rotate": _rotate,
    "solarize": _solarize,
    "color": lambda frames, amount: _saturation(frames, 0.9 * amount),
    "posterize": _posterize,
    "contrast": lambda frames, amount: _contrast(frames, 0.9 * amount),
    "brightness": lambda frames, amount: _brightness(frames, 0.9 * amount),
    "sharpness": lambda frames, amount: _map_frames(_frame_sharpness, frames, 0.9 * amount),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
"""Operations by name: `(frames, amount)`, where amount is -1 to 1 (magnitude / 10, signed)."""
