"""Chooses the frames of a video's clips, for testing and for training.

Every function returns frame numbers `[clips, frames]`, each in `[0, num_frames)`. The functions for
testing agree with MMAction2 1.2.0's `SampleFrames`, `DenseSampleFrames` and `UniformSample`
(`mmaction/datasets/transforms/loading.py`), unless they name another source.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int, Num

Clips = Int[np.ndarray, "v t"]
PastEnd = Callable[[Clips, int], Clips]

# Dense sampling's window in frames, and the number of its places in a test (Lin et al. 2019, TSM).
DENSE_RANGE = 64
DENSE_POSITIONS = 10


def loop(frames: Clips, num_frames: int) -> Clips:
    """Replaces frame numbers past the end by the video's beginning, again and again."""
    return frames % num_frames


def repeat_last(frames: Clips, num_frames: int) -> Clips:
    """Replaces frame numbers past the end by the clip's last number inside the video."""
    inside = frames < num_frames
    last = np.where(inside, frames, 0).max(axis=1, keepdims=True)
    return np.where(inside, frames, last)


PAST_END: dict[str, PastEnd] = {"loop": loop, "repeat_last": repeat_last}


def clips(
    num_frames: int, clip_len: int, frame_interval: int, num_clips: int, past_end: PastEnd = loop
) -> Clips:
    """Returns clips spread evenly from the first frame to the last; a single clip is centred.

    `past_end`, `loop` or `repeat_last`, replaces frame numbers past the end of a short video.
    """
    spare = max(num_frames - _span(clip_len, frame_interval), 0)
    if num_clips == 1:
        starts = np.array([spare // 2])
    else:
        starts = np.round(np.arange(num_clips) * (spare / (num_clips - 1))).astype(int)
    return past_end(_clips_at(starts, clip_len, frame_interval), num_frames)


def centered_clips(
    num_frames: int, clip_len: int, frame_interval: int, num_clips: int, past_end: PastEnd = loop
) -> Clips:
    """Returns clips in the middles of `num_clips` equal parts, as in tests of MMAction2 0.x.

    All start at 0 if the video is shorter than a clip.
    """
    # Here and in training, MMAction2 counts the frames that are skipped after a clip's last one.
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
    past_end: PastEnd = loop,
) -> Clips:
    """Returns clips like `clips`, but of the same duration in every video.

    `frames_per_tick` is the video's frame rate divided by that of the clips. PySlowFast's rule
    (`slowfast/datasets/decoder.py`): a clip's length need not be a whole number of frames, and
    frame numbers are rounded down.
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

    With `twice` a second clip follows, with the parts' first frames (TSM on Something-Something).
    """
    step = num_frames / num_segments
    first = np.arange(num_segments) * step
    rows = [first + step / 2, first] if twice else [first + step / 2]
    return np.array(rows).astype(int)


def dense(
    num_frames: int, clip_len: int, frame_interval: int, num_clips: int = DENSE_POSITIONS
) -> Clips:
    """Returns clips that start where windows of 64 frames would, spread evenly over the video.

    To spread a clip over the whole window, as MMAction2 does, set `frame_interval` to 64 //
    `clip_len`.
    """
    starts = np.linspace(0, max(num_frames - DENSE_RANGE, 0), num_clips, dtype=int)
    return loop(_clips_at(starts, clip_len, frame_interval), num_frames)


def uniform(num_frames: int, clip_len: int, num_clips: int) -> Clips:
    """Returns clips with one frame from each of `clip_len` equal parts, each clip a little later.

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
    past_end: PastEnd = loop,
) -> Clips:
    """Returns clips for training: one at a random place in each of `num_clips` equal parts.

    In a video with too few frames for that, starts are drawn anywhere. In a shorter one they are
    spread evenly, and if it is shorter than a clip, they are all 0.
    """
    # MMAction2 also counts the frames that are skipped after a clip's last one.
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
    past_end: PastEnd = loop,
) -> Clips:
    """Returns one clip at a random place for training; `frames_per_tick` as in `paced_clips`."""
    span = _paced_span(clip_len, frame_interval, frames_per_tick)
    start = rng.integers(max(int(num_frames - span + 1), 1))
    return past_end(_spread_at(np.array([start]), span, clip_len), num_frames)


def random_segments(
    num_frames: int,
    num_segments: int,
    rng: np.random.Generator,
    stack: int = 1,
    past_end: PastEnd = loop,
) -> Clips:
    """Returns a random frame of each of `num_segments` equal parts, as one clip, for training.

    With `stack`, it returns that many frames in a row from each part.
    """
    return random_clips(num_frames, stack, 1, num_segments, rng, past_end).reshape(1, -1)


def random_uniform(num_frames: int, clip_len: int, rng: np.random.Generator) -> Clips:
    """Returns one clip with a random frame of each of `clip_len` parts, which share their ends.

    PySlowFast's rule for Something-Something in training.
    """
    ends = np.round((num_frames - 1) / clip_len * np.arange(clip_len + 1)).astype(int)
    return rng.integers(ends[:-1], ends[1:] + 1).reshape(1, clip_len)


def random_dense(
    num_frames: int, clip_len: int, frame_interval: int, rng: np.random.Generator
) -> Clips:
    """Returns one clip in a window of 64 frames at a random place, for training."""
    # As in MMAction2, the last possible start is never drawn.
    spare = num_frames - DENSE_RANGE
    start = rng.integers(spare) if spare > 0 else 0
    return loop(_clips_at(np.array([start]), clip_len, frame_interval), num_frames)


def _span(clip_len: int, frame_interval: int) -> int:
    return (clip_len - 1) * frame_interval + 1


def _clips_at(starts: Int[np.ndarray, " v"], clip_len: int, frame_interval: int) -> Clips:
    return starts[:, None] + np.arange(clip_len) * frame_interval


def _paced_span(clip_len: int, frame_interval: int, frames_per_tick: float) -> float:
    return max(clip_len * frame_interval * frames_per_tick, 1.0)


def _spread_at(starts: Num[np.ndarray, " v"], span: float, clip_len: int) -> Clips:
    frames = starts[:, None] + np.linspace(0, span - 1, clip_len).astype(int)
    return frames.astype(int)
