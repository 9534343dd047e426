"""Which frames of a video make its clips: MMAction2's rules, for testing and for training.

Every function returns frame numbers `[clips, frames]`, each in `[0, num_frames)`. They agree with
MMAction2 1.2.0's `SampleFrames`, `DenseSampleFrames` and `UniformSample`
(`mmaction/datasets/transforms/loading.py`) in test mode.
"""

import numpy as np
from jaxtyping import Int

Clips = Int[np.ndarray, "v t"]

# The span of a dense clip and the evenly spread places where a test takes it (Lin et al. 2019).
DENSE_RANGE = 64
DENSE_POSITIONS = 10


def loop(frames: Clips, num_frames: int) -> Clips:
    """Lets clips that run past the end start over."""
    return frames % num_frames


def repeat_last(frames: Clips, num_frames: int) -> Clips:
    """Lets clips that run past the end stay at their own last frame inside the video."""
    inside = frames < num_frames
    last = np.where(inside, frames, 0).max(axis=1, keepdims=True)
    return np.where(inside, frames, last)


PAST_END = {"loop": loop, "repeat_last": repeat_last}


def clips(
    num_frames: int, clip_len: int, frame_interval: int, num_clips: int, past_end=loop
) -> Clips:
    """Returns clips spread evenly from the first frame to the last; a single one is centred.

    `past_end` (`loop` or `repeat_last`) says what a clip longer than the video shows.
    """
    spare = max(num_frames - _span(clip_len, frame_interval), 0)
    if num_clips == 1:
        starts = np.array([spare // 2])
    else:
        starts = np.round(np.arange(num_clips) * (spare / (num_clips - 1))).astype(int)
    return past_end(_clips_at(starts, clip_len, frame_interval), num_frames)


def centered_clips(
    num_frames: int, clip_len: int, frame_interval: int, num_clips: int, past_end=loop
) -> Clips:
    """Returns clips in the middles of `num_clips` equal parts, as MMAction2 0.x tested.

    All start at 0 where the video is shorter than a clip. A clip counts as a `frame_interval`
    longer than in `clips`, as in training.
    """
    places = num_frames - clip_len * frame_interval + 1
    part = max(places, 0) / num_clips
    starts = (np.arange(num_clips) * part + part / 2).astype(int)
    return past_end(_clips_at(starts, clip_len, frame_interval), num_frames)


def paced_clips(
    num_frames: int,
    clip_len: int,
    frame_interval: int,
    num_clips: int,
    frames_per_tick: float,
    past_end=loop,
) -> Clips:
    """Returns clips as `clips` does, of a video that shows `frames_per_tick` frames in the time in
    which one at `target_fps` would show one: its own rate divided by that.

    A clip covers the same time in every video. Its length is no whole number of frames then;
    PySlowFast's rule (`slowfast/datasets/decoder.py`), which rounds down.
    """
    span = _paced_span(clip_len, frame_interval, frames_per_tick)
    spare = max(num_frames - span, 0)
    if num_clips == 1:
        starts = np.array([spare // 2])
    else:
        starts = np.arange(num_clips) * np.floor(spare / (num_clips - 1))
    return past_end(_spread_at(starts, span, clip_len), num_frames)


def segments(num_frames: int, num_segments: int, twice: bool = False) -> Clips:
    """Returns the middle frame of each of `num_segments` equal parts, as one clip.

    With `twice` a second clip follows, of the parts' first frames (TSM on Something-Something).
    """
    step = num_frames / num_segments
    first = np.arange(num_segments) * step
    rows = [first + step / 2, first] if twice else [first + step / 2]
    return np.array(rows).astype(int)


def dense(
    num_frames: int, clip_len: int, frame_interval: int, num_clips: int = DENSE_POSITIONS
) -> Clips:
    """Returns clips whose starts are spread evenly over the places of a 64-frame window.

    For segments MMAction2's interval is `64 // clip_len`.
    """
    starts = np.linspace(0, max(num_frames - DENSE_RANGE, 0), num_clips, dtype=int)
    return loop(_clips_at(starts, clip_len, frame_interval), num_frames)


def uniform(num_frames: int, clip_len: int, num_clips: int) -> Clips:
    """Returns `num_clips` clips of one frame from each of `clip_len` parts, clip by clip later.

    PySlowFast's rule for Something-Something (`slowfast/datasets/ssv2.py`).
    """
    part = (num_frames - 1) / clip_len
    starts = np.round(part * np.arange(clip_len)).astype(int)
    later = (part / (num_clips + 1) * np.arange(1, num_clips + 1)).astype(int)
    return starts + later[:, None]


def random_clips(
    num_frames: int,
    clip_len: int,
    frame_interval: int,
    num_clips: int,
    rng: np.random.Generator,
    past_end=loop,
) -> Clips:
    """Returns clips for training: one at a random place in each of `num_clips` equal parts.

    A video with too few frames for that gives starts drawn anywhere, or evenly spread ones, or
    all 0, whichever first is possible.
    """
    # MMAction2 counts a clip as a frame_interval longer here than in tests.
    places = num_frames - clip_len * frame_interval + 1
    part = places // num_clips
    if part > 0:
        starts = np.arange(num_clips) * part + rng.integers(part, size=num_clips)
    elif num_frames > max(num_clips, clip_len * frame_interval):
        starts = np.sort(rng.integers(places, size=num_clips))
    elif part == 0:
        starts = np.round(np.arange(num_clips) * (places / num_clips)).astype(int)
    else:
        starts = np.zeros(num_clips, int)
    return past_end(_clips_at(starts, clip_len, frame_interval), num_frames)


def random_paced_clip(
    num_frames: int,
    clip_len: int,
    frame_interval: int,
    frames_per_tick: float,
    rng: np.random.Generator,
    past_end=loop,
) -> Clips:
    """Returns one clip at a random place for training; `frames_per_tick` as in `paced_clips`."""
    span = _paced_span(clip_len, frame_interval, frames_per_tick)
    start = rng.integers(max(int(num_frames - span + 1), 1))
    return past_end(_spread_at(np.array([start]), span, clip_len), num_frames)


def random_segments(
    num_frames: int, num_segments: int, rng: np.random.Generator, stack: int = 1, past_end=loop
) -> Clips:
    """Returns a random frame of each of `num_segments` equal parts, as one clip, for training.

    With `stack` so many frames in a row from each, one part's after the other's.
    """
    return random_clips(num_frames, stack, 1, num_segments, rng, past_end).reshape(1, -1)


def random_uniform(num_frames: int, clip_len: int, rng: np.random.Generator) -> Clips:
    """Returns one clip of a random frame of each of `clip_len` parts, whose ends are shared.

    PySlowFast's rule for Something-Something in training.
    """
    ends = np.round((num_frames - 1) / clip_len * np.arange(clip_len + 1)).astype(int)
    return rng.integers(ends[:-1], ends[1:] + 1).reshape(1, clip_len)


def random_dense(
    num_frames: int, clip_len: int, frame_interval: int, rng: np.random.Generator
) -> Clips:
    """Returns one clip in a 64-frame window at a random place, for training."""
    # Like MMAction2's, the draw leaves out the last legal start.
    spare = num_frames - DENSE_RANGE
    start = rng.integers(spare) if spare > 0 else 0
    return loop(_clips_at(np.array([start]), clip_len, frame_interval), num_frames)


def _span(clip_len, frame_interval):
    return (clip_len - 1) * frame_interval + 1


def _clips_at(starts, clip_len, frame_interval) -> Clips:
    return starts[:, None] + np.arange(clip_len) * frame_interval


def _paced_span(clip_len, frame_interval, frames_per_tick) -> float:
    return max(clip_len * frame_interval * frames_per_tick, 1.0)


def _spread_at(starts, span, clip_len) -> Clips:
    frames = starts[:, None] + np.linspace(0, span - 1, clip_len).astype(int)
    return frames.astype(int)
