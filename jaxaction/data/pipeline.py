"""Loaders: grain pipelines from a source of videos to batches of uint8 clips or views."""

import functools
import sys

import cv2
import grain
import numpy as np

from jaxaction.data.decode import DecodeError
from jaxaction.data.protocol import Protocol, read_views
from jaxaction.data.records import Source
from jaxaction.data.train_transform import TrainTransform
from jaxaction.errors import InputError

# Draws of another video before training gives up on a source: with half of all videos unreadable
# one sample in 65536 would.
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
    """Returns endless shuffled batches; the global ones are the same for any number of processes.

    A batch is `{"clip": uint8 [b, t, h, w, c], "label": int32 [b], "index": int32 [b], "bad":
    int32 [b]}` with `b = batch_size / process count`, a part of the global one without gaps.
    `shard` is (process, process count). With several labels per video, `label` is float32 [b, k],
    1 for the classes of a video. `index` is the video's number in the source, `bad` that of an
    unreadable video that this sample replaces, else -1. `first_step` is the number of batches that
    are left out at the beginning; none of their videos is read.
    """
    if transform.flip and source.mirror_changes_class:
        raise InputError(
            f"data.flip {transform.flip} would give these videos another class; set data.flip to 0"
        )
    local = _local_batch(batch_size, shard)
    read = functools.partial(_train_example, source, transform)
    samples = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat().random_map(read)
    first = first_step * batch_size + shard[0] * local

    def read_sample(number):
        # A sample draws by its place among all. Rows of a batch keep their order, too, since
        # dropout, groups of batch norm and mixing depend on it.
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
    """Returns every video once, in order, in as many batches on every process.

    A batch is `{"views": uint8 [b, v, t, h, w, c], "label": int32 [b], "index": int32 [b],
    "mask": bool [b], "bad": int32 [b]}` with `b = batch_size / process count`; of a multi-label
    source `label` is float32 [b, k], 1 for the classes of a video. Padding has mask
    False and index -1; an unreadable video has mask False and its number in `bad`, else -1.
    """
    local = _local_batch(batch_size, shard)
    padded = -(-len(source) // batch_size) * batch_size
    read = functools.partial(_test_example, source, protocol)
    samples = grain.MapDataset.range(padded).map(read)
    return _batches(samples[shard[0] :: shard[1]], local, num_threads)


def _train_example(source, transform, index, rng):
    first_bad = -1
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
        f"{_TRIES} videos drawn one after the other cannot be read; mend or remove them (the last: "
        f"{last_error})"
    )


def _test_example(source, protocol, index):
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


def _label_array(source, label):
    if not source.multi_label:
        return np.int32(label)
    row = np.zeros(len(source.label_names), np.float32)
    row[list(label)] = 1
    return row


def _batches(samples, local, num_threads) -> grain.IterDataset:
    cv2.setNumThreads(0)  # the loader's threads are the parallelism
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    return samples.to_iter_dataset(options).batch(local, drop_remainder=True)


def _local_batch(batch_size, shard) -> int:
    if batch_size < 1 or batch_size % shard[1]:
        raise InputError(f"batch_size {batch_size} is not a multiple of {shard[1]} processes")
    return batch_size // shard[1]
