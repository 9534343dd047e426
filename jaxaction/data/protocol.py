"""The test protocol: how a video becomes views, as one small value."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from jaxaction.data import decode, sampling, transforms
from jaxaction.data.sampling import Clips
from jaxaction.data.stills import Stills
from jaxaction.errors import InputError

KeyValues = Mapping[str, Any]  # of a config's section; a user may have given any type

SAMPLING = ("clips", "segments", "dense", "uniform")
# Channels of one frame.
CHANNELS = {"rgb": 3, "flow": transforms.FLOW_CHANNELS}
_CHOICES = {
    "sampling": SAMPLING,
    "crops": tuple(transforms.CROPS),
    "average": ("prob", "score"),
    "modality": tuple(CHANNELS),
    "placement": ("ends", "centers"),
    "past_end": tuple(sampling.PAST_END),
}
_COUNTS = ("clip_len", "frame_interval", "num_clips", "short_side", "stack")
_NUM_CROPS = {"center": 1, "three": 3, "ten": 10}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a test video becomes views, and how their scores become one.

    `InputError` where a value is not possible; the message names its config key.
    """

    sampling: str
    """How frames are chosen: "clips" (frames in a row), "segments" (one frame of each of `clip_len`
    equal parts), "dense" (clips inside a window of 64 frames at `num_clips` places, as in TSM), or
    "uniform" (one frame of each part in each clip, as in PySlowFast's Something-Something)."""
    clip_len: int
    """Frames per clip, or segments per video: the length of the axis t."""
    frame_interval: int
    """Distance of two frames of a clip, in frames of the video; 1: every frame."""
    num_clips: int
    """Clips per video; with "segments" 1, or 2 for a second view that is shifted by half a part."""
    short_side: int
    """Pixels of the shorter side, to which frames are resized before they are cropped."""
    crops: str
    """Crops per clip: "center" (1), "three" (along the longer side), or "ten" (the corners and the
    middle, each also mirrored)."""
    size: tuple[int, int]
    """(h, w) of a crop in pixels."""
    average: str
    """How scores of views are averaged: "prob" (each view's softmax) or "score" (logits)."""
    window: tuple[int, ...] = ()
    """(h, w) of the windows of features that get scores of their own, as in PySlowFast's fully
    convolutional test. Empty, the usual case: one score for the whole view."""
    modality: str = "rgb"
    """"rgb", or "flow": x and y of optical flow, read from folders of pictures."""
    stack: int = 1
    """Frames in a row that are stacked as the channels of one (TSN's flow: 5). More than 1 needs
    "segments" and one view; all other networks take 1, no stacking."""
    placement: str = "ends"
    """Places of "clips": "ends" (from the first frame to the last, as in MMAction2 1.x, hence the
    default) or "centers" (in the middles of equal parts, as in MMAction2 0.x)."""
    past_end: str = "loop"
    """Frames after the end of a short video: "loop" (its beginning again, as in MMAction2, hence
    the default) or "repeat_last" (the last frame)."""
    target_fps: float = 0.0
    """Frames per second at which "clips" are counted (30 in PySlowFast). 0: the video's own rate,
    as in MMAction2, hence the default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "window", tuple(self.window))
        check_protocol(dataclasses.asdict(self))

    def __str__(self) -> str:
        crops = f"{_count_text(_NUM_CROPS[self.crops], 'crop')} of {self.size[0]}x{self.size[1]}"
        window = ", windows of {}x{}".format(*self.window) if self.window else ""
        views = f"{self._frames_text()} x {crops} (short side {self.short_side}){window}"
        return ", ".join([views, self.average, *self._unusual()])

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """The shape `(v, t, h, w, c)` of a video's views."""
        channels = CHANNELS[self.modality] * self.stack
        return (self.num_clips * _NUM_CROPS[self.crops], self.clip_len, *self.size, channels)

    def frames(self, num_frames: int, fps: float = 0.0) -> Clips:
        """Returns the frame numbers `[clips, t * stack]` of all clips of a video.

        `fps` is the video's own rate, 0 if it is not known; `InputError` if `target_fps` needs it.
        """
        if self.sampling == "segments":
            return self._segments(num_frames)
        if self.sampling == "uniform":
            return sampling.uniform(num_frames, self.clip_len, self.num_clips)
        clips = {
            "clip_len": self.clip_len,
            "frame_interval": self.frame_interval,
            "num_clips": self.num_clips,
        }
        if self.sampling == "dense":
            return sampling.dense(num_frames, **clips)
        if self.target_fps:
            pace = frames_per_tick(fps, self.target_fps)
            past_end = sampling.PAST_END[self.past_end]
            return sampling.paced_clips(
                num_frames, **clips, frames_per_tick=pace, past_end=past_end
            )
        return self._place_clips(num_frames, **clips)

    def to_json(self) -> str:
        """Returns the protocol as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Protocol":
        """Returns the protocol that `to_json` wrote."""
        fields = json.loads(text)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
        }
        return cls(**values)

    def _segments(self, num_frames: int) -> Clips:
        if self.stack == 1:
            return sampling.segments(num_frames, self.clip_len, twice=self.num_clips == 2)
        # Each segment gives a clip of `stack` frames in a row.
        clips = self._place_clips(
            num_frames, clip_len=self.stack, frame_interval=1, num_clips=self.clip_len
        )
        return clips.reshape(1, -1)

    def _place_clips(
        self, num_frames: int, clip_len: int, frame_interval: int, num_clips: int
    ) -> Clips:
        place = {"ends": sampling.clips, "centers": sampling.centered_clips}[self.placement]
        past_end = sampling.PAST_END[self.past_end]
        return place(num_frames, clip_len, frame_interval, num_clips, past_end)

    def _frames_text(self) -> str:
        if self.sampling == "segments":
            twice = ", twice" if self.num_clips == 2 else ""
            return f"{_count_text(self.clip_len, 'segment')}{twice}"
        kind = "" if self.sampling == "clips" else f"{self.sampling} "
        interval = "" if self.sampling == "uniform" else f"x{self.frame_interval}"
        return f"{kind}{self.clip_len}{interval}, {_count_text(self.num_clips, 'clip')}"

    def _unusual(self) -> list[str]:
        """Returns the settings that differ from the defaults, in words."""
        return [
            *(["flow"] if self.modality == "flow" else []),
            *([f"{self.stack} frames stacked"] if self.stack > 1 else []),
            *(["clips in the middles of parts"] if self.placement == "centers" else []),
            *(["the last frame repeated"] if self.past_end == "repeat_last" else []),
            *([f"{self.target_fps:g} frames a second"] if self.target_fps else []),
        ]


# Protocols in the checkpoints of earlier versions lack newer fields.
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(Protocol)
    if field.default is not dataclasses.MISSING
}


def check_protocol(fields: KeyValues, section: str = "test") -> None:
    """Raises `InputError` that names `section.key` if a `Protocol` can't have these fields."""
    fields = _DEFAULTS | dict(fields)
    for key, choices in _CHOICES.items():
        check_choice(section, key, fields[key], choices)
    size, window = tuple(fields["size"]), tuple(fields["window"])
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
    check_frames(section, fields)
    if min(size) > fields["short_side"]:
        raise InputError(
            f"{section}.size {size} does not fit in frames of {section}.short_side "
            f"{fields['short_side']}; raise {section}.short_side to at least {min(size)}, or lower "
            f"the smaller side of {section}.size to at most {fields['short_side']}"
        )
    if fields["crops"] == "three" and fields["short_side"] not in size:
        raise InputError(
            f"{section}.crops three needs {section}.short_side {fields['short_side']} as one side "
            f"of {section}.size {size}; set {section}.short_side to {min(size)}, or a side of "
            f"{section}.size to {fields['short_side']}"
        )


def check_choice(section: str, key: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises `InputError` that names `section.key` if the value is none of the choices."""
    if value not in choices:
        raise InputError(f"{section}.{key} {value!r} is not one of {', '.join(choices)}")


def check_frames(section: str, fields: KeyValues) -> None:
    """Raises `InputError` if `stack` or `target_fps` is not possible with `sampling`."""
    sampling, fps = fields["sampling"], fields["target_fps"]
    if fields["stack"] > 1 and (sampling != "segments" or fields.get("num_clips", 1) > 1):
        raise InputError(
            f"{section}.stack {fields['stack']} is possible with one view of segments only; set "
            f"{section}.stack to 1, or {section}.sampling to segments and num_clips to 1"
        )
    if fps < 0 or (fps and sampling != "clips"):
        raise InputError(
            f"{section}.target_fps {fps} is not possible with {section}.sampling {sampling}; set it"
            f" to 0, or to a number above 0 with {section}.sampling clips"
        )


def frames_per_tick(fps: float, target_fps: float) -> float:
    """Returns the number of frames, at `fps`, in the time of one frame at `target_fps`."""
    if not fps:
        raise InputError(
            f"target_fps {target_fps:g} needs videos with a frame rate, which folders of pictures"
            " don't have; set data.target_fps to 0"
        )
    return fps / target_fps


def read_views(video: object, protocol: Protocol) -> UInt8[np.ndarray, "v t h w c"]:
    """Returns a video's views: all clips of the first crop, then of the next, as in MMAction2.

    `video` is anything that `decode.open_video` takes. `decode.DecodeError` if it cannot be read,
    `InputError` if a crop does not fit in its frames or their channels are not the modality's.
    """
    frames, clips = read_sampled(video, protocol.frames)
    if frames.shape[3] != CHANNELS[protocol.modality]:
        raise InputError(
            f"a video with {frames.shape[3]} channels is no {protocol.modality}; flow is read from"
            " folders of x_* and y_* pictures, which `jaxaction data flow` makes"
        )
    # Each sampled frame is resized and cropped once, even if several clips show it.
    frames = transforms.resize_short_side(frames, protocol.short_side)
    crops = transforms.CROPS[protocol.crops](frames, protocol.size)
    return transforms.stack_frames(np.concatenate([c[clips] for c in crops]), protocol.stack)


def read_sampled(
    video: object, choose: Callable[[int, float], Int[np.ndarray, "*shape"]]
) -> tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, "*shape"]]:
    """Returns (frames, places): each chosen frame once, and its place for every chosen number.

    `choose` gets the number of frames and the frames per second, and returns frame numbers, such
    as `[v, t]`; `frames[places]` are their frames.
    """
    with decode.open_video(video) as opened:
        try:
            return _read_chosen(opened, choose(opened.num_frames, opened.fps))
        except decode.DecodeError:
            # A damaged file can have fewer frames than its container lists.
            return _read_chosen(opened, choose(opened.count_by_decoding(), opened.fps))


def _read_chosen(
    opened: decode.Video | Stills, frame_numbers: Int[np.ndarray, "*shape"]
) -> tuple[UInt8[np.ndarray, "n h w c"], Int[np.ndarray, "*shape"]]:
    unique, places = np.unique(frame_numbers, return_inverse=True)
    return opened.read(unique), places.reshape(frame_numbers.shape)


def _count_text(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
