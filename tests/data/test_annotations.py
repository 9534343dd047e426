"""Annotation files: what they may hold, and how a mistake in them is told."""

import pytest

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


def test_an_id_is_the_path_as_it_is_listed(folder):
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


def test_too_few_label_names_are_refused(folder):
    written(folder, "run\n", "labels.txt")
    with pytest.raises(InputError, match="labels.txt names 1 labels, but there are 2"):
        annotation_source(written(folder, "a.mp4 1"))


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
def test_a_bad_line_is_told_with_its_number(folder, text, message):
    with pytest.raises(InputError, match=message) as raised:
        annotation_source(written(folder, text), num_classes=5)
    assert "\n" not in str(raised.value)


def test_a_missing_list_is_told(tmp_path):
    with pytest.raises(InputError, match="nowhere.txt does not exist"):
        annotation_source(tmp_path / "nowhere.txt")


def test_a_list_that_is_no_text_is_told(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="list.txt cannot be read as text"):
        annotation_source(tmp_path / "list.txt")


def test_one_missing_video_is_left_to_the_loader(folder):
    assert len(annotation_source(written(folder, "a.mp4 0\ngone.mp4 1\n"))) == 2


def test_a_list_of_nothing_but_missing_videos_is_told_at_once(folder):
    with pytest.raises(InputError, match="none of the 2 videos in .* exists .*set data.root"):
        annotation_source(written(folder, "gone.mp4 0\nlost.mp4 1\n"))
