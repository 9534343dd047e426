"""Turns a training video into one random clip: which frames, which part of them, which colours."""

import dataclasses
import math

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
from jaxaction.errors import InputError


def _multi_scale(scales, max_gap, places):
    def box(height, width, size, rng):
        return transforms.multi_scale_box(height, width, size, scales, max_gap, places, rng)

    return box


def _random_resized(height, width, size, rng):
    del size
    return transforms.random_resized_box(height, width, rng)


# Every crop that a training recipe names: (height, width, size, rng) -> Box.
TRAIN_CROPS = {
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
    """"clips", "segments", "dense" or "uniform", as in `Protocol`, with a random start."""
    clip_len: int
    frame_interval: int
    short_side: int
    """Pixels of the shorter side, to which frames are resized before cropping."""
    crop: str
    """"random": just `size`; "random_resized": area 0.08 to 1, aspect 3/4 to 4/3; "multi_scale"
    and "multi_scale_13": scales 1, 0.875, 0.75, 0.66 at 5 or 13 places (TSN, TSM); "two_scale":
    scales 1, 0.8 (I3D)."""
    size: tuple[int, int]
    """(h, w) of the clip in pixels."""
    flip: float
    """Probability of mirroring left to right."""
    flip_labels: tuple[tuple[int, int], ...] = ()
    """Pairs of labels that change places in a mirrored clip."""
    modality: str = "rgb"
    """This, `stack`, `past_end` and `target_fps` as in `Protocol`."""
    stack: int = 1
    past_end: str = "loop"
    target_fps: float = 0.0
    color_jitter: tuple[float, ...] = ()
    """Strengths of brightness, contrast, saturation and hue; empty: none."""
    rand_augment: tuple[int, ...] = ()
    """How many operations, and their magnitude of 0 to 10; empty: none."""
    random_erasing: float = 0.0
    """Probability that a box of the clip is erased."""

    def __post_init__(self):
        for name in ("size", "color_jitter", "rand_augment"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_transform(self)
        object.__setattr__(self, "flip_labels", tuple(tuple(pair) for pair in self.flip_labels))

    def __call__(
        self, video, label: int | tuple[int, ...], rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "t h w c"], int | tuple[int, ...]]:
        """Returns a random clip of the video, and its label (another if the flip changes it)."""
        frames, clip = read_sampled(video, lambda count, fps: self.frames(count, fps, rng))
        frames, label = self._mirrored(self._cropped(frames, rng), label, rng)
        clip = self._colored(frames[clip[0]], rng)
        return transforms.stack_frames(clip[None], self.stack)[0], label

    def frames(self, num_frames: int, fps: float, rng: np.random.Generator) -> sampling.Clips:
        """Returns the numbers of a random clip's frames; see `Protocol.frames`."""
        if self.sampling == "segments":
            past_end = sampling.PAST_END[self.past_end]
            return sampling.random_segments(num_frames, self.clip_len, rng, self.stack, past_end)
        if self.sampling == "uniform":
            return sampling.random_uniform(num_frames, self.clip_len, rng)
        if self.sampling == "dense":
            return sampling.random_dense(num_frames, self.clip_len, self.frame_interval, rng)
        return self._random_clip(num_frames, fps, rng)

    def _random_clip(self, num_frames, fps, rng):
        clip = {
            "clip_len": self.clip_len,
            "frame_interval": self.frame_interval,
            "past_end": sampling.PAST_END[self.past_end],
        }
        if not self.target_fps:
            return sampling.random_clips(num_frames, **clip, num_clips=1, rng=rng)
        pace = frames_per_tick(fps, self.target_fps)
        return sampling.random_paced_clip(num_frames, **clip, frames_per_tick=pace, rng=rng)

    def _cropped(self, frames, rng):
        frames = transforms.resize_short_side(frames, self.short_side)
        box = TRAIN_CROPS[self.crop](*frames.shape[1:3], self.size, rng)
        return transforms.resize(transforms.cut(frames, box), self.size)

    def _mirrored(self, frames, label, rng):
        if rng.random() >= self.flip:
            return frames, label
        swapped = {old: new for a, b in self.flip_labels for old, new in ((a, b), (b, a))}
        several = isinstance(label, tuple)
        labels = tuple(swapped.get(one, one) for one in (label if several else (label,)))
        return transforms.flip(frames), labels if several else labels[0]

    def _colored(self, clip, rng):
        if self.color_jitter:
            clip = augment.color_jitter(clip, rng, *self.color_jitter)
        if self.rand_augment:
            clip = augment.rand_augment(clip, rng, *self.rand_augment)
        if self.random_erasing:
            clip = augment.random_erasing(clip, rng, self.random_erasing)
        return clip


def _within(values, highest):
    """Whether there is a value of 0 or more for each of `highest`, and none above it."""
    return len(values) == len(highest) and all(
        0 <= value <= most for value, most in zip(values, highest, strict=True)
    )


def _is_pair(value):
    return isinstance(value, (tuple, list)) and len(value) == 2


def _check_transform(transform):
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


def _check_colors(transform):
    jitter, operations = transform.color_jitter, transform.rand_augment
    highest = (1, 1, 1, augment.MAX_HUE)
    if jitter and not _within(jitter, highest):
        raise InputError(
            f"data.color_jitter {jitter} is neither () nor the strengths of brightness, contrast"
            f" and saturation, each of 0 to 1, and of hue, of 0 to {augment.MAX_HUE}"
        )
    if operations and not _within(operations, (math.inf, augment.MAX_MAGNITUDE)):
        raise InputError(
            f"data.rand_augment {operations} is neither () nor (number of operations, magnitude of"
            f" 0 to {augment.MAX_MAGNITUDE})"
        )
    if transform.modality == "flow" and (jitter or operations):
        raise InputError("data.color_jitter and data.rand_augment are for colours, not for flow")
