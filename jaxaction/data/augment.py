"""Random changes of colour and shape for training: colour jitter, RandAugment, random erasing.

All frames of a clip are changed alike, and the input is left as it is. OpenCV does the work, since
it releases Python's lock: the loader's other threads go on meanwhile.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, Num, Shaped, UInt8

from jaxaction.data import transforms

Frame = UInt8[np.ndarray, "h w 3"]
Clip = UInt8[np.ndarray, "t h w 3"]

MEAN_COLOR = (124, 116, 104)
"""ImageNet's mean colour, for pixels that are erased or come from outside; 0 when normalised."""
NO_MOTION = 128
"""The value of erased flow."""

MAX_MAGNITUDE = 10
MAX_HUE = 0.5
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601's luma


def color_jitter(
    frames: Clip,
    rng: np.random.Generator,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.1,
) -> Clip:
    """Returns the clip with random brightness, contrast, saturation and hue.

    Agrees with torchvision's `ColorJitter`. The factors of the first three are drawn from
    `[max(0, 1 - x), 1 + x]`. The hue turns by up to `hue` of the circle (at most 0.5) either way,
    in steps of 2 degrees. A strength of 0 leaves that property as it is. The order of the changes
    is drawn for every clip, and hues wrap; MMAction2 draws one order for all clips, and its hues
    overflow. `ValueError` for a strength that is out of range, and for frames that are not RGB.
    """
    strengths = (brightness, contrast, saturation, hue)
    if min(strengths) < 0 or hue > MAX_HUE:
        raise ValueError(
            f"colour jitter {strengths}: strengths must be 0 or more, and hue at most {MAX_HUE}"
        )
    frames = _checked_rgb(frames)
    # An amount is added to a factor of 1, and below -1 the factor would be negative.
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

    Cubuk et al. 2020 (RandAugment), section 3. `magnitude` is on the paper's scale from 0 to 10,
    and a direction is drawn with every operation. At 0 all operations but autocontrast and equalize
    change nothing. At 10 they rotate by 30 degrees, shear by 0.3, shift by 0.45 of the side, change
    colour, contrast, brightness and sharpness by factors of 0.1 or 1.9, leave 4 of 8 bits, or
    invert everything. Pixels from outside the frame are `MEAN_COLOR`. `ValueError` for a magnitude
    that is out of range, and for frames that are not RGB.
    """
    if not 0 <= magnitude <= MAX_MAGNITUDE:
        raise ValueError(f"RandAugment's magnitude {magnitude} is not from 0 to {MAX_MAGNITUDE}")
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
    """Returns the clip with a random box, the same in all frames, filled with `MEAN_COLOR`.

    Zhong et al. 2020 (random erasing), section 3. `area` is the range of the box's share of the
    picture. `aspect` is the range of w / h, which is drawn evenly on a logarithmic scale, so that
    wide boxes are as frequent as tall ones. In flow, and other clips without three channels, the
    box is filled with `NO_MOTION`.
    """
    if rng.random() >= probability:
        return frames
    box = transforms.random_resized_box(frames.shape[1], frames.shape[2], rng, area, aspect)
    frames = frames.copy()
    transforms.cut(frames, box)[...] = MEAN_COLOR if frames.shape[3] == 3 else NO_MOTION
    return frames


def _checked_rgb(frames: UInt8[np.ndarray, "t h w c"]) -> Clip:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            f"colours and shapes are changed in uint8 [t, h, w, 3], not {frames.dtype}"
            f" {list(frames.shape)}; leave color_jitter and rand_augment out for flow"
        )
    return np.ascontiguousarray(frames)  # OpenCV can't read the negative strides of a mirrored clip


def _map_frames(change: Callable[..., object], frames: Clip, *args: object) -> Clip:
    """Calls `change(frame, target, *args)` for all frames; returns the targets."""
    out = np.empty_like(frames)
    for frame, target in zip(frames, out, strict=True):
        change(frame, target, *args)
    return out


def _transform_colors(
    frame: Frame,
    target: Frame,
    matrix: Float[np.ndarray, "3 3"],
    offset: float | Float[np.ndarray, " 3"] = 0.0,
) -> None:
    """Computes `matrix @ pixel + offset` for all pixels, rounded and clipped to 0 to 255."""
    column = np.broadcast_to(offset, 3)
    cv2.transform(frame, np.column_stack([matrix, column]).astype(np.float32), dst=target)


def _look_up(frames: Clip, table: Int[np.ndarray, " 256"]) -> Clip:
    """Returns `table[value]` for all values."""
    values = table.astype(np.uint8)
    return _map_frames(lambda frame, target: cv2.LUT(frame, values, dst=target), frames)


def _brightness(frames: Clip, amount: float) -> Clip:
    return _map_frames(_transform_colors, frames, (1 + amount) * np.eye(3))


def _saturation(frames: Clip, amount: float) -> Clip:
    return _map_frames(
        _transform_colors, frames, (1 + amount) * np.eye(3) - amount * np.array([_GREY] * 3)
    )


def _contrast(frames: Clip, amount: float) -> Clip:
    return _map_frames(_frame_contrast, frames, amount)


def _frame_contrast(frame: Frame, target: Frame, amount: float) -> None:
    """Moves colours away from the frame's mean grey, or with an amount below 0 towards it."""
    mean = cv2.mean(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[0]
    _transform_colors(frame, target, (1 + amount) * np.eye(3), -amount * mean)


def _hue(frames: Clip, amount: float) -> Clip:
    shift = round(180 * amount)  # OpenCV's circle of 8 bits has 180 hues
    if not shift % 180:
        return frames
    return _map_frames(_frame_hue, frames, ((np.arange(256) + shift) % 180).astype(np.uint8))


def _frame_hue(frame: Frame, target: Frame, table: UInt8[np.ndarray, " 256"]) -> None:
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, 0), table), hsv, 0)
    cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=target)


def _frame_autocontrast(frame: Frame, target: Frame) -> None:
    """Stretches every channel to 0 to 255; a channel with one value stays as it is."""
    # Twice over one axis: several times as fast as over both axes at once.
    low, high = frame.min(0).min(0).astype(float), frame.max(0).max(0).astype(float)
    flat = high == low
    scale = np.where(flat, 1.0, 255 / np.where(flat, 1.0, high - low))
    _transform_colors(frame, target, np.diag(scale), np.where(flat, 0.0, -low * scale))


def _frame_equalize(frame: Frame, target: Frame) -> None:
    cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(frame)], dst=target)


def _solarize(frames: Clip, amount: float) -> Clip:
    values = np.arange(256)
    return _look_up(frames, np.where(values < 256 * (1 - abs(amount)), values, 255 - values))


def _posterize(frames: Clip, amount: float) -> Clip:
    dropped = round(4 * abs(amount))  # bits
    return _look_up(frames, np.arange(256) >> dropped << dropped)


def _frame_sharpness(frame: Frame, target: Frame, amount: float) -> None:
    """Moves the frame away from its smoothed copy, or with an amount below 0 towards it.

    The filter is PIL's: (1 1 1, 1 5 1, 1 1 1) / 13.
    """
    share = amount * 9 / 13  # the filter is 9/13 of a box and 4/13 of the frame itself
    cv2.addWeighted(frame, 1 + share, cv2.blur(frame, (3, 3)), -share, 0, dst=target)


def _warp(frames: Clip, matrix: Num[np.ndarray, "2 3"]) -> Clip:
    """Returns the frames warped: the new pixel at (x, y) is the old one at `matrix @ (x, y, 1)`.

    The origin is the middle of the picture; interpolation is bilinear.
    """
    height, width = frames.shape[1:3]
    middle = np.array([(width - 1) / 2, (height - 1) / 2]).reshape(2, 1, 1)
    y, x = np.indices((height, width)) - middle[::-1]
    places = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)])) + middle
    map_x, map_y = places.astype(np.float32)
    # remap is faster with maps in fixed point, and all frames of the clip share them.
    maps = cv2.convertMaps(map_x, map_y, cv2.CV_16SC2)
    return _map_frames(_frame_remap, frames, maps)


def _frame_remap(frame: Frame, target: Frame, maps: Sequence[Shaped[np.ndarray, "..."]]) -> None:
    cv2.remap(
        frame,
        maps[0],
        maps[1],
        cv2.INTER_LINEAR,
        dst=target,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=MEAN_COLOR,
    )


def _rotate(frames: Clip, amount: float) -> Clip:
    angle = np.deg2rad(30 * amount)
    cos, sin = np.cos(angle), np.sin(angle)
    return _warp(frames, np.array([[cos, sin, 0], [-sin, cos, 0]]))


def _shear_x(frames: Clip, amount: float) -> Clip:
    return _warp(frames, np.array([[1, 0.3 * amount, 0], [0, 1, 0]]))


def _shear_y(frames: Clip, amount: float) -> Clip:
    return _warp(frames, np.array([[1, 0, 0], [0.3 * amount, 1, 0]]))


def _translate_x(frames: Clip, amount: float) -> Clip:
    return _warp(frames, np.array([[1, 0, round(0.45 * amount * frames.shape[2])], [0, 1, 0]]))


def _translate_y(frames: Clip, amount: float) -> Clip:
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
"""Operations `(frames, amount)` by name; the amount is magnitude / 10 with a sign, from -1 to 1."""
