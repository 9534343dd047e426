import numpy as np
import pytest

from jaxaction.data.records import Record
from jaxaction.data.stills import FrameFolder
from jaxaction.errors import InputError
from jaxaction.training.bad_videos import BadVideos
from tests.data.videos import encoded


class Videos(list):
    def id(self, index):
        return self[index].id


def bad_videos(share, known=(), count=20, video="nowhere.mp4"):
    lines = []
    videos = Videos(Record(f"video{i}", video, 0) for i in range(count))
    return BadVideos(videos, share, known, lines.append), lines


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
