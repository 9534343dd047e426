import time

import numpy as np
import pytest

from jaxaction import text
from jaxaction.data.records import Record
from jaxaction.data.stills import FrameFolder
from jaxaction.errors import InputError
from jaxaction.training import progress
from jaxaction.training.divergence import Guard
from tests import tiny_run
from tests.data.videos import encoded


def test_line_has_all_its_parts():
    values = {"loss": 0.4123, "accuracy": 0.875, "clips_per_second": 52.14}
    values |= {"seconds_per_step": 0.5652, "data_share": 0.031}
    assert progress.line(120, 350, 60, values) == (
        "step 120/350  epoch 2.0  loss 0.412  acc 87.5 %  52.1 clips/s  data 3 %  left 2:10"
    )


def test_the_learning_rate_that_follows_the_batch_is_told(tmp_path):
    config = tiny_run.config(tmp_path)
    assert progress.scaling(config) == ""
    config.optim.reference_batch = 8
    told = " (0.001 for a batch of 8; --config.optim.reference_batch=0 leaves it)"
    assert progress.scaling(config) == told


def test_clock_shows_hours_when_there_are_some():
    assert [text.clock(s) for s in (0, 59.6, 3599, 3661)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:01:01",
    ]


VIDEOS = np.array([0, 1])
GUARD = Guard(rate=lambda step: 0.1, name="video{}".format, max_loss=0.0)


def metrics(loss, norm=1.0):
    return {"loss": np.float32(loss), "grad_norm": np.float32(norm), "accuracy": np.float32(0.5)}


def test_window_averages_its_steps():
    window = progress.Window(10)
    window.add(metrics(1.0), VIDEOS)
    window.add(metrics(2.0), VIDEOS)
    window.check(GUARD)
    values = window.means(batch_size=4)
    assert window.step == 12
    assert values["loss"] == 1.5
    assert values["clips_per_second"] == pytest.approx(4 / values["seconds_per_step"])


def test_waiting_for_data_counts_and_a_pause_does_not():
    def slow():
        time.sleep(0.05)
        yield {}

    window = progress.Window(0)
    window.next_batch(slow())
    window.add(metrics(1.0), VIDEOS)
    with window.paused():
        time.sleep(0.2)
    values = window.means(batch_size=1)
    # Both sleeps may take longer on a busy machine; the pause must not be in the step's time.
    assert 0.05 <= values["seconds_per_step"] < 0.2
    assert values["data_share"] > 0.5


def test_the_first_step_that_went_wrong_is_named_with_its_videos():
    window = progress.Window(10)
    for i, loss in enumerate((1.0, np.nan, np.nan)):
        window.add(metrics(loss), np.array([2 * i, 2 * i + 1]))
    with pytest.raises(InputError, match="^step 12: loss is nan; .* videos video2, video3;"):
        window.check(GUARD)


class Videos(list):
    def id(self, index):
        return self[index].id


def bad_videos(share, known=(), count=20, video="nowhere.mp4"):
    lines = []
    videos = Videos(Record(f"video{i}", video, 0) for i in range(count))
    return progress.BadVideos(videos, share, known, lines.append), lines


def test_a_bad_video_is_named_once():
    bad, lines = bad_videos(0.1)
    bad.note(np.array([-1, 3, 3, -1]))
    bad.note(np.array([3, -1]))
    assert lines == [
        "video3 can't be read (does not exist), another video takes its place; bad videos so far:"
        " 1 of 20"
    ]
    assert bad.known == [3]


@pytest.mark.parametrize(
    ("video", "why"),
    [
        (b"", " (is empty: 0 bytes)"),
        (b"no video", " (cannot be opened as a video: Invalid data found when processing input)"),
        ([], " (is empty: 0 pictures)"),
        (FrameFolder("nowhere"), " (does not exist)"),
        (encoded(count=2), ""),  # its end may be reached, and still not what training asks for
    ],
)
def test_a_bad_video_is_named_with_the_reason(video, why):
    bad, lines = bad_videos(0.1, video=video)
    bad.note(np.array([3]))
    assert lines[0].startswith(f"video3 can't be read{why}, another video")


def test_a_file_that_is_cut_off_is_said_to_be(tmp_path):
    whole = encoded(count=60, path=tmp_path / "a.mp4", muxer={"movflags": "faststart"})
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    bad, lines = bad_videos(0.1, video=str(tmp_path / "a.mp4"))
    bad.note(np.array([3]))
    assert "video3 can't be read (is cut off or damaged: " in lines[0]


def test_one_bad_video_is_always_allowed_unless_the_share_is_zero():
    bad, _ = bad_videos(0.01)
    bad.note(np.array([3]))
    strict, _ = bad_videos(0.0)
    with pytest.raises(InputError, match="1 of 20 videos can't be read"):
        strict.note(np.array([3]))


def test_too_many_bad_videos_end_the_run_also_after_a_restart():
    bad, _ = bad_videos(0.1, known=(1, 2))
    with pytest.raises(InputError, match="3 of 20 videos can't be read .*data.max_bad_share 0.1"):
        bad.note(np.array([7]))
