"""The test protocol: its values, its text, and the views it makes."""

import dataclasses

import numpy as np
import pytest

from jaxaction.data import decode, transforms
from jaxaction.data.protocol import Protocol, check, read_views
from jaxaction.errors import InputError
from tests.data.videos import decoded, encoded

PAPER = Protocol("clips", 32, 2, 10, 256, "three", (256, 256), "prob")
SMALL = Protocol("clips", 4, 2, 3, 32, "three", (32, 32), "prob")


def changed(**fields):
    return dataclasses.replace(PAPER, **fields)


def test_a_protocol_prints_in_one_line():
    assert str(PAPER) == "32x2, 10 clips x 3 crops of 256x256 (short side 256), prob"


def test_a_protocol_of_segments_prints_their_number():
    ten = changed(sampling="segments", clip_len=25, num_clips=1, crops="ten", size=(224, 224))
    assert str(ten) == "25 segments x 10 crops of 224x224 (short side 256), prob"
    assert str(dataclasses.replace(ten, num_clips=2)).startswith("25 segments, twice x 10 crops")


def test_a_protocol_survives_json():
    assert Protocol.from_json(PAPER.to_json()) == PAPER


def test_sizes_given_as_lists_become_tuples():
    assert hash(changed(size=[256, 256])) == hash(PAPER)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crops": "four"}, "test.crops 'four' is not one of center, three, ten"),
        ({"sampling": "all"}, "test.sampling 'all' is not one of clips, segments, dense"),
        ({"average": "max"}, "test.average 'max' is not one of prob, score"),
        ({"clip_len": 0}, "test.clip_len 0 is not a whole number above 0"),
        ({"num_clips": 2.5}, "test.num_clips 2.5 is not a whole number above 0"),
        ({"size": (224,)}, r"test.size \(224,\) is not \(height, width\)"),
        ({"sampling": "segments"}, "test.num_clips 10 is not possible with segments"),
        ({"size": (288, 288)}, "does not fit in frames of test.short_side 256"),
        ({"size": (224, 224)}, "test.crops three needs test.short_side 256 as one side"),
    ],
)
def test_an_impossible_value_is_named_with_its_key(fields, message):
    with pytest.raises(InputError, match=message):
        changed(**fields)


def test_the_check_names_the_section_it_is_told():
    with pytest.raises(InputError, match="^val.crops 'four'"):
        check(dataclasses.asdict(PAPER) | {"crops": "four"}, section="val")


def test_views_put_the_crop_outermost_then_the_clip():
    data = encoded()
    views = read_views(data, SMALL)
    frames = transforms.resize_short_side(decoded(data), 32)  # 32 x 43
    assert views.shape == SMALL.shape == (9, 4, 32, 32, 3)
    lefts = (0, 10, 5)  # 11 pixels to spare, of which the reference leaves the last
    starts = (0, 16, 33)  # 33 / 2 rounded to even, as in the reference
    for view, (left, start) in zip(views, [(x, s) for x in lefts for s in starts], strict=True):
        np.testing.assert_array_equal(view, frames[start : start + 7 : 2, :, left : left + 32])


def test_segments_twice_add_the_first_frame_of_every_part():
    data = encoded(count=8)
    protocol = Protocol("segments", 4, 1, 2, 48, "center", (48, 48), "prob")
    expected = decoded(data)[:, :, 8:56]
    views = read_views(data, protocol)
    np.testing.assert_array_equal(views, expected[np.array([[1, 3, 5, 7], [0, 2, 4, 6]])])


def test_dense_clips_start_within_the_places_of_a_64_frame_window():
    protocol = changed(sampling="dense", clip_len=8, frame_interval=8)
    assert protocol.frames(100)[:, 0].tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert str(protocol).startswith("dense 8x8, 10 clips x 3 crops")


def test_a_crop_that_does_not_fit_the_frames_is_refused():
    protocol = Protocol("clips", 2, 1, 1, 32, "center", (32, 64), "prob")
    with pytest.raises(InputError, match="a crop of 32x64 does not fit in a frame of 32x43"):
        read_views(encoded(count=2), protocol)


def test_a_damaged_video_is_sampled_over_the_frames_it_really_has(monkeypatch):
    monkeypatch.setattr(decode.Video, "num_frames", 60)  # what a damaged file may claim
    data = encoded()
    protocol = Protocol("segments", 4, 1, 1, 48, "center", (48, 64), "prob")
    np.testing.assert_array_equal(read_views(data, protocol)[0], decoded(data)[[5, 15, 25, 35]])
