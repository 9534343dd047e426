"""`data show`: the loader's own clips on a sheet, and nothing overwritten."""

import argparse

import cv2
import numpy as np
import pytest

from jaxaction import data
from jaxaction.commands.data import show, show_sheet
from jaxaction.commands.data.show_sheet import GAP, TEXT_HEIGHT, Row
from jaxaction.errors import InputError
from jaxaction.storage import workdir
from jaxaction.training import setup
from tests import tiny_run

CONFIG = """
from pathlib import Path
from tests import tiny_run

def get_config(variant=""):
    return tiny_run.config(Path(__file__).parent)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The clips of `tiny_run`, with names for their labels, and a config of them."""
    folder = tmp_path_factory.mktemp("show")
    tiny_run.write_clips(folder)
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    (folder / "tiny.py").write_text(CONFIG)
    return folder


@pytest.fixture
def run(folder, tmp_path):
    """The command on the tiny config; returns the sheet in RGB, `tmp_path / "s.png"`."""

    def command(*argv, config=("--config", str(folder / "tiny.py")), **overrides):
        parser = argparse.ArgumentParser()
        show.add_arguments(parser)
        args = parser.parse_args([*config, "--out", str(tmp_path / "s.png"), *argv])
        args.overrides = {key.replace("__", "."): value for key, value in overrides.items()}
        assert show.main(args) == 0
        return cv2.imread(str(tmp_path / "s.png"))[..., ::-1]

    return command


@pytest.fixture
def titles(monkeypatch):
    """What is written above the rows of the sheets that are drawn."""
    titles, draw = [], show_sheet.draw

    def drawing(heading, rows):
        rows = list(rows)
        titles.extend(row.title for row in rows)
        return draw(heading, rows)

    monkeypatch.setattr(show_sheet, "draw", drawing)
    return titles


def pictures(sheet, row, count, height=16, width=16):
    """The first `count` pictures of a row of one line of pictures."""
    top = TEXT_HEIGHT + row * (TEXT_HEIGHT + height + GAP) + TEXT_HEIGHT
    lefts = [i * (width + GAP) for i in range(count)]
    return np.stack([sheet[top : top + height, left : left + width] for left in lefts])


def test_the_sheet_has_the_clips_that_training_gets(run, folder):
    sheet = run("--videos", "3")
    config = tiny_run.config(folder)
    source = data.annotation_source(folder / "train.txt")
    batch = next(iter(setup.train_loader(config, source)))
    for row in range(3):
        np.testing.assert_array_equal(pictures(sheet, row, 2), batch["clip"][row])


def test_the_sheet_has_the_views_of_the_test(run, folder):
    sheet = run("--split", "test", "--videos", "2", test__num_clips="2", test__crops="ten")
    protocol = data.Protocol("segments", 2, 1, 2, 20, "ten", (16, 16), "prob")
    rows = [data.read_views(str(folder / f"test{i}.mp4"), protocol) for i in range(2)]
    views = np.concatenate(rows)
    assert sheet.shape[0] == TEXT_HEIGHT + 40 * (TEXT_HEIGHT + 16 + GAP)
    for row, view in enumerate(views):
        np.testing.assert_array_equal(pictures(sheet, row, 2), view)


def test_titles_name_video_and_label(run, titles):
    run("--split", "test", "--videos", "2")
    assert titles == ["test0.mp4  0 red, view 1 of 1", "test1.mp4  1 green, view 1 of 1"]


def test_a_mirrored_clip_is_titled_with_the_label_that_it_has_then(run, titles):
    run(data__flip="1.0", data__flip_labels="((0, 1),)")
    names = {"0": "1 green", "1": "0 red", "2": "2 blue"}
    assert len(titles) == 6
    for title in titles:
        number = int(title.split(".")[0].removeprefix("train"))
        assert title == f"train{number}.mp4  {names[str(number % 3)]}"


def test_there_are_no_more_rows_than_videos(run, titles):
    run("--split", "test", "--videos", "100")
    assert len(titles) == tiny_run.TEST


def test_unreadable_videos_are_named(run, titles, folder, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "l.txt").write_text(f"bad.mp4 0\n{folder}/test0.mp4 0\n")
    run("--split", "test", data__test_file=str(tmp_path / "l.txt"))
    assert titles[0] == "bad.mp4 can't be read" and "test0.mp4" in titles[1]
    titles.clear()
    run("--force", "--videos", "2", data__train_file=str(tmp_path / "l.txt"))
    assert any(title.endswith(", in place of bad.mp4, which can't be read") for title in titles)


def test_a_run_can_be_shown_by_its_directory(run, titles, folder, tmp_path):
    workdir.claim(str(tmp_path / "run"), tiny_run.config(folder))
    run("--split", "test", "--videos", "1", config=("--workdir", str(tmp_path / "run")))
    assert titles == ["test0.mp4  0 red, view 1 of 1"]
    with pytest.raises(InputError, match="config.json can't be read there .*; give --config"):
        run("--force", config=("--workdir", str(folder)))


def test_nothing_is_overwritten_unless_told(run, tmp_path):
    (tmp_path / "s.png").write_text("mine")
    with pytest.raises(InputError, match="replace it with --force"):
        run()
    assert (tmp_path / "s.png").read_text() == "mine"
    assert run("--force").ndim == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--out", "sheet.jpg"], "name it sheet.jpg.png"),
        (["--out", "no/such/s.png"], "its folder does not exist"),
        (["--videos", "0"], "--videos 0: give 1 or more"),
    ],
)
def test_arguments_that_make_no_sheet_are_refused(run, argv, message):
    with pytest.raises(InputError, match=message):
        run(*argv)


def clip(count, channels=3, size=(16, 16)):
    """A clip in which every channel of every frame has a grey of its own."""
    values = np.arange(count * channels, dtype=np.uint8).reshape(count, 1, 1, channels)
    return np.broadcast_to(values, (count, *size, channels))


def test_a_long_clip_is_drawn_as_some_frames_with_the_first_and_the_last():
    sheet = show_sheet.draw("", [Row("", clip(32), 3)])
    frame_numbers = [int(picture[0, 0, 0]) // 3 for picture in pictures(sheet, 0, 8)]
    assert frame_numbers == [0, 4, 9, 13, 18, 22, 27, 31]
    assert sheet.shape[1] == 8 * (16 + GAP)


def test_flow_is_drawn_in_grey_with_x_above_y():
    sheet = show_sheet.draw("", [Row("", clip(2, channels=2), 2)])
    below = sheet[2 * TEXT_HEIGHT + 16 + GAP :]
    assert [tuple(picture[0, 0]) for picture in pictures(sheet, 0, 2)] == [(0,) * 3, (2,) * 3]
    assert [tuple(below[0, i * (16 + GAP)]) for i in range(2)] == [(1,) * 3, (3,) * 3]


def test_stacked_frames_are_drawn_one_after_the_other():
    sheet = show_sheet.draw("", [Row("", clip(2, channels=6), 2)])
    values = [int(picture[0, 0, 0]) for picture in pictures(sheet, 0, 6)]
    assert values == [0, 2, 4, 6, 8, 10]  # x of each


def test_large_pictures_are_made_smaller():
    sheet = show_sheet.draw("", [Row("", clip(1, size=(240, 320)), 3)])
    assert sheet.shape == (2 * TEXT_HEIGHT + 120 + GAP, 160 + GAP, 3)


def test_a_title_that_is_too_long_is_cut_and_any_letters_are_drawn():
    title = "выше, " + "x" * 200
    sheet = show_sheet.draw("", [Row(title, clip(8), 3)])
    assert sheet.shape[1] == 8 * (16 + GAP)
    assert sheet[TEXT_HEIGHT : 2 * TEXT_HEIGHT].min() < 100
