"""The test protocol: its values, its text, and the views that it makes of a video."""

import dataclasses
import itertools
import json

import cv2
import numpy as np
import pytest

from jaxaction.data import decode, transforms
from jaxaction.data.protocol import Protocol, check_protocol, read_views
from jaxaction.data.stills import FrameFolder
from jaxaction.errors import InputError
from tests.data.videos import decoded, encoded

PAPER = Protocol("clips", 32, 2, 10, 256, "three", (256, 256), "prob")
SMALL = Protocol("clips", 4, 2, 3, 32, "three", (32, 32), "prob")

NEW_FIELDS = ("modality", "stack", "placement", "past_end", "target_fps")


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


@pytest.mark.usefixtures("values_of_wrong_types")
def test_sizes_given_as_lists_become_tuples():
    assert hash(changed(size=[256, 256])) == hash(PAPER)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crops": "four"}, "test.crops 'four' is not one of center, three, ten"),
        ({"sampling": "all"}, "test.sampling 'all' is not one of clips, segments, dense, uniform"),
        ({"modality": "sound"}, "test.modality 'sound' is not one of rgb, flow"),
        ({"placement": "middle"}, "test.placement 'middle' is not one of ends, centers"),
        ({"past_end": "stop"}, "test.past_end 'stop' is not one of loop, repeat_last"),
        ({"stack": 0}, "test.stack 0 is not a whole number above 0"),
        ({"stack": 5}, "test.stack 5 is possible with one view of segments only"),
        ({"target_fps": -1.0}, "test.target_fps -1.0 is not possible with test.sampling clips"),
        (
            {"target_fps": 30.0, "sampling": "dense"},
            "test.target_fps 30.0 is not possible with test.sampling dense",
        ),
        ({"average": "max"}, "test.average 'max' is not one of prob, score"),
        ({"clip_len": 0}, "test.clip_len 0 is not a whole number above 0"),
        ({"num_clips": 2.5}, "test.num_clips 2.5 is not a whole number above 0"),
        ({"size": (224,)}, r"test.size \(224,\) is not \(height, width\)"),
        ({"sampling": "segments"}, "test.num_clips 10 is not possible with segments"),
        (
            {"size": (288, 288)},
            r"test.size \(288, 288\) does not fit in frames of test.short_side 256; raise"
            " test.short_side to at least 288, or lower the smaller side of test.size to at most"
            " 256$",
        ),
        (
            {"size": (224, 224)},
            "test.crops three needs test.short_side 256 as one side .*; set test.short_side to 224,"
            " or a side of test.size to 256$",
        ),
    ],
)
@pytest.mark.usefixtures("values_of_wrong_types")
def test_an_impossible_value_is_named_with_its_key(fields, message):
    with pytest.raises(InputError, match=message):
        changed(**fields)


def test_the_message_names_the_section_that_is_given():
    with pytest.raises(InputError, match="^val.crops 'four'"):
        check_protocol(dataclasses.asdict(PAPER) | {"crops": "four"}, section="val")


def test_views_put_the_crop_outermost_then_the_clip():
    data = encoded()
    views = read_views(data, SMALL)
    frames = transforms.resize_short_side(decoded(data), 32)  # 32 x 43
    assert views.shape == SMALL.shape == (9, 4, 32, 32, 3)
    lefts = (0, 10, 5)  # 11 pixels to spare, of which MMAction2 leaves the last
    starts = (0, 16, 33)  # 33 / 2 rounded to even, as in MMAction2
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


def test_unusual_values_are_printed():
    flow = changed(sampling="segments", clip_len=25, num_clips=1, modality="flow", stack=5)
    assert str(flow).endswith("(short side 256), prob, flow, 5 frames stacked")
    older = changed(placement="centers", past_end="repeat_last", target_fps=30.0)
    assert str(older).endswith(
        "prob, clips in the middles of parts, the last frame repeated, 30 frames a second"
    )
    assert str(changed(sampling="uniform", num_clips=2)).startswith("uniform 32, 2 clips x 3 crops")


def test_a_protocol_of_an_earlier_version_is_read_as_it_was_meant():
    text = json.dumps({k: v for k, v in json.loads(PAPER.to_json()).items() if k not in NEW_FIELDS})
    assert Protocol.from_json(text) == PAPER


def test_the_placement_of_clips_is_that_of_either_version():
    few = changed(clip_len=4, frame_interval=2, num_clips=3)
    assert few.frames(20)[:, 0].tolist() == [0, 6, 13]
    assert dataclasses.replace(few, placement="centers").frames(20)[:, 0].tolist() == [2, 6, 10]


def test_stacked_segments_are_clips_by_the_rule_of_clips():
    flow = changed(sampling="segments", clip_len=3, num_clips=1, modality="flow", stack=2)
    assert flow.frames(11).tolist() == [[0, 1, 4, 5, 9, 10]]  # 9 / 2 rounded to even
    assert flow.shape == (3, 3, 256, 256, 4)


def test_a_target_frame_rate_spreads_a_clip_over_the_same_time():
    paced = changed(clip_len=4, frame_interval=2, num_clips=1, target_fps=10.0)
    assert paced.frames(40, fps=20.0).tolist() == [[12, 17, 22, 27]]
    assert paced.frames(40, fps=10.0).tolist() == [[16, 18, 20, 23]]
    with pytest.raises(InputError, match="target_fps 10 needs videos with a frame rate, which"):
        paced.frames(40, fps=0.0)


def test_a_video_is_sampled_by_its_own_frame_rate():
    data = encoded(count=40)  # 25 frames a second
    protocol = Protocol("clips", 3, 1, 1, 48, "center", (48, 64), "prob", target_fps=5.0)
    np.testing.assert_array_equal(read_views(data, protocol)[0], decoded(data)[[12, 19, 26]])


def flow_folder(folder, count=6):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (count, 8, 12, 2)).astype(np.uint8)
    for i, frame in enumerate(frames):
        for axis in (0, 1):
            cv2.imwrite(str(folder / f"{'xy'[axis]}_{i + 1:05}.png"), frame[..., axis])
    return FrameFolder(str(folder), modality="flow"), frames


def test_views_of_flow_stack_x_and_y_of_frames_in_a_row(tmp_path):
    video, frames = flow_folder(tmp_path)
    sizes = (8, "center", (8, 12), "score")
    protocol = Protocol("segments", 2, 1, 1, *sizes, modality="flow", stack=3)
    views = read_views(video, protocol)
    assert views.shape == protocol.shape == (1, 2, 8, 12, 6)
    for i, channel in itertools.product(range(6), range(2)):
        pixels = views[0, i // 3, ..., 2 * (i % 3) + channel]
        np.testing.assert_array_equal(pixels, frames[i, ..., channel])


def test_in_mirrored_crops_of_flow_x_points_the_other_way(tmp_path):
    video, frames = flow_folder(tmp_path)
    protocol = Protocol("clips", 6, 1, 1, 8, "ten", (8, 8), "prob", modality="flow")
    crop, mirrored = read_views(video, protocol)[:2]
    np.testing.assert_array_equal(mirrored[..., 0], 255 - crop[:, :, ::-1, 0])
    np.testing.assert_array_equal(mirrored[..., 1], crop[:, :, ::-1, 1])
    np.testing.assert_array_equal(crop, frames[:, :, :8])


def test_a_video_in_colours_is_refused_as_flow():
    protocol = Protocol("clips", 2, 1, 1, 32, "center", (32, 32), "prob", modality="flow")
    with pytest.raises(
        InputError, match="a video with 3 channels is no flow; .*jaxaction data flow"
    ):
        read_views(encoded(count=2), protocol)
