"""Annotation files: the lines that they may have, and the message for each mistake."""

import cv2
import numpy as np
import pytest

from jaxaction.data import annotation_lines, decode
from jaxaction.data.annotations import annotation_source
from jaxaction.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def written(folder, text, name="train.txt"):
    (folder / name).write_text(text)
    return folder / name


def test_lines_are_a_path_and_a_label(folder):
    file = written(folder, "# comment\n\na.mp4 0\nb c.mp4\t2\n")
    source = annotation_source(file)
    assert len(source) == 2
    assert source[0] == ("a.mp4", str(folder / "a.mp4"), 0)
    assert source[1] == ("b c.mp4", str(folder / "b c.mp4"), 2)


def test_an_id_is_the_listed_path(folder):
    source = annotation_source(written(folder, "a.mp4 0\nb c.mp4 1\n"))
    assert [source.id(i) for i in range(2)] == ["a.mp4", "b c.mp4"]


def test_paths_are_relative_to_root_where_given(folder, tmp_path_factory):
    file = written(tmp_path_factory.mktemp("lists"), "a.mp4 0\n")
    assert annotation_source(file, root=folder)[0].video == str(folder / "a.mp4")


def test_labels_are_named_by_their_numbers(folder):
    file = written(folder, "a.mp4 2")
    assert annotation_source(file).label_names == ("0", "1", "2")
    assert annotation_source(file, num_classes=4).label_names == ("0", "1", "2", "3")


def test_labels_are_named_by_a_file_beside_the_list(folder):
    written(folder, "run\njump high\n", "labels.txt")
    assert annotation_source(written(folder, "a.mp4 1")).label_names == ("run", "jump high")


def test_a_label_without_a_name_is_refused_with_its_line(folder):
    written(folder, "run\n", "labels.txt")
    message = "labels.txt names 1 labels, but .*train.txt:2 has label 1 .*; name every label, one a"
    with pytest.raises(InputError, match=message):
        annotation_source(written(folder, "a.mp4 0\nb c.mp4 1"), num_classes=12)


def test_fewer_names_than_classes_are_refused_with_the_way_to_take_the_number_from_them(folder):
    written(folder, "run\njump\nsit\n", "labels.txt")
    message = "labels.txt names 3 labels, but there are 12 classes.*; set model.num_classes=0 to"
    file = written(folder, "a.mp4 1")
    with pytest.raises(InputError, match=message):
        annotation_source(file, num_classes=12)
    assert len(annotation_source(file, num_classes=0).label_names) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.txt lists no videos"),
        ("# only this\n\n", "train.txt lists no videos"),
        ("a.mp4 0\na.mp4\n", "train.txt:2: 'a.mp4' is not `path label`"),
        ("a.mp4 0\nb c.mp4\n", "train.txt:2: label 'c.mp4' is not a whole number"),
        ("a.mp4 one\n", "train.txt:1: label 'one' is not a whole number"),
        ("a.mp4 1.0\n", "train.txt:1: label '1.0' is not a whole number"),
        ("a.mp4 -1\n", "train.txt:1: label -1 is negative"),
        ("\na.mp4 5\n", "train.txt:2: label 5 is not below the number of classes, 5"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(folder, text, message):
    with pytest.raises(InputError, match=message) as raised:
        annotation_source(written(folder, text), num_classes=5)
    assert "\n" not in str(raised.value)


def test_many_lines_with_one_mistake_get_one_message_with_their_number(folder):
    rows = [f"a.mp4,class {i}\n" for i in range(27)]
    refused = []
    with pytest.raises(InputError, match=r"train.csv:2: label 'class 0' .* \(the same in 26 more"):
        annotation_source(written(folder, "path,label\n" + "".join(rows), "train.csv"))
    text = "path,label\n,1\n" + "".join(rows) + "a.mp4,0\n"
    file = written(folder, text, "train.csv")
    entries = annotation_lines.read_entries(file, folder, (), False, refused.append)
    assert [entry.labels for entry in entries] == [(0,)]
    assert str(refused[0]).endswith("train.csv:2: the line lacks a path")
    assert "train.csv:3: label 'class 0' is neither" in str(refused[1])
    assert str(refused[1]).endswith("(the same in 26 more lines)") and len(refused) == 2


def test_a_few_lines_with_one_mistake_are_named_one_by_one(folder):
    file, refused = written(folder, "a.mp4 x\nb c.mp4 y\na.mp4\na.mp4 z\n"), []
    annotation_lines.read_entries(file, folder, (), False, refused.append)
    assert [str(error).split(": ")[0].rpartition(":")[2] for error in refused] == list("1234")


def test_a_folder_instead_of_a_list_is_refused_with_the_form_of_a_list(tmp_path):
    message = "is a folder; name a text file that lists its videos, one a line: the path and the la"
    with pytest.raises(InputError, match=message):
        annotation_source(tmp_path)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere.txt does not exist"):
        annotation_source(tmp_path / "nowhere.txt")


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="list.txt cannot be read as text"):
        annotation_source(tmp_path / "list.txt")


def test_one_missing_video_is_left_to_the_loader(folder):
    assert len(annotation_source(written(folder, "a.mp4 0\ngone.mp4 1\n"))) == 2


def test_a_list_of_missing_videos_only_is_refused_at_once(folder):
    with pytest.raises(InputError, match="none of the 2 videos in .* exists .*set data.root"):
        annotation_source(written(folder, "gone.mp4 0\nlost.mp4 1\n"))


def test_a_csv_counts_by_the_names_of_its_columns(folder):
    file = written(folder, "split,Video_Path,label\ntrain,a.mp4,3\ntrain,b c.mp4,0\n", "train.csv")
    source = annotation_source(file)
    assert [(r.id, r.label) for r in (source[0], source[1])] == [("a.mp4", 3), ("b c.mp4", 0)]


def test_a_csv_may_name_labels_by_the_words_of_labels_txt(folder):
    written(folder, "jump\nrun, fast\n", "labels.txt")
    source = annotation_source(written(folder, 'path,label\na.mp4,"run, fast"\n', "train.csv"))
    assert source[0].label == 1
    assert source.label_names == ("jump", "run, fast")


def test_a_csv_without_a_header_is_lines_of_a_path_and_a_label(folder):
    assert annotation_source(written(folder, "a.mp4 0\nb c.mp4 1\n", "train.csv"))[1].label == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4,0\n", "train.csv: the header a.mp4, 0 names none of path, video_path"),
        ("path,kind\na.mp4,0\n", "the header path, kind names none of label, labels"),
        ("path,label\na.mp4,\n", "train.csv:2: the line lacks a label"),
        ("path,label\n,1\n", "train.csv:2: the line lacks a path"),
        ("path,label\na.mp4,run\n", "train.csv:2: label 'run' is neither a whole number nor"),
    ],
)
def test_a_bad_csv_is_refused(folder, text, message):
    with pytest.raises(InputError, match=message):
        annotation_source(written(folder, text, "train.csv"))


def test_with_multi_label_every_number_at_the_end_is_a_label(folder):
    source = annotation_source(written(folder, "a.mp4 0 4 2\nb c.mp4 1\n"), multi_label=True)
    assert [source[i].label for i in range(2)] == [(0, 4, 2), (1,)]
    assert source[1].id == "b c.mp4"
    assert len(source.label_names) == 5


@pytest.mark.parametrize("first", ["a.mp4 0\n", "gone 7.mp4 3 0\n", ""])
def test_several_labels_without_multi_label_are_refused(folder, first):
    file = written(folder, first + "b c.mp4 1 0 12\n")
    message = rf"train.txt:{2 if first else 1} ends in several numbers; set data.multi_label=True"
    with pytest.raises(InputError, match=message):
        annotation_source(file)


def test_a_path_may_end_in_a_number(folder):
    for name in ("b", "b 7", "c"):
        (folder / name).write_bytes(b"x")
    source = annotation_source(written(folder, "a.mp4 0\nb 7 0\nb 8 1\n"))
    assert [source.id(i) for i in range(3)] == ["a.mp4", "b 7", "b 8"]


def test_several_labels_in_a_csv_are_separated_by_spaces_or_semicolons(folder):
    file = written(folder, "path,labels\na.mp4,0 4\nb c.mp4,1;2;3\n", "train.csv")
    source = annotation_source(file, multi_label=True)
    assert [source[i].label for i in range(2)] == [(0, 4), (1, 2, 3)]


@pytest.fixture
def frames(tmp_path):
    """Two folders of frames: five pictures from 1 on, of colours and of flow; three from 0 on."""
    for folder, numbers, names in (
        ("run 1", range(1, 6), ("img_{:05}.jpg", "x_{:05}.jpg", "y_{:05}.jpg")),
        ("jump", range(3), ("{:03}.png",)),
    ):
        (tmp_path / folder).mkdir()
        for i in numbers:
            for shade, name in enumerate(names):
                picture = np.full((8, 12, 3), 40 * i + shade, np.uint8)
                cv2.imwrite(str(tmp_path / folder / name.format(i)), picture)
    return tmp_path


def opened(source, index):
    with decode.open_video(source[index].video) as video:
        return video.num_frames, video.read(range(video.num_frames))


def test_a_folder_of_frames_is_read_from_its_first_number_on(frames):
    source = annotation_source(written(frames, "run 1 1\njump 0\n"))
    assert [source[i].label for i in range(2)] == [1, 0]
    count, pictures = opened(source, 0)
    assert (count, pictures.shape) == (5, (5, 8, 12, 3))
    assert abs(pictures.mean(axis=(1, 2, 3)) - 40 * np.arange(1, 6)).max() < 2  # JPEG
    assert (opened(source, 1)[1][:, 0, 0, 0] == [0, 40, 80]).all()


def test_the_number_of_frames_may_stand_before_the_label(frames):
    source = annotation_source(written(frames, "gone 7 2\nrun 1 4 1\njump 3 0\n"))
    assert [(source[i].id, source[i].label) for i in range(3)] == [
        ("gone", 2),
        ("run 1", 1),
        ("jump", 0),
    ]
    assert opened(source, 1)[0] == 4


def test_with_several_labels_the_first_number_after_a_folder_counts_frames(frames):
    source = annotation_source(written(frames, "jump 3 2 3\njump 3 0\n"), multi_label=True)
    assert [source[i].label for i in range(2)] == [(2, 3), (0,)]
    assert opened(source, 0)[0] == 3


def test_flow_is_the_pair_of_x_and_y(frames):
    source = annotation_source(written(frames, "run 1 5 0\n"), modality="flow")
    count, pictures = opened(source, 0)
    assert (count, pictures.shape) == (5, (5, 8, 12, 2))
    np.testing.assert_array_equal(pictures[:, 0, 0, 0], 40 * np.arange(1, 6) + 1)
    np.testing.assert_array_equal(pictures[:, 0, 0, 1], 40 * np.arange(1, 6) + 2)


@pytest.mark.parametrize(
    ("line", "modality", "message"),
    [
        ("run 1 6 0", "rgb", "run 1 is listed with 6 frames, but has 5"),
        ("jump 3 0", "flow", "jump contains no pairs of series x_\\* and y_\\* of flow"),
        ("empty 3 0", "rgb", "empty contains no numbered pictures, such as img_00001.jpg"),
        ("gap 2 0", "rgb", "gap lacks the picture with number 2"),
        ("two 1 0", "rgb", "two contains 2 series of numbered pictures, a\\*.png, b\\*.png; l"),
    ],
)
def test_a_folder_that_is_not_as_listed_is_named(frames, line, modality, message):
    folders = {"empty": (), "gap": ("1.png", "3.png"), "two": ("a1.png", "b1.png")}
    for name, files in folders.items():
        (frames / name).mkdir()
        for file in files:
            cv2.imwrite(str(frames / name / file), np.zeros((4, 4, 3), np.uint8))
    (frames / "clips").mkdir()
    (frames / "clips" / "a.mp4").write_bytes(b"")
    source = annotation_source(written(frames, line), modality=modality)
    with pytest.raises(decode.DecodeError, match=message):
        opened(source, 0)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("1.mp4", "2.MP4"), r"clips is a folder of video files \(2 video files.*; list each file"),
        (("1.mp4",), r"clips is a folder of video files \(a video file.*clips/1.mp4 LABEL`"),
        (("x_1.png", "y_1.png"), "clips contains only pictures of flow.* set data.modality=flow"),
        (("cover.png",), "clips contains no numbered pictures"),
    ],
)
def test_a_folder_without_numbered_pictures_is_refused_with_its_content(tmp_path, files, message):
    (tmp_path / "clips").mkdir()
    for file in files:
        (tmp_path / "clips" / file).write_bytes(b"x")
    source = annotation_source(written(tmp_path, "clips 0"))
    with pytest.raises(decode.DecodeError, match=message):
        opened(source, 0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("jump\n\nrun\n", r"labels.txt:2 is blank, so the labels after it would get wrong names"),
        ("jump\nrun\njump\n", "labels.txt has the name 'jump' twice"),
    ],
)
def test_label_names_that_would_be_ambiguous_are_refused(folder, names, message):
    written(folder, names, "labels.txt")
    with pytest.raises(InputError, match=message):
        annotation_source(written(folder, "a.mp4 1"))


def test_blank_lines_after_the_last_name_are_fine(folder):
    written(folder, "run\njump\n\n\n", "labels.txt")
    assert annotation_source(written(folder, "a.mp4 1")).label_names == ("run", "jump")


def test_an_id_in_place_of_a_label_is_refused_before_memory_is_spent(folder):
    with pytest.raises(
        InputError, match="train.txt:2: label 2430467129123 is no number of a class"
    ):
        annotation_source(written(folder, "a.mp4 0\na.mp4 2430467129123"))


def test_hidden_files_of_a_mac_are_no_frames(frames):
    (frames / "jump" / "._001.png").write_bytes(b"Mac OS X")
    (frames / "jump" / ".DS_Store").write_bytes(b"")
    count, _ = opened(annotation_source(written(frames, "jump 0")), 0)
    assert count == len(list((frames / "jump").glob("[0-9]*.png")))


def test_a_damaged_picture_is_named_with_its_frame(frames):
    (frames / "jump" / "001.png").write_bytes(b"no picture")
    source = annotation_source(written(frames, "jump 0"))
    with pytest.raises(decode.DecodeError, match="frame 1 of .*jump is not a readable picture"):
        opened(source, 0)


def test_frames_with_and_without_their_number_do_not_mix(frames):
    with pytest.raises(InputError, match="train.txt:2: jump is listed without its number of fra"):
        annotation_source(written(frames, "run 1 5 1\njump 0\n"))


def test_flow_of_video_files_is_refused_with_the_way_to_make_it(folder):
    with pytest.raises(InputError, match="data.modality flow is read from folders.*data flow"):
        annotation_source(written(folder, "a.mp4 0\n"), modality="flow")
