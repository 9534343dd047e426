"""The loaders: order, shards, resuming, unreadable videos; with a real decoder and real grain."""

import itertools

import cv2
import numpy as np
import pytest

from jaxaction.data import pipeline, transforms
from jaxaction.data.decode import num_frames
from jaxaction.data.protocol import Protocol, read_views
from jaxaction.data.records import Record
from jaxaction.data.stills import FrameFolder
from jaxaction.data.train_transform import TRAIN_CROPS, TrainTransform
from jaxaction.errors import InputError
from tests.data.videos import decoded, encoded

TRAIN = TrainTransform("clips", 4, 2, 36, "random", (32, 32), 0.0)
VALID = ("clips", 4, 2, 36, "random", (32, 32), 0.0)
USUAL = (*VALID, (), "rgb", 1, "loop", 0.0)
TEST = Protocol("clips", 4, 2, 2, 32, "center", (32, 32), "prob")


class Videos:
    """Eleven short videos; those in `bad` can't be read."""

    mirror_changes_class = False
    multi_label = False

    def __init__(self, bad=(), count=11):
        self.label_names = ("even", "odd")
        self._records = [
            Record(str(i), b"no video" if i in bad else encoded(count=8 + i), i % 2)
            for i in range(count)
        ]

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return self._records[index]

    def id(self, index):
        return self._records[index].id


@pytest.fixture(scope="module")
def videos():
    return Videos()


@pytest.fixture(scope="module")
def damaged():
    return Videos(bad=(3, 10))


def train_batches(source, count, shard=(0, 1), threads=2, seed=0, transform=TRAIN):
    loader = pipeline.train_loader(source, transform, 4, seed, threads, shard)
    return list(itertools.islice(iter(loader), count))


def assert_same(batches, others):
    for batch, again in zip(batches, others, strict=True):
        assert batch.keys() == again.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], again[key])


def test_a_training_batch_has_the_promised_shapes(videos):
    (batch,) = train_batches(videos, 1)
    assert {key: (value.shape, str(value.dtype)) for key, value in batch.items()} == {
        "clip": ((4, 4, 32, 32, 3), "uint8"),
        "label": ((4,), "int32"),
        "index": ((4,), "int32"),
        "bad": ((4,), "int32"),
    }
    assert (batch["label"] == batch["index"] % 2).all()
    assert (batch["bad"] == -1).all()


def test_every_epoch_has_every_video_once_in_another_order(videos):
    batches = train_batches(videos, 11)  # 44 samples: four epochs
    epochs = np.concatenate([batch["index"] for batch in batches]).reshape(4, 11)
    assert (np.sort(epochs) == np.arange(11)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_seed_decides_and_threads_do_not(videos):
    first = train_batches(videos, 4, seed=1)
    assert_same(first, train_batches(videos, 4, seed=1, threads=0))
    assert (first[0]["index"] != train_batches(videos, 1, seed=2)[0]["index"]).any()


@pytest.mark.parametrize("processes", [2, 4])
def test_global_batches_are_the_same_for_any_number_of_processes(damaged, processes):
    all_batches = train_batches(damaged, 5)
    parts = [train_batches(damaged, 5, (process, processes)) for process in range(processes)]
    for step, batch in enumerate(all_batches):
        for key in batch:
            shares = np.concatenate([part[step][key] for part in parts])
            np.testing.assert_array_equal(shares, batch[key])


@pytest.mark.parametrize("threads", [0, 2])
def test_a_resumed_loader_goes_on_with_the_same_batches(damaged, threads):
    expected = train_batches(damaged, 7)[3:]
    again = iter(pipeline.train_loader(damaged, TRAIN, 4, 0, threads, first_step=3))
    assert_same([next(again) for _ in range(4)], expected)


def test_a_run_of_three_processes_goes_on_in_two(damaged):
    """Batches of 6 from 11 videos, two of them bad: steps and epochs never end together."""

    def shares(processes, first_step):
        loaders = [
            iter(pipeline.train_loader(damaged, TRAIN, 6, 0, 1, (process, processes), first_step))
            for process in range(processes)
        ]
        return [[next(loader) for loader in loaders] for _ in range(2)]

    first, second = shares(3, 2), shares(2, 4)
    all_batches = list(itertools.islice(iter(pipeline.train_loader(damaged, TRAIN, 6, 0, 1)), 6))
    for batch, parts in zip(all_batches[2:], first + second, strict=True):
        joined = {key: np.concatenate([part[key] for part in parts]) for key in batch}
        assert_same([batch], [joined])
    assert (np.concatenate([batch["bad"] for batch in all_batches[2:]]) >= 0).any()


def test_an_unreadable_training_video_is_replaced_and_reported(damaged):
    batches = train_batches(damaged, 11)
    bad = np.concatenate([batch["bad"] for batch in batches])
    index = np.concatenate([batch["index"] for batch in batches])
    assert sorted(bad[bad >= 0]) == [3] * 4 + [10] * 4  # once an epoch, in four epochs
    assert not set(index) & {3, 10}
    assert all(batch["clip"].any(axis=(1, 2, 3, 4)).all() for batch in batches)


def test_a_source_of_unreadable_videos_alone_is_an_error():
    with pytest.raises(InputError, match="16 videos drawn one after the other cannot be read"):
        train_batches(Videos(bad=range(3), count=3), 1)


def test_a_training_clip_is_cut_and_resized_from_the_video(videos):
    (batch,) = train_batches(videos, 1)
    index = int(batch["index"][0])
    frames = transforms.resize_short_side(decoded(videos[index].video), 36)  # 36 x 48
    clip = batch["clip"][0]
    starts = range(max(len(frames) - 8 + 1, 1))
    places = itertools.product(starts, range(5), range(17))
    assert any(
        (frames[start : start + 7 : 2, top : top + 32, left : left + 32] == clip).all()
        for start, top, left in places
    )


def test_flipping_mirrors_the_clip_and_swaps_the_given_labels():
    transform = TrainTransform("segments", 3, 1, 48, "random", (48, 64), 1.0, ((0, 1), (4, 5)))
    data = encoded(count=3)
    for label, expected in ((0, 1), (1, 0), (4, 5), (2, 2)):
        clip, swapped = transform(data, label, np.random.default_rng(0))
        assert swapped == expected
        np.testing.assert_array_equal(clip, decoded(data)[:, :, ::-1])


def test_flipping_has_the_given_probability():
    transform = TrainTransform("segments", 1, 1, 48, "random", (48, 64), 0.5)
    data, rng = encoded(count=1), np.random.default_rng(0)
    plain = decoded(data)
    flipped = [(transform(data, 0, rng)[0] != plain).any() for _ in range(100)]
    assert 35 < sum(flipped) < 65  # three standard deviations


def test_flipping_swaps_each_of_several_labels():
    transform = TrainTransform("segments", 3, 1, 48, "random", (48, 64), 1.0, ((0, 1),))
    assert transform(encoded(count=3), (0, 5), np.random.default_rng(0))[1] == (1, 5)


def test_a_training_clip_of_flow_stacks_frames_and_inverts_x_where_mirrored(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 2)).astype(np.uint8)
    for i, axis in itertools.product(range(4), range(2)):
        cv2.imwrite(str(tmp_path / f"{'xy'[axis]}_{i}.png"), frames[i, ..., axis])
    video = FrameFolder(str(tmp_path), modality="flow")
    for flip, expected in ((0.0, frames), (1.0, frames[:, :, ::-1])):
        transform = TrainTransform("segments", 2, 1, 8, "random", (8, 8), flip, (), "flow", 2)
        clip, _ = transform(video, 0, np.random.default_rng(0))
        assert clip.shape == (2, 8, 8, 4)
        # 4 - 2 + 1 = 3 places, one a part: the parts begin at 0 and 1
        parts = np.stack([expected[[0, 1]], expected[[1, 2]]])
        x = 255 - parts[..., 0] if flip else parts[..., 0]
        np.testing.assert_array_equal(clip[..., ::2], np.moveaxis(x, 1, -1))
        np.testing.assert_array_equal(clip[..., 1::2], np.moveaxis(parts[..., 1], 1, -1))


@pytest.mark.parametrize(
    "colors", [((0.4, 0.4, 0.4, 0.1), (), 0.0), ((), (2, 9), 0.0), ((), (), 1.0)]
)
def test_augmentation_changes_colours_and_not_the_size(colors):
    data = encoded(count=8)
    plain, _ = TrainTransform(*USUAL)(data, 0, np.random.default_rng(0))
    clip, _ = TrainTransform(*USUAL, *colors)(data, 0, np.random.default_rng(0))
    assert clip.shape == plain.shape and clip.dtype == np.uint8
    assert (clip != plain).any()


def test_augmented_samples_are_the_same_for_any_number_of_threads_and_processes(videos):
    transform = TrainTransform(*USUAL, (0.4, 0.4, 0.4, 0.1), (2, 9), 0.5)
    all_batches = train_batches(videos, 4, threads=0, transform=transform)
    assert_same(all_batches, train_batches(videos, 4, threads=3, transform=transform))
    part = train_batches(videos, 4, (1, 2), transform=transform)
    for batch, share in zip(all_batches, part, strict=True):
        np.testing.assert_array_equal(share["clip"], batch["clip"][2:])


def test_several_labels_become_a_row_of_zeros_and_ones(videos, monkeypatch):
    records = [record._replace(label=(record.label,)) for record in videos._records]
    monkeypatch.setattr(videos, "_records", [records[0]._replace(label=(0, 1)), *records[1:]])
    monkeypatch.setattr(videos, "multi_label", True, raising=False)
    rows = {0: [1, 1], 1: [0, 1], 2: [1, 0]}
    for batch in (*train_batches(videos, 3), *pipeline.test_loader(videos, TEST, 4, 0)):
        assert batch["label"].shape == (4, 2) and batch["label"].dtype == np.float32
        for index, label in zip(batch["index"], batch["label"], strict=True):
            expected = [0, 0] if index < 0 else rows[0 if index == 0 else 2 - index % 2]
            assert label.tolist() == expected


def test_videos_that_a_mirror_changes_are_never_flipped(videos, monkeypatch):
    monkeypatch.setattr(Videos, "mirror_changes_class", True)
    transform = TrainTransform("clips", 4, 2, 36, "random", (32, 32), 0.5)
    with pytest.raises(InputError, match="data.flip 0.5 would give these videos another class"):
        pipeline.train_loader(videos, transform, 4, 0, 0)


@pytest.mark.parametrize("crop", TRAIN_CROPS)
@pytest.mark.parametrize("sampling", ["clips", "segments", "dense", "uniform"])
def test_every_crop_and_sampling_gives_the_given_size(crop, sampling):
    transform = TrainTransform(sampling, 5, 2, 40, crop, (36, 32), 0.5)
    clip, _ = transform(encoded(count=12), 0, np.random.default_rng(0))
    assert clip.shape == (5, 36, 32, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("clip", 4, 2, 36, "random", (32, 32), 0.0), "data.sampling 'clip' is not one of clips"),
        (("clips", 0, 2, 36, "random", (32, 32), 0.0), "data.clip_len 0 is not above 0"),
        (("clips", 4, 2, 36, "middle", (32, 32), 0.0), "data.crop 'middle' is not one of random"),
        (("clips", 4, 2, 36, "random", (32, 32), 1.5), "data.flip 1.5 is not a probability"),
        (
            ("clips", 4, 2, 30, "random", (32, 32), 0.0),
            r"data.size \(32, 32\) does not fit in frames of data.short_side 30; raise data.short_s"
            "ide to at least 32, or lower the smaller side of data.size to at most 30$",
        ),
        (("clips", 4, 2, 36, "random", (32,), 0.0), r"data.size \(32,\) is not \(height, width\)"),
        (("clips", 4, 2, 36, "random", (32, 32), 0.0, (1, 2)), "data.flip_labels .* not pairs"),
        ((*VALID, (), "sound"), "data.modality 'sound' is not one of rgb, flow"),
        ((*VALID, (), "rgb", 5), "data.stack 5 is possible with one view of segments only"),
        ((*VALID, (), "rgb", 1, "stop"), "data.past_end 'stop' is not one of loop"),
        ((*VALID, (), "rgb", 1, "loop", -5.0), "data.target_fps -5.0 is not possible"),
        ((*USUAL, (0.5,), (), 0.0), "data.color_jitter .* neither .. nor the strengths"),
        ((*USUAL, (0.5, 0.5, 0.5, 2.0), (), 0.0), "data.color_jitter .* from 0 to 1"),
        ((*USUAL, (), (2,), 0.0), "data.rand_augment .* nor .number of operations, magnitude"),
        ((*USUAL, (), (), 1.5), "data.random_erasing 1.5 is not a probability"),
    ],
)
@pytest.mark.usefixtures("values_of_wrong_types")
def test_an_impossible_transform_is_named_with_its_key(fields, message):
    with pytest.raises(InputError, match=message):
        TrainTransform(*fields)


def test_a_test_batch_has_the_promised_shapes(videos):
    batch = next(iter(pipeline.test_loader(videos, TEST, 4, 0)))
    assert {key: (value.shape, str(value.dtype)) for key, value in batch.items()} == {
        "views": ((4, 2, 4, 32, 32, 3), "uint8"),
        "label": ((4,), "int32"),
        "index": ((4,), "int32"),
        "mask": ((4,), "bool"),
        "bad": ((4,), "int32"),
    }


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_testing_has_every_video_once_over_all_processes(damaged, processes):
    shards = [
        list(pipeline.test_loader(damaged, TEST, 4, 2, (process, processes)))
        for process in range(processes)
    ]
    assert [len(shard) for shard in shards] == [3] * processes  # 12 places for 11 videos
    flat = {
        key: np.concatenate([batch[key] for shard in shards for batch in shard])
        for key in ("index", "mask", "bad", "label")
    }
    assert sorted(flat["index"].tolist()) == [-1, *range(11)]
    assert sorted(flat["index"][flat["mask"]].tolist()) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert sorted(flat["bad"].tolist()) == [-1] * 10 + [3, 10]
    assert (flat["label"][flat["mask"]] == flat["index"][flat["mask"]] % 2).all()


def test_testing_shows_the_views_that_read_views_gives(videos):
    (batch, *_) = pipeline.test_loader(videos, TEST, 4, 2)
    for views, index in zip(batch["views"], batch["index"], strict=True):
        np.testing.assert_array_equal(views, read_views(videos[index].video, TEST))


def test_a_batch_that_processes_cannot_share_is_refused(videos):
    with pytest.raises(
        InputError, match="batch_size 4 is not a multiple of the 3 processes; set it to a multiple"
    ):
        pipeline.test_loader(videos, TEST, 4, 0, (0, 3))


def test_the_made_videos_have_the_frames_they_should(videos):
    assert [num_frames(videos[i].video) for i in (0, 10)] == [8, 18]
