"""The test protocol: one small value that says how a video becomes views."""

import dataclasses
import json
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

from jaxaction.data import decode, sampling, transforms
from jaxaction.errors import InputError

_CHOICES = {
    "sampling": ("clips", "segments", "dense"),
    "crops": tuple(transforms.CROPS),
    "average": ("prob", "score"),
}
_COUNTS = ("clip_len", "frame_interval", "num_clips", "short_side")
_NUM_CROPS = {"center": 1, "three": 3, "ten": 10}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a test video becomes views, and how their scores become one.

    `InputError` where a value is not possible; the message names its config key.
    """

    sampling: str
    """"clips": `num_clips` clips of `clip_len` frames, `frame_interval` apart, spread evenly;
    "segments": `clip_len` frames from equal parts (`num_clips` 2: a second view, shifted);
    "dense": like "clips", from the places of a 64-frame window (the reference's has 10)."""
    clip_len: int
    """Frames on the axis t."""
    frame_interval: int
    num_clips: int
    short_side: int
    """Pixels of the shorter side, to which frames are resized before cropping."""
    crops: str
    """"center", "three" or "ten"."""
    size: tuple[int, int]
    """(h, w) of one crop in pixels."""
    average: str
    """"prob": mean of each view's softmax; "score": mean of the logits."""
    window: tuple[int, ...] = ()
    """(h, w) of the features that make one row of scores each, as in PySlowFast's fully
    convolutional test; empty: all make one."""

    def __post_init__(self):
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "window", tuple(self.window))
        check(dataclasses.asdict(self))

    def __str__(self):
        crops = f"{_counted(_NUM_CROPS[self.crops], 'crop')} of {self.size[0]}x{self.size[1]}"
        window = ", windows of {}x{}".format(*self.window) if self.window else ""
        return f"{self._frames()} x {crops} (short side {self.short_side}){window}, {self.average}"

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """The shape of a video's views, `(v, t, h, w, 3)`."""
        return (self.num_clips * _NUM_CROPS[self.crops], self.clip_len, *self.size, 3)

    def frames(self, num_frames: int) -> sampling.Clips:
        """Returns the frame numbers of every clip of a video with so many frames."""
        if self.sampling == "segments":
            return sampling.segments(num_frames, self.clip_len, twice=self.num_clips == 2)
        choose = {"clips": sampling.clips, "dense": sampling.dense}[self.sampling]
        return choose(num_frames, self.clip_len, self.frame_interval, self.num_clips)

    def to_json(self) -> str:
        """Returns the protocol as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Protocol":
        """Returns the protocol that `to_json` wrote."""
        return cls(**json.loads(text))

    def _frames(self):
        if self.sampling == "segments":
            twice = ", twice" if self.num_clips == 2 else ""
            return f"{_counted(self.clip_len, 'segment')}{twice}"
        dense = "dense " if self.sampling == "dense" else ""
        clips = _counted(self.num_clips, "clip")
        return f"{dense}{self.clip_len}x{self.frame_interval}, {clips}"


def check(fields: Mapping, section: str = "test"):
    """Raises `InputError` naming `section.key` if these fields make no `Protocol`."""
    for key, choices in _CHOICES.items():
        if fields[key] not in choices:
            raise InputError(f"{section}.{key} {fields[key]!r} is not one of {', '.join(choices)}")
    size, window = tuple(fields["size"]), tuple(fields.get("window", ()))
    if len(size) != 2:
        raise InputError(f"{section}.size {size} is not (height, width)")
    if len(window) not in (0, 2):
        raise InputError(f"{section}.window {window} is neither () nor (height, width)")
    sides = [*(("size", side) for side in size), *(("window", side) for side in window)]
    for key, value in [*((key, fields[key]) for key in _COUNTS), *sides]:
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{section}.{key} {value!r} is not a whole number above 0")
    if fields["sampling"] == "segments" and fields["num_clips"] > 2:
        raise InputError(
            f"{section}.num_clips {fields['num_clips']} is not possible with segments; "
            "set it to 1, or to 2 for a second, shifted view"
        )
    if min(size) > fields["short_side"]:
        raise InputError(
            f"{section}.size {size} does not fit in frames of {section}.short_side "
            f"{fields['short_side']}; set short_side to {min(size)} or more"
        )
    if fields["crops"] == "three" and fields["short_side"] not in size:
        raise InputError(
            f"{section}.crops three needs {section}.short_side {fields['short_side']} as one side "
            f"of {section}.size {size}; set short_side to {min(size)}"
        )


def read_views(video, protocol: Protocol) -> UInt8[np.ndarray, "v t h w c"]:
    """Returns a video's views: crops x clips, the crop outermost (the reference's order).

    `video` is a path, a file's bytes, or a list of encoded pictures. `decode.DecodeError` if it
    cannot be read; `InputError` if a crop does not fit in its frames.
    """
    frames, clips = read_sampled(video, protocol.frames)
    frames = transforms.resize_short_side(frames, protocol.short_side)
    crops = transforms.CROPS[protocol.crops](frames, protocol.size)
    return np.concatenate([crop[clips] for crop in crops])


def read_sampled(video, choose: Callable[[int], np.ndarray]):
    """Returns (frames, numbers): each sampled frame once, and the clips as places among them.

    `choose` gets the number of frames and returns frame numbers `[v, t]`.
    """
    with decode.open_video(video) as opened:
        try:
            return _read_chosen(opened, choose(opened.num_frames))
        except decode.DecodeError:
            # A damaged file can hold fewer frames than its container lists.
            return _read_chosen(opened, choose(opened.count_by_decoding()))


def _read_chosen(opened, chosen):
    unique, places = np.unique(chosen, return_inverse=True)
    return opened.read(unique), places.reshape(chosen.shape)


def _counted(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
