"""Turns a training video into one random clip: chooses frames, crops, flips and changes colours."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from jaxaction.data import augment, sampling, transforms
from jaxaction.data.protocol import (
    CHANNELS,
    SAMPLING,
    check_choice,
    check_frames,
    frames_per_tick,
    read_sampled,
)
from jaxaction.data.sampling import Clips
from jaxaction.data.transforms import Box, Frames
from jaxaction.errors import InputError

Crop = Callable[[int, int, tuple[int, int], np.random.Generator], Box]
Label = int | tuple[int, ...]


def _multi_scale(scales: tuple[float, ...], max_gap: int, places: int) -> Crop:
    def box(height: int, width: int, size: tuple[int, int], rng: np.random.Generator) -> Box:
        return transforms.multi_scale_box(height, width, size, scales, max_gap, places, rng)

    return box


def _random_resized(
    height: int, width: int, size: tuple[int, int], rng: np.random.Generator
) -> Box:
    del size  # the box has a size of its own, and is resized
    return transforms.random_resized_box(height, width, rng)


# The crops of training recipes, by name: (height, width, size, rng) -> Box. Scales, gaps and places
# are those of MMAction2's configs for TSN and TSM (5 and 13 places) and for I3D (two scales).
TRAIN_CROPS: dict[str, Crop] = {
    "random": transforms.random_box,
    "random_resized": _random_resized,
    "multi_scale": _multi_scale((1, 0.875, 0.75, 0.66), 1, 5),
    "multi_scale_13": _multi_scale((1, 0.875, 0.75, 0.66), 1, 13),
    "two_scale": _multi_scale((1, 0.8), 0, 5),
}


@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """How a training video becomes one clip; `InputError` names the config key of a bad value."""

    sampling: str
    """How frames are chosen, at random: "clips" (frames in a row), "segments" (one frame of each of
    `clip_len` equal parts, for TSN and TSM), "dense" (a clip inside a window of 64 frames), or
    "uniform" (segments by PySlowFast's rule)."""
    clip_len: int
    """Frames of a clip, or segments of a video: the length of the axis t."""
    frame_interval: int
    """Distance of two frames of a clip, in frames of the video; 1: every frame."""
    short_side: int
    """Pixels of the shorter side, to which frames are resized before they are cropped."""
    crop: str
    """"random" (of `size`), "random_resized" (8 to 100 % of the area, aspect 3/4 to 4/3),
    "multi_scale" and "multi_scale_13" (scales 1, 0.875, 0.75, 0.66 at 5 or 13 places; TSN, TSM), or
    "two_scale" (scales 1, 0.8; I3D)."""
    size: tuple[int, int]
    """(h, w) of the clip in pixels."""
    flip: float
    """Probability, 0 to 1, that a clip is mirrored left to right."""
    flip_labels: tuple[tuple[int, int], ...] = ()
    """Pairs of labels that a mirrored clip exchanges, such as ((86, 87),) for "pushing from left to
    right" and "from right to left". Empty, since most labels don't depend on the side."""
    modality: str = "rgb"
    """"rgb", or "flow": x and y of optical flow, read from folders of pictures."""
    stack: int = 1
    """Frames in a row that are stacked as the channels of one (TSN's flow: 5). More than 1 needs
    "segments"; all other networks take 1, no stacking."""
    past_end: str = "loop"
    """Frames after the end of a short video: "loop" (its beginning again, as in MMAction2, hence
    the default) or "repeat_last" (the last frame)."""
    target_fps: float = 0.0
    """Frames per second at which "clips" are counted (30 in PySlowFast). 0: the video's own rate,
    as in MMAction2, hence the default."""
    color_jitter: tuple[float, ...] = ()
    """Strengths of random brightness, contrast, saturation (0 to 1) and hue (0 to 0.5), such as
    (0.4, 0.4, 0.4, 0.1); empty: none."""
    rand_augment: tuple[int, ...] = ()
    """RandAugment: (operations per clip, magnitude from 0 to 10), such as (2, 9); empty: none."""
    random_erasing: float = 0.0
    """Probability, 0 to 1, that a random box of the clip is erased; 0: never."""

    def __post_init__(self) -> None:
        # A config read from JSON has lists, and the transform has to be hashable.
        for name in ("size", "color_jitter", "rand_augment"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_transform(self)
        object.__setattr__(self, "flip_labels", tuple(tuple(pair) for pair in self.flip_labels))

    def __call__(
        self, video: object, label: Label, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "t h w c"], Label]:
        """Returns a random clip of the video, and its label, which a flip may change.

        `video` is anything that `decode.open_video` takes; `decode.DecodeError` if it cannot be
        read.
        """
        frames, clip = read_sampled(video, lambda count, fps: self.frames(count, fps, rng))
        frames, label = self._mirrored(self._cropped(frames, rng), label, rng)
        clip = self._colored(frames[clip[0]], rng)
        return transforms.stack_frames(clip[None], self.stack)[0], label

    def frames(self, num_frames: int, fps: float, rng: np.random.Generator) -> Clips:
        """Returns the frame numbers `[1, t * stack]` of a random clip; see `Protocol.frames`."""
        if self.sampling == "segments":
            past_end = sampling.PAST_END[self.past_end]
            return sampling.random_segments(num_frames, self.clip_len, rng, self.stack, past_end)
        if self.sampling == "uniform":
            return sampling.random_uniform(num_frames, self.clip_len, rng)
        if self.sampling == "dense":
            return sampling.random_dense(num_frames, self.clip_len, self.frame_interval, rng)
        return self._random_clip(num_frames, fps, rng)

    def _random_clip(self, num_frames: int, fps: float, rng: np.random.Generator) -> Clips:
        clip, past_end = (self.clip_len, self.frame_interval), sampling.PAST_END[self.past_end]
        if not self.target_fps:
            return sampling.random_clips(num_frames, *clip, 1, rng, past_end)
        pace = frames_per_tick(fps, self.target_fps)
        return sampling.random_paced_clip(num_frames, *clip, pace, rng, past_end)

    def _cropped(self, frames: Frames, rng: np.random.Generator) -> UInt8[np.ndarray, "t h2 w2 c"]:
        frames = transforms.resize_short_side(frames, self.short_side)
        box = TRAIN_CROPS[self.crop](frames.shape[1], frames.shape[2], self.size, rng)
        return transforms.resize(transforms.cut(frames, box), self.size)

    def _mirrored(
        self, frames: Frames, label: Label, rng: np.random.Generator
    ) -> tuple[Frames, Label]:
        if rng.random() >= self.flip:
            return frames, label
        swapped = {old: new for a, b in self.flip_labels for old, new in ((a, b), (b, a))}
        if isinstance(label, tuple):
            return transforms.flip(frames), tuple(swapped.get(one, one) for one in label)
        return transforms.flip(frames), swapped.get(label, label)

    def _colored(self, clip: Frames, rng: np.random.Generator) -> Frames:
        if self.color_jitter:
            clip = augment.color_jitter(clip, rng, *self.color_jitter)
        if self.rand_augment:
            clip = augment.rand_augment(clip, rng, *self.rand_augment)
        if self.random_erasing:
            clip = augment.random_erasing(clip, rng, self.random_erasing)
        return clip


def _within(values: Sequence[float], highest: Sequence[float]) -> bool:
    """Whether there is a value for each of `highest`, from 0 to it."""
    return len(values) == len(highest) and all(
        0 <= value <= most for value, most in zip(values, highest, strict=True)
    )


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _check_transform(transform: TrainTransform) -> None:
    choices = {
        "sampling": SAMPLING,
        "crop": tuple(TRAIN_CROPS),
        "modality": tuple(CHANNELS),
        "past_end": tuple(sampling.PAST_END),
    }
    for key, known in choices.items():
        check_choice("data", key, getattr(transform, key), known)
    for key in ("flip", "random_erasing"):
        if not 0 <= getattr(transform, key) <= 1:
            raise InputError(f"data.{key} {getattr(transform, key)} is not a probability in [0, 1]")
    if not all(_is_pair(pair) for pair in transform.flip_labels):
        raise InputError(f"data.flip_labels {transform.flip_labels} are not pairs of labels")
    if len(transform.size) != 2:
        raise InputError(f"data.size {transform.size} is not (height, width)")
    names = ("clip_len", "frame_interval", "short_side", "stack")
    counts = [(key, getattr(transform, key)) for key in names]
    for key, value in [*counts, *(("size", side) for side in transform.size)]:
        if value < 1:
            raise InputError(f"data.{key} {value} is not above 0")
    if transform.crop == "random" and min(transform.size) > transform.short_side:
        raise InputError(
            f"data.size {transform.size} does not fit in frames of data.short_side "
            f"{transform.short_side}; raise data.short_side to at least {min(transform.size)}, or "
            f"lower the smaller side of data.size to at most {transform.short_side}"
        )
    check_frames("data", vars(transform))
    _check_colors(transform)


def _check_colors(transform: TrainTransform) -> None:
    jitter, operations = transform.color_jitter, transform.rand_augment
    highest = (1, 1, 1, augment.MAX_HUE)
    if jitter and not _within(jitter, highest):
        raise InputError(
            f"data.color_jitter {jitter} is neither () nor the strengths of brightness, contrast"
            f" and saturation, each from 0 to 1, and of hue, from 0 to {augment.MAX_HUE}"
        )
    if operations and not _within(operations, (math.inf, augment.MAX_MAGNITUDE)):
        raise InputError(
            f"data.rand_augment {operations} is neither () nor (number of operations, magnitude"
            f" from 0 to {augment.MAX_MAGNITUDE})"
        )
    if transform.modality == "flow" and (jitter or operations):
        raise InputError(
            "data.color_jitter and data.rand_augment change colours, which flow does not have; set"
            " both to ()"
        )
