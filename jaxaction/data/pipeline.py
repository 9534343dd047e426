"""Loaders: grain pipelines that turn a source of videos into batches of uint8 clips or views."""

import functools
import sys

import cv2
import grain
import numpy as np

from jaxaction.data.decode import DecodeError
from jaxaction.data.protocol import Protocol, read_views
from jaxaction.data.records import Source
from jaxaction.data.train_transform import Label, TrainTransform
from jaxaction.errors import InputError

Sample = dict[str, np.ndarray | np.generic]

# Unreadable videos in a row that end a run. If half of all videos are unreadable, one sample in
# 65536 meets that many.
_TRIES = 16


def train_loader(
    source: Source,
    transform: TrainTransform,
    batch_size: int,
    seed: int,
    num_threads: int,
    shard: tuple[int, int] = (0, 1),
    first_step: int = 0,
) -> grain.IterDataset:
    """Returns shuffled batches without end.

    The global batches, of `batch_size`, are the same for any number of processes. `shard` is
    (process, process count), and a process gets b = batch_size / process count consecutive rows of
    each: `{"clip": uint8 [b, t, h, w, c], "label": int32 [b], "index": int32 [b], "bad": int32
    [b]}`. With several labels per video, `label` is float32 [b, k], 1 for the classes of a video.
    `index` is the video's number in the source. `bad` is the number of the unreadable video that
    this sample replaces, else -1. The first `first_step` batches are left out, and their videos are
    not read.

    `InputError` for a `batch_size` that is no multiple of the process count, for a flip that would
    change classes, and during iteration for 16 unreadable videos in a row.
    """
    if transform.flip and source.mirror_changes_class:
        raise InputError(
            f"data.flip {transform.flip} would give these videos another class; set data.flip to 0"
        )
    local = _local_batch(batch_size, shard)
    read = functools.partial(_train_example, source, transform)
    samples = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat().random_map(read)
    first = first_step * batch_size + shard[0] * local

    def read_sample(number: int) -> Sample:
        # A sample's random numbers follow from its place among all samples, so that they are the
        # same for any number of processes. Rows of a batch keep their order, too, since dropout,
        # groups of batch norm and mixing depend on it.
        step, row = divmod(number, local)
        return samples[first + step * batch_size + row]

    return _batches(grain.MapDataset.range(sys.maxsize).map(read_sample), local, num_threads)


def test_loader(
    source: Source,
    protocol: Protocol,
    batch_size: int,
    num_threads: int,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Returns batches of all videos, each once and in order.

    Every process gets the same number of batches, of b = batch_size / process count rows:
    `{"views": uint8 [b, v, t, h, w, c], "label": int32 [b], "index": int32 [b], "mask": bool [b],
    "bad": int32 [b]}`. `shard` is (process, process count). With several labels per video, `label`
    is float32 [b, k], 1 for the classes of a video. Rows that pad the last batch have mask False
    and index -1. An unreadable video has mask False and its number in `bad`, which is -1 in other
    rows. `InputError` for a `batch_size` that is no multiple of the process count.
    """
    local = _local_batch(batch_size, shard)
    # Padded to whole batches, since processes that run out early would leave the others waiting.
    padded = -(-len(source) // batch_size) * batch_size
    read = functools.partial(_test_example, source, protocol)
    samples = grain.MapDataset.range(padded).map(read)
    return _batches(samples[shard[0] :: shard[1]], local, num_threads)


def _train_example(
    source: Source, transform: TrainTransform, index: int, rng: np.random.Generator
) -> Sample:
    first_bad, last_error = -1, None
    for _ in range(_TRIES):
        record = source[index]
        try:
            clip, label = transform(record.video, record.label, rng)
        except DecodeError as error:
            first_bad = index if first_bad < 0 else first_bad
            index, last_error = int(rng.integers(len(source))), error
        else:
            return {
                "clip": clip,
                "label": _label_array(source, label),
                "index": np.int32(index),
                "bad": np.int32(first_bad),
            }
    raise InputError(
        f"{_TRIES} videos drawn one after the other cannot be read (the last: {last_error});"
        " correct the list and data.root, or remove the videos from the data set"
    )


def _test_example(source: Source, protocol: Protocol, index: int) -> Sample:
    views, bad = None, -1
    label = () if source.multi_label else 0
    if index < len(source):
        record = source[index]
        label = record.label
        try:
            views = read_views(record.video, protocol)
        except DecodeError:
            bad = index
    return {
        "views": np.zeros(protocol.shape, np.uint8) if views is None else views,
        "label": _label_array(source, label),
        "index": np.int32(index if index < len(source) else -1),
        "mask": np.bool_(views is not None),
        "bad": np.int32(bad),
    }


def _label_array(source: Source, label: Label) -> np.ndarray | np.generic:
    if not isinstance(label, tuple):
        return np.int32(label)
    row = np.zeros(len(source.label_names), np.float32)
    row[list(label)] = 1
    return row


def _batches(samples: grain.MapDataset, local: int, num_threads: int) -> grain.IterDataset:
    cv2.setNumThreads(0)  # the loader's threads are the parallelism
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    return samples.to_iter_dataset(options).batch(local, drop_remainder=True)


def _local_batch(batch_size: int, shard: tuple[int, int]) -> int:
    if batch_size < 1 or batch_size % shard[1]:
        raise InputError(
            f"batch_size {batch_size} is not a multiple of the {shard[1]} processes; set it to a"
            f" multiple, such as {shard[1]}"
        )
    return batch_size // shard[1]
