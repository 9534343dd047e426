"""`data check`: every mistake in lists and videos is told, with its line, and none is made up."""

import argparse
import tempfile

import cv2
import pytest

from jaxaction.commands.data import check, check_lists
from jaxaction.data import inspect_videos
from jaxaction.errors import InputError
from tests.data.videos import encoded, pictures


@pytest.fixture(scope="module")
def clips():
    """Five different videos, of 5 to 9 frames."""
    return [encoded(count=5 + i) for i in range(5)]


@pytest.fixture
def folder(tmp_path, clips):
    for i, clip in enumerate(clips):
        (tmp_path / f"{i}.mp4").write_bytes(clip)
    return tmp_path


def written(folder, name, *lines):
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return str(folder / name)


@pytest.fixture
def run(folder, capsys, monkeypatch):
    """The command on lists in `folder`; returns its exit code and what it printed."""
    monkeypatch.chdir(folder)

    def command(*argv):
        parser = argparse.ArgumentParser()
        check.add_arguments(parser)
        code = check.main(parser.parse_args(list(argv)))
        return code, capsys.readouterr().out.splitlines()

    return command


def test_lists_without_a_mistake_end_with_0(folder, run):
    written(folder, "train.txt", "0.mp4 0", "1.mp4 1", "2.mp4 1")
    written(folder, "test.txt", "3.mp4 0", "4.mp4 1")
    assert run("train.txt", "test.txt") == (
        0,
        [
            "train.txt: 3 videos, 2 classes of 1 to 2 videos (median 1.5); "
            "5 to 7 frames (median 6)",
            "test.txt: 2 videos, 2 classes of 1 video; 8 to 9 frames (median 8.5)",
            "no problems",
        ],
    )


def test_every_line_that_is_refused_is_told(folder, run):
    written(folder, "l.txt", "0.mp4 x", "# a comment", "1.mp4 -1", "alone", "2.mp4 0", "3.mp4 0.5")
    code, lines = run("l.txt")
    assert code == 1
    assert lines[:4] == [
        "l.txt:1: label 'x' is not a whole number",
        "l.txt:4: 'alone' is not `path label`",
        "l.txt:6: label '0.5' is not a whole number",
        "l.txt:3: label -1 is negative; labels count from 0",
    ]
    assert lines[4:] == ["l.txt: 1 video, 1 class of 1 video; 7 frames", "4 problems"]


def test_a_csv_is_read_to_its_end(folder, run):
    written(folder, "labels.txt", "walk", "run")
    written(folder, "l.csv", "path,label", "0.mp4,walk", "1.mp4,fly", "2.mp4,run", ",run")
    code, lines = run("l.csv")
    assert code == 1 and len(lines) == 4
    assert lines[0].startswith("l.csv:3: label 'fly' is neither a whole number nor a line")
    assert lines[1].startswith("l.csv:5: ")
    assert lines[2].startswith("l.csv: 2 videos, 2 classes of 1 video")


def test_videos_that_cannot_be_read_are_named_with_the_reason(folder, run):
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    written(folder, "l.txt", "0.mp4 0", "text.mp4 0", "empty.mp4 0", "gone.mp4 0")
    code, lines = run("l.txt", "--threads", "2")
    assert code == 1
    assert lines[0].startswith("l.txt:2: text.mp4 cannot be opened as a video: ")
    assert lines[1:3] == [
        "l.txt:3: empty.mp4 is empty: 0 bytes",
        "l.txt:4: gone.mp4 does not exist",
    ]
    assert lines[3] == "l.txt: 4 videos, 1 class of 4 videos; 5 frames"


def test_a_file_that_was_cut_off_is_found_by_decoding_only(folder, run):
    complete = encoded(count=60, path=folder / "whole.mp4", muxer={"movflags": "faststart"})
    (folder / "cut.mp4").write_bytes(complete[: len(complete) // 2])
    written(folder, "l.txt", "whole.mp4 0", "cut.mp4 0")
    code, lines = run("l.txt")
    assert code == 1 and lines[0].startswith("l.txt:2: cut.mp4 is cut off or damaged: ")
    assert lines[0].endswith(" of 60 frames can be decoded")
    assert run("l.txt", "--quick")[0] == 0


def test_the_same_file_twice_in_a_list_is_told(folder, run):
    written(folder, "l.txt", "0.mp4 0", "1.mp4 1", "./0.mp4 0", "1.mp4 0")
    assert run("l.txt")[1][:2] == [
        "l.txt:3: ./0.mp4 is listed in l.txt:1 already",
        "l.txt:4: 1.mp4 is listed in l.txt:2 already, with another label",
    ]


def test_the_same_content_under_two_names_is_told(folder, run):
    (folder / "copy.mp4").write_bytes((folder / "0.mp4").read_bytes())
    written(folder, "l.txt", "0.mp4 0", "1.mp4 1", "copy.mp4 1")
    code, lines = run("l.txt")
    assert code == 1
    assert lines[0] == "l.txt:3: copy.mp4 is a copy of 0.mp4 (l.txt:1), with another label"


def test_only_files_of_one_size_are_compared(folder, clips):
    changed = bytearray(clips[0])
    changed[-1] ^= 1
    (folder / "same size.mp4").write_bytes(changed)
    assert inspect_videos.find_copies([folder / "0.mp4", folder / "same size.mp4"], 2) == []


def test_a_video_of_both_lists_is_a_leak(folder, run):
    (folder / "copy.mp4").write_bytes((folder / "1.mp4").read_bytes())
    written(folder, "train.txt", "0.mp4 0", "1.mp4 0")
    written(folder, "test.txt", "0.mp4 0", "copy.mp4 0", "2.mp4 0")
    code, lines = run("train.txt", "test.txt")
    assert code == 1
    assert lines[:2] == [
        "test.txt:1: 0.mp4 is in train.txt:1, too: lists share a video",
        "test.txt:2: copy.mp4 is a copy of 1.mp4 (train.txt:2): lists share a video",
    ]


def test_the_same_name_in_another_folder_is_a_remark_alone(folder, run, clips):
    (folder / "other").mkdir()
    (folder / "other" / "0.avi").write_bytes(clips[3])
    written(folder, "train.txt", "0.mp4 0")
    written(folder, "test.txt", "other/0.avi 0")
    code, lines = run("train.txt", "test.txt")
    assert code == 0
    assert lines[-2] == (
        "train.txt, test.txt: 1 video has the same name in other folders, first 0.mp4 and "
        "other/0.avi"
    )


def test_labels_without_a_video_or_a_name_are_told(folder, run):
    written(folder, "labels.txt", "a", "b", "c")
    written(folder, "l.txt", "0.mp4 1", "1.mp4 4")
    assert run("l.txt")[1][:2] == [
        "l.txt: no video has label 0, 2-3; labels should run without a gap from 0 to the highest, "
        "4",
        "l.txt: label 4 has no name; labels.txt beside it has 3 lines",
    ]


def test_rare_labels_and_the_last_unused_ones_are_remarks(tmp_path):
    written(tmp_path, "labels.txt", "a", "b", "c", "d")
    labels = [0] * 25 + [1] * 21 + [2] * 2
    videos = [check_lists.ListedVideo("", "", "", (label,)) for label in labels]
    assert list(check_lists.label_problems(str(tmp_path / "l.txt"), videos)) == []
    unused, rare = check_lists.label_remarks(str(tmp_path / "l.txt"), videos)
    assert unused.endswith("no video has label 3, the last of labels.txt beside it")
    assert rare.endswith("less than a tenth of the usual 21 videos have label 2")


def test_short_videos_are_named_where_a_length_is_asked_for(folder, run):
    written(folder, "l.txt", "0.mp4 0", "1.mp4 0")
    code, lines = run("l.txt", "--frames", "6")
    assert code == 1 and lines[0] == "l.txt:1: 0.mp4 has 5 frames, fewer than 6"


def test_several_labels_a_video(folder, run):
    written(folder, "l.txt", "0.mp4 0 2", "1.mp4 1", "2.mp4 1 2")
    code, lines = run("l.txt", "--multi-label")
    assert code == 0
    assert lines[0].startswith("l.txt: 3 videos, 3 classes of 1 to 2 videos (median 2)")


def frames(folder, name, axes=("img_",), count=3):
    (folder / name).mkdir()
    for i, picture in enumerate(pictures(count)):
        for axis in axes:
            cv2.imwrite(str(folder / name / f"{axis}{i:05}.jpg"), picture)


def test_every_picture_of_a_folder_is_opened(folder, run):
    for name in ("good", "bad", "same"):
        frames(folder, name)
    (folder / "bad" / "img_00001.jpg").write_bytes(b"no picture")
    written(folder, "l.txt", "good 3 0", "bad 3 0", "same 3 0")
    code, lines = run("l.txt")
    assert code == 1
    assert "bad" in lines[0] and "frame 1" in lines[0] and lines[0].startswith("l.txt:2: ")
    assert lines[1] == "l.txt:3: same is a copy of good (l.txt:1)"
    assert lines[-2] == "l.txt: 3 videos, 1 class of 3 videos; 3 frames"


def test_flow_is_read_as_such(folder, run):
    frames(folder, "flow", ("x_", "y_"))
    frames(folder, "colours")
    written(folder, "l.txt", "flow 3 0", "colours 3 0")
    code, lines = run("l.txt", "--modality", "flow")
    assert code == 1 and lines[0].startswith("l.txt:2: colours contains no pairs of series")


def test_paths_are_relative_to_the_root(folder, run):
    (folder / "lists").mkdir()
    written(folder, "lists/l.txt", "0.mp4 0")
    assert run("lists/l.txt", "--root", str(folder))[0] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["gone.txt"], "gone.txt does not exist"),
        (["none.txt"], "none of the 1 videos in none.txt exists .* set --root to the folder"),
        (["empty.txt"], "empty.txt lists no videos"),
        (["l.txt", "./l.txt"], "a list is named twice"),
        (["l.txt", "--threads", "-1"], "--threads -1: give 1 or more"),
        (["."], r"^\. is a folder; name a text file that lists its videos, one a line: the path "),
        (["0.mp4"], r"0.mp4 cannot be read as text in UTF-8; name a list with one `path label` a "),
        (["many.txt"], "many.txt:2 ends in several numbers; set --multi-label if they are labels"),
        (["l.txt", "--modality", "flow"], "l.txt lists videos .* --modality flow"),
    ],
)
def test_a_file_that_is_no_list_ends_with_one_line(folder, run, argv, message):
    written(folder, "l.txt", "0.mp4 0")
    written(folder, "none.txt", "gone.mp4 0")
    written(folder, "empty.txt", "# nothing")
    written(folder, "many.txt", "0.mp4 0", "1.mp4 1 0")
    with pytest.raises(InputError, match=message) as error:
        run(*argv)
    assert "\n" not in str(error.value) and tempfile.gettempdir() not in str(error.value)


def test_progress_is_told_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(inspect_videos, "SECONDS_BETWEEN_LINES", -1.0)
    assert inspect_videos.map_in_threads(str, [1, 2], 2, "decoded") == ["1", "2"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "decoded 1 of 2 videos",
        "decoded 2 of 2 videos",
    ]
