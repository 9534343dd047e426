"""Frame numbers: MMAction2's own rows in test mode, its rules in training."""

import gzip
import json

import numpy as np

from jaxaction.data import sampling
from tests.paths import PARITY


def rows(kind):
    with gzip.open(PARITY / "pipeline.json.gz") as file:
        return [row for row in json.load(file)["sampling"] if row["kind"] == kind]


def sample_frames(row):
    n, clip_len, num_clips = row["total_frames"], row["clip_len"], row["num_clips"]
    if clip_len == 1:
        return sampling.segments(n, num_clips, row["twice_sample"])
    past_end = {"loop": sampling.loop, "repeat_last": sampling.repeat_last}[row["out_of_bound"]]
    return sampling.clips(n, clip_len, row["frame_interval"], num_clips, past_end)


def test_sample_frames_equals_every_row_of_mmaction2():
    known_rows = rows("SampleFrames")
    for row in known_rows:
        assert sample_frames(row).ravel().tolist() == row["frames"], row
    assert len(known_rows) == 168


def test_dense_sample_frames_equals_every_row_of_mmaction2():
    known_rows = rows("DenseSampleFrames")
    for row in known_rows:
        n, clip_len, interval = row["total_frames"], row["clip_len"], row["frame_interval"]
        if clip_len == 1:
            clip_len, interval = row["num_clips"], row["sample_range"] // row["num_clips"]
        frames = sampling.dense(n, clip_len, interval, row["num_sample_positions"])
        assert frames.ravel().tolist() == row["frames"], row
    assert len(known_rows) == 21


def test_uniform_sample_equals_every_row_of_mmaction2():
    known_rows = rows("UniformSample")
    for row in known_rows:
        frames = sampling.uniform(row["total_frames"], row["clip_len"], row["num_clips"])
        assert frames.ravel().tolist() == row["frames"], row
    assert len(known_rows) == 14


def test_clips_at_a_frame_rate_equal_every_row_of_mmaction2():
    with gzip.open(PARITY / "target_fps.json.gz") as file:
        known_rows = json.load(file)
    for row in known_rows:
        counts = (row["total_frames"], row["clip_len"], row["frame_interval"], row["num_clips"])
        past_end = sampling.PAST_END[row["out_of_bound"]]
        frames = sampling.paced_clips(*counts, row["fps"] / 30, past_end)
        assert frames.ravel().tolist() == row["frames"], row
    assert len(known_rows) == 144


def test_centered_clips_lie_in_the_middles_of_equal_parts():
    # 20 - 4 * 2 + 1 = 13 places; parts of 13 / 3 begin at 0, 4.3, 8.7; half of one is 2.2
    frames = sampling.centered_clips(20, 4, 2, 3)
    assert frames.tolist() == [[2, 4, 6, 8], [6, 8, 10, 12], [10, 12, 14, 16]]


def test_centered_clips_of_a_short_video_all_begin_at_its_first_frame():
    assert sampling.centered_clips(7, 4, 2, 2).tolist() == [[0, 2, 4, 6]] * 2
    assert sampling.centered_clips(5, 4, 2, 2).tolist() == [[0, 2, 4, 1]] * 2
    last = sampling.centered_clips(5, 4, 2, 1, sampling.repeat_last)
    assert last.tolist() == [[0, 2, 4, 4]]


def test_a_test_clip_longer_than_the_video_starts_over():
    assert sampling.clips(3, 5, 1, 1).tolist() == [[0, 1, 2, 0, 1]]


def test_training_clips_lie_inside_the_video_and_reach_every_place():
    rng = np.random.default_rng(0)
    starts = {int(sampling.random_clips(20, 8, 2, 1, rng)[0, 0]) for _ in range(200)}
    assert starts == {0, 1, 2, 3, 4}


def test_training_clips_of_a_short_video_start_over_at_its_end():
    rng = np.random.default_rng(0)
    assert sampling.random_clips(3, 4, 1, 1, rng).tolist() == [[0, 1, 2, 0]]


def test_training_segments_take_one_frame_from_each_equal_part():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([sampling.random_segments(12, 3, rng) for _ in range(200)])
    assert [sorted(set(column)) for column in drawn.T.tolist()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_training_segments_of_a_video_with_too_few_frames_repeat_some():
    rng = np.random.default_rng(0)
    # ratio 4/8: round to even of 0, .5, 1, 1.5, 2, 2.5, 3, 3.5, as numpy's around
    assert sampling.random_segments(4, 8, rng).tolist() == [[0, 0, 1, 2, 2, 2, 3, 0]]


def test_dense_training_clips_never_take_the_last_legal_start():
    rng = np.random.default_rng(0)
    starts = {int(sampling.random_dense(67, 8, 8, rng)[0, 0]) for _ in range(100)}
    assert starts == {0, 1, 2}


def test_dense_training_clips_of_a_short_video_start_at_its_first_frame():
    rng = np.random.default_rng(0)
    assert sampling.random_dense(10, 8, 8, rng).tolist() == [[0, 8, 6, 4, 2, 0, 8, 6]]


def test_training_segments_of_stacked_frames_take_frames_in_a_row():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([sampling.random_segments(20, 3, rng, stack=2) for _ in range(200)])
    parts = drawn.reshape(-1, 3, 2)
    assert (parts[..., 1] == parts[..., 0] + 1).all()
    # 20 - 2 + 1 = 19 places, 6 a part, as MMAction2's floor has it
    assert [sorted(set(column)) for column in parts[..., 0].T.tolist()] == [
        list(range(6)),
        list(range(6, 12)),
        list(range(12, 18)),
    ]


def test_training_clips_at_a_frame_rate_cover_the_same_time():
    rng = np.random.default_rng(0)
    drawn = np.array([sampling.random_paced_clip(100, 8, 4, 2.0, rng)[0] for _ in range(500)])
    # 8 * 4 * 2 = 64 frames; 37 places for them
    assert sorted(set(drawn[:, 0].tolist())) == list(range(37))
    assert ((drawn - drawn[:, :1]) == [0, 9, 18, 27, 36, 45, 54, 63]).all()


def test_uniform_training_clips_take_a_frame_of_every_part_ends_included():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([sampling.random_uniform(50, 8, rng) for _ in range(500)])
    # MMAction2's, of 3000 draws
    assert drawn.min(0).tolist() == [0, 6, 12, 18, 24, 31, 37, 43]
    assert drawn.max(0).tolist() == [6, 12, 18, 24, 31, 37, 43, 49]


def test_training_clips_past_the_end_may_repeat_the_last_frame():
    rng = np.random.default_rng(0)
    assert sampling.random_clips(3, 5, 1, 1, rng, sampling.repeat_last).tolist() == [
        [0, 1, 2, 2, 2]
    ]
