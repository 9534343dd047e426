"""The test protocol: one small value that says how a video becomes views."""

import dataclasses
import json
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

from jaxaction.data import decode, sampling, transforms
from jaxaction.errors import InputError

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
    """"clips": `num_clips` clips of `clip_len` frames, `frame_interval` apart, spread evenly;
    "segments": `clip_len` frames from equal parts (`num_clips` 2: a second view, shifted);
    "dense": like "clips", from the places of a 64-frame window (MMAction2's has 10);
    "uniform": clips of `clip_len` frames over the whole video, one a little later than another."""
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
    modality: str = "rgb"
    """"rgb", or "flow": x and y."""
    stack: int = 1
    """Frames in a row that are the channels of one (TSN's flow: 5); "segments" take clips of so
    many frames then."""
    placement: str = "ends"
    """The places of "clips": "ends" from the first frame to the last, as in MMAction2 1.x;
    "centers" in the middles of equal parts, as in 0.x."""
    past_end: str = "loop"
    """Frames after the end of a short video: "loop" (its beginning again) or "repeat_last"."""
    target_fps: float = 0.0
    """Frames a second at which "clips" are counted, as in PySlowFast; 0: each video's own."""

    def __post_init__(self):
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "window", tuple(self.window))
        check_protocol(dataclasses.asdict(self))

    def __str__(self):
        crops = f"{_count_text(_NUM_CROPS[self.crops], 'crop')} of {self.size[0]}x{self.size[1]}"
        window = ", windows of {}x{}".format(*self.window) if self.window else ""
        views = f"{self._frames_text()} x {crops} (short side {self.short_side}){window}"
        return ", ".join([views, self.average, *self._unusual()])

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """The shape of a video's views, `(v, t, h, w, c)`."""
        channels = CHANNELS[self.modality] * self.stack
        return (self.num_clips * _NUM_CROPS[self.crops], self.clip_len, *self.size, channels)

    def frames(self, num_frames: int, fps: float = 0.0) -> sampling.Clips:
        """Returns the frame numbers of every clip of a video with so many frames, `[v, t * stack]`.

        `fps` is the video's; `InputError` if `target_fps` needs it and it is not known (0).
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
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})

    def _segments(self, num_frames):
        if self.stack == 1:
            return sampling.segments(num_frames, self.clip_len, twice=self.num_clips == 2)
        # Each segment gives a clip of `stack` frames in a row.
        clips = self._place_clips(
            num_frames, clip_len=self.stack, frame_interval=1, num_clips=self.clip_len
        )
        return clips.reshape(1, -1)

    def _place_clips(self, num_frames, clip_len, frame_interval, num_clips):
        place = {"ends": sampling.clips, "centers": sampling.centered_clips}[self.placement]
        past_end = sampling.PAST_END[self.past_end]
        return place(num_frames, clip_len, frame_interval, num_clips, past_end)

    def _frames_text(self):
        if self.sampling == "segments":
            twice = ", twice" if self.num_clips == 2 else ""
            return f"{_count_text(self.clip_len, 'segment')}{twice}"
        kind = "" if self.sampling == "clips" else f"{self.sampling} "
        interval = "" if self.sampling == "uniform" else f"x{self.frame_interval}"
        return f"{kind}{self.clip_len}{interval}, {_count_text(self.num_clips, 'clip')}"

    def _unusual(self):
        """Settings that differ from the usual ones, in words."""
        return [
            *(["flow"] if self.modality == "flow" else []),
            *([f"{self.stack} frames stacked"] if self.stack > 1 else []),
            *(["clips in the middles of parts"] if self.placement == "centers" else []),
            *(["the last frame repeated"] if self.past_end == "repeat_last" else []),
            *([f"{self.target_fps:g} frames a second"] if self.target_fps else []),
        ]


_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(Protocol)
    if field.default is not dataclasses.MISSING
}


def check_protocol(fields: Mapping[str, object], section: str = "test") -> None:
    """Raises `InputError` naming `section.key` if these fields make no `Protocol`."""
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


def check_choice(section: str, key: str, value, choices: tuple[str, ...]):
    """Raises `InputError` naming `section.key` if the value is none of the choices."""
    if value not in choices:
        raise InputError(f"{section}.{key} {value!r} is not one of {', '.join(choices)}")


def check_frames(section: str, fields: Mapping):
    """Raises `InputError` if `stack`, `target_fps` and `sampling` don't go together."""
    sampling, fps = fields["sampling"], fields["target_fps"]
    if fields["stack"] > 1 and (sampling != "segments" or fields.get("num_clips", 1) > 1):
        raise InputError(
            f"{section}.stack {fields['stack']} is possible with one view of segments only; set "
            f"{section}.stack to 1, or {section}.sampling to segments and num_clips to 1"
        )
    if fps < 0 or (fps and sampling != "clips"):
        raise InputError(
            f"{section}.target_fps {fps} is not possible with {section}.sampling {sampling}; set it"
            " to 0, or to a number above with clips"
        )


def frames_per_tick(fps: float, target_fps: float) -> float:
    """How many frames a video of `fps` shows while one of `target_fps` shows one."""
    if not fps:
        raise InputError(
            f"target_fps {target_fps:g} needs videos that tell their frames a second, which folders"
            " of pictures don't; set data.target_fps to 0"
        )
    return fps / target_fps


def read_views(video, protocol: Protocol) -> UInt8[np.ndarray, "v t h w c"]:
    """Returns a video's views: crops x clips, the crop outermost (MMAction2's order).

    `video` is what `decode.open_video` takes. `decode.DecodeError` if it
    cannot be read; `InputError` if a crop does not fit in its frames.
    """
    frames, clips = read_sampled(video, protocol.frames)
    if frames.shape[3] != CHANNELS[protocol.modality]:
        raise InputError(
            f"a video of {frames.shape[3]} channels is no {protocol.modality}; flow is read from"
            " folders of x_* and y_* pictures, which `jaxaction data flow` makes"
        )
    frames = transforms.resize_short_side(frames, protocol.short_side)
    crops = transforms.CROPS[protocol.crops](frames, protocol.size)
    return transforms.stack_frames(np.concatenate([c[clips] for c in crops]), protocol.stack)


def read_sampled(video, choose: Callable[[int, float], np.ndarray]):
    """Returns (frames, numbers): each sampled frame once, and the clips as places among them.

    `choose` gets the number of frames and the frames a second, and returns numbers `[v, t]`.
    """
    with decode.open_video(video) as opened:
        try:
            return _read_chosen(opened, choose(opened.num_frames, opened.fps))
        except decode.DecodeError:
            # A damaged file can hold fewer frames than its container lists.
            return _read_chosen(opened, choose(opened.count_by_decoding(), opened.fps))


def _read_chosen(opened, frame_numbers):
    unique, places = np.unique(frame_numbers, return_inverse=True)
    return opened.read(unique), places.reshape(frame_numbers.shape)


def _count_text(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
