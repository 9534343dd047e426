"""Loaders: grain pipelines from a source of videos to batches of uint8 clips or views."""

import dataclasses
import functools

import cv2
import grain
import numpy as np
from jaxtyping import UInt8

from jaxaction.data import sampling, transforms
from jaxaction.data.decode import DecodeError
from jaxaction.data.protocol import Protocol, read_sampled, read_views
from jaxaction.data.records import Source
from jaxaction.errors import InputError

# Draws of another video before training gives up on a source: with half of all videos unreadable
# one sample in 65536 would.
_TRIES = 16
_SAMPLING = ("clips", "segments", "dense")


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
    """"clips", "segments" or "dense", as in `Protocol`, with a random start."""
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

    def __post_init__(self):
        object.__setattr__(self, "size", tuple(self.size))
        _check(self)
        object.__setattr__(self, "flip_labels", tuple(tuple(pair) for pair in self.flip_labels))

    def __call__(
        self, video, label: int, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "t h w c"], int]:
        """Returns a random clip of the video, and its label (another if the flip changes it)."""
        frames, clip = read_sampled(video, lambda count: self._frames(count, rng))
        frames = transforms.resize_short_side(frames, self.short_side)
        box = TRAIN_CROPS[self.crop](*frames.shape[1:3], self.size, rng)
        frames = transforms.resize(transforms.cut(frames, box), self.size)[clip[0]]
        if rng.random() >= self.flip:
            return frames, label
        swapped = {old: new for a, b in self.flip_labels for old, new in ((a, b), (b, a))}
        return np.ascontiguousarray(transforms.flip(frames)), swapped.get(label, label)

    def _frames(self, num_frames, rng):
        if self.sampling == "segments":
            return sampling.random_segments(num_frames, self.clip_len, rng)
        if self.sampling == "dense":
            return sampling.random_dense(num_frames, self.clip_len, self.frame_interval, rng)
        return sampling.random_clips(num_frames, self.clip_len, self.frame_interval, 1, rng)


def train_loader(
    source: Source,
    transform: TrainTransform,
    batch_size: int,
    seed: int,
    num_threads: int,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Returns endless shuffled batches; the global ones are the same for any number of processes.

    A batch is `{"clip": uint8 [b, t, h, w, c], "label": int32 [b], "index": int32 [b], "bad":
    int32 [b]}` with `b = batch_size / process count`. `shard` is (process, process count).
    `index` is the video's number in the source, `bad` that of an unreadable video that this
    sample replaces, else -1. The iterator has `get_state` and `set_state`.
    """
    if transform.flip and source.mirror_changes_class:
        raise InputError(
            f"data.flip {transform.flip} would give these videos another class; set data.flip to 0"
        )
    local = _local_batch(batch_size, shard)
    read = functools.partial(_train_example, source, transform)
    samples = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat().random_map(read)
    return _batches(samples[shard[0] :: shard[1]], local, num_threads)


def test_loader(
    source: Source,
    protocol: Protocol,
    batch_size: int,
    num_threads: int,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Returns every video once, in order, in as many batches on every process.

    A batch is `{"views": uint8 [b, v, t, h, w, c], "label": int32 [b], "index": int32 [b],
    "mask": bool [b], "bad": int32 [b]}` with `b = batch_size / process count`. Padding has mask
    False and index -1; an unreadable video has mask False and its number in `bad`, else -1.
    """
    local = _local_batch(batch_size, shard)
    padded = -(-len(source) // batch_size) * batch_size
    read = functools.partial(_test_example, source, protocol)
    samples = grain.MapDataset.range(padded).map(read)
    return _batches(samples[shard[0] :: shard[1]], local, num_threads)


def _train_example(source, transform, index, rng):
    bad = -1
    for _ in range(_TRIES):
        record = source[index]
        try:
            clip, label = transform(record.video, record.label, rng)
        except DecodeError as error:
            bad = index if bad < 0 else bad
            index, problem = int(rng.integers(len(source))), error
        else:
            return {
                "clip": clip,
                "label": np.int32(label),
                "index": np.int32(index),
                "bad": np.int32(bad),
            }
    raise InputError(
        f"{_TRIES} videos drawn one after the other cannot be read; mend or remove them (the last: "
        f"{problem})"
    )


def _test_example(source, protocol, index):
    views, label, bad = None, 0, -1
    if index < len(source):
        record = source[index]
        label = record.label
        try:
            views = read_views(record.video, protocol)
        except DecodeError:
            bad = index
    return {
        "views": np.zeros(protocol.shape, np.uint8) if views is None else views,
        "label": np.int32(label),
        "index": np.int32(index if index < len(source) else -1),
        "mask": np.bool_(views is not None),
        "bad": np.int32(bad),
    }


def _batches(samples, local, num_threads) -> grain.IterDataset:
    cv2.setNumThreads(0)  # the loader's threads are the parallelism
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    return samples.to_iter_dataset(options).batch(local, drop_remainder=True)


def _local_batch(batch_size, shard) -> int:
    if batch_size < 1 or batch_size % shard[1]:
        raise InputError(f"batch_size {batch_size} is not a multiple of {shard[1]} processes")
    return batch_size // shard[1]


def _is_pair(value):
    return isinstance(value, (tuple, list)) and len(value) == 2


def _check(transform):
    for key, choices in (("sampling", _SAMPLING), ("crop", tuple(TRAIN_CROPS))):
        if (value := getattr(transform, key)) not in choices:
            raise InputError(f"data.{key} {value!r} is not one of {', '.join(choices)}")
    if not 0 <= transform.flip <= 1:
        raise InputError(f"data.flip {transform.flip} is not a probability in [0, 1]")
    if not all(_is_pair(pair) for pair in transform.flip_labels):
        raise InputError(f"data.flip_labels {transform.flip_labels} are not pairs of labels")
    if len(transform.size) != 2:
        raise InputError(f"data.size {transform.size} is not (height, width)")
    counts = [
        (key, getattr(transform, key)) for key in ("clip_len", "frame_interval", "short_side")
    ]
    for key, value in [*counts, *(("size", side) for side in transform.size)]:
        if value < 1:
            raise InputError(f"data.{key} {value} is not above 0")
    if transform.crop == "random" and min(transform.size) > transform.short_side:
        raise InputError(
            f"data.size {transform.size} does not fit in frames of data.short_side "
            f"{transform.short_side}; set short_side to {min(transform.size)} or more"
        )
