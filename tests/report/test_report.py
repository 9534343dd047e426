"""The contents of a report, also without a test, a data set or readable videos."""

import base64
import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxaction import report
from jaxaction.commands import cli as command
from jaxaction.errors import InputError
from jaxaction.evaluation import results
from jaxaction.storage import history
from tests import tiny_run
from tests.report import made_up
from tests.report.parsed import parse

NAMES = ("archery", "air drumming", "tea & cake")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    tiny_run.write_clips(folder)
    return folder


@pytest.fixture
def folder(clips, tmp_path):
    """A copy of the clips that a test may change."""
    return shutil.copytree(clips, tmp_path / "own")


def page(folder, test, names=NAMES, **more):
    return parse(report.make(made_up.run(folder, names, test, **more)))


def picture(image):
    """Returns the pixels, RGB, of an image in the page."""
    data = base64.b64decode(image.attributes["src"].partition("base64,")[2])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_the_head_has_the_accuracies_and_the_protocol(folder):
    html = page(folder, made_up.few(folder))
    line = "test top-1 66.7 %, top-5 100.0 % (6 videos)"
    assert html.one("head").one("title").text == f"run: {line}"
    assert html.one("h1").text == "run" and line in html.one("header").text
    assert "protocol: 2 segments x 1 crop of 16x16 (short side 20), prob" in html.one("header").text
    titles = [title.text for title in html.all("h2")]
    assert titles == ["Curves", "Worst videos", "Confusion matrix", "Classes", "Run"]
    links = [link.attributes["href"].removeprefix("#") for link in html.all("a")]
    assert links == [section.attributes["id"] for section in html.all("section")]


def test_a_page_loads_nothing_and_runs_one_script(folder):
    test = made_up.few(folder)
    test = dataclasses.replace(test, ids=("test0.mp4", "test1.mp4\" onload='x'", *test.ids[2:]))
    path = report.make(made_up.run(folder, made_up.NASTY, test))
    html = parse(path)
    assert all(x.attributes["src"].startswith("data:image/") for x in html.all("img"))
    assert not html.all("link") and not html.all("iframe") and len(html.all("script")) == 1
    assert "src" not in html.one("script").attributes
    assert "url(" not in path.read_text() and "@import" not in path.read_text()
    assert "http:" not in path.read_text() and "https:" not in path.read_text()


@pytest.mark.parametrize("kind", [made_up.few, made_up.several_labels])
def test_labels_and_ids_with_html_in_them_stay_text(folder, kind):
    test = kind(folder)
    test = dataclasses.replace(test, ids=("<b>&lt;\"'\x1b", *test.ids[1:]), unreadable=("<i>",))
    html = page(folder, test, made_up.NASTY)
    names = [row[0] for row in html.section("classes").one("table").cells()]
    assert {"<script>alert(1)</script>", "tea & \"cake\" 'hot'"} <= set(names)
    assert not html.all("b") and not html.all("i") and "<i>" in html.section("unreadable").text
    if test.multi_label:
        ids = [x.text for x in html.all("p", "id")]
        assert "<b>&lt;\"'\ufffd" in ids


def test_every_curve_has_its_points_and_last_value(folder):
    charts = page(folder, made_up.few(folder)).section("curves").all("figure", "chart")
    titles = [chart.one("figcaption").text for chart in charts]
    assert titles[:3] == ["Loss", "Accuracy", "Learning rate"]
    assert set(titles[3:]) == {"Gradient norm", "Clips per second", "Time spent waiting for data"}
    loss = charts[0].one("polyline").attributes["points"].split()
    assert len(loss) == len(charts[0].all("circle")) == 30
    drawn = [float(point.split(",")[1]) for point in loss]
    assert np.argmax(drawn) == 28 and np.argmin(drawn) == 0  # downwards, so that large is low
    accuracies = [item.text for item in charts[1].all("li")]
    assert "val top-1 75.0 %" in accuracies and "test top-1 83.0 %" in accuracies
    label = charts[1].one("svg").attributes["aria-label"]
    assert label.startswith("Accuracy over steps: train accuracy 98.9 %")


def test_the_most_confident_mistakes_come_first_with_frames_and_probabilities(folder):
    section = page(folder, made_up.few(folder)).section("worst-videos")
    cards = section.one("ul", "cards").all("li")
    assert [card.one("p").text for card in cards] == ["test1.mp4", "test5.mp4"]
    said = [[x.text for x in card.one("dl").inside] for card in cards]
    assert said == [
        ["true", "20.0 %", "air drumming", "taken for", "70.0 %", "archery"],
        ["true", "30.0 %", "tea & cake", "taken for", "50.0 %", "air drumming"],
    ]
    for card, colour in zip(cards, (1, 2), strict=True):  # the colour of the true class
        images = card.all("img")
        assert len(images) == 4 and images[0].attributes["alt"].startswith("frame 1 of 4 of test")
        for image in images:
            means = picture(image).mean(axis=(0, 1))
            assert picture(image).shape == (32, 32, 3) and means.argmax() == colour


def test_frames_are_the_right_ones_after_unreadable_videos(folder):
    test = made_up.few(folder)
    (folder / "test0.mp4").write_bytes(b"")
    readable = {name: getattr(test, name)[1:] for name in ("ids", "labels", "scores", "probs")}
    html = page(folder, dataclasses.replace(test, **readable, unreadable=("test0.mp4",)))
    images = html.section("worst-videos").all("img")
    assert [picture(x).mean(axis=(0, 1)).argmax() for x in images] == [1] * 4 + [2] * 4
    assert html.section("unreadable").one("li").text == "test0.mp4"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no video")])
def test_a_video_without_frames_is_named_and_the_others_are_shown(folder, damage):
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    damage(folder / "test1.mp4")
    cards = parse(report.make(directory)).section("worst-videos").all("li")
    assert cards[0].one("p", "missing").text.startswith("no frames: ") and not cards[0].all("img")
    assert "test1.mp4" in cards[0].one("p", "missing").text and len(cards[1].all("img")) == 4


def test_a_changed_list_shows_no_frames_of_other_videos(folder):
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    lines = (folder / "test.txt").read_text().splitlines()
    (folder / "test.txt").write_text("\n".join(lines[::-1]))
    section = parse(report.make(directory)).section("worst-videos")
    assert "another video has its place" in section.text and not section.all("img")


def test_a_missing_data_set_is_reported_once(folder):
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    (folder / "test.txt").unlink()
    section = parse(report.make(directory)).section("worst-videos")
    assert section.text.count("No frames: ") == 1 and "test.txt" in section.text
    assert len(section.all("li")) == 2 and not section.all("img")


def test_a_test_without_a_mistake_says_so(folder):
    test = made_up.few(folder)
    right = np.eye(3, dtype=np.float32)[test.labels]
    html = page(folder, dataclasses.replace(test, scores=right, probs=right))
    assert "Every video was right." in html.section("worst-videos").text


def test_the_confusion_matrix_of_a_few_classes_is_a_table(folder):
    table = page(folder, made_up.few(folder)).section("confusion-matrix").one("table")
    assert table.cells() == [
        ["archery", "2", "0", "0"],
        ["air drumming", "1", "1", "0"],
        ["tea & cake", "0", "1", "1"],
    ]
    shades = [x.attributes["class"] for x in table.one("tbody").all("td")]
    assert shades == ["q10", "q0", "q0", "q5", "q5", "q0", "q0", "q5", "q5"]


def test_classes_are_listed_the_worst_first_and_those_without_videos_last(folder):
    test = made_up.few(folder)
    labels = np.where(test.labels == 2, 1, test.labels)
    html = page(folder, dataclasses.replace(test, labels=labels))
    assert html.section("classes").one("table").cells() == [
        ["air drumming", "4", "50.0 %", "100.0 %", "archery (1)"],
        ["archery", "2", "100.0 %", "66.7 %", ""],
        ["tea & cake", "0", "\u2013", "0.0 %", ""],
    ]


def test_400_classes_are_a_heat_map_and_pairs_in_a_page_below_a_megabyte(folder):
    test = made_up.many(folder, videos=4000)
    wrong = test.labels == 7
    for name in ("scores", "probs"):
        getattr(test, name)[wrong] = np.eye(400)[9]
    names = tuple(f"doing the thing of kind {i} with someone" for i in range(400))
    path = report.make(made_up.run(folder, names, test, steps=9000))
    pictures = 12 * 4 * 10_000  # bytes for twelve videos, which this made-up test doesn't have
    assert path.stat().st_size + pictures < 1_000_000
    html = parse(path)
    heat = picture(html.one("img", "heat")).astype(int)
    assert heat.shape == (400, 400, 3)
    yellow, blue = [253, 231, 36], [68, 1, 84]  # the ends of viridis
    assert np.abs(heat[7, 9] - yellow).max() <= 2 and np.abs(heat[7, 7] - blue).max() <= 2
    pairs, classes = (
        html.section(name).one("table").cells() for name in ("confusion-matrix", "classes")
    )
    assert pairs[0] == [names[7], names[9], str(wrong.sum()), "100.0 %"] and len(pairs) == 30
    assert len(classes) == 400 and classes[0][2] == "0.0 %"


def test_several_labels_have_average_precisions_and_the_largest_losses(folder):
    test = made_up.several_labels(folder)
    html = page(folder, test, made_up.NASTY)
    assert html.one("head").one("title").text.startswith("run: test mAP ")
    assert not [x for x in html.all("section") if x.attributes["id"] == "confusion-matrix"]
    rows = html.section("classes").one("table").cells()
    assert [row[1:] for row in rows[-2:]] == [["2", "100.0 %"], ["0", "\u2013"]]
    first = html.section("worst-videos").all("li")[0]
    assert first.one("p").text == "test4.mp4" and len(first.all("img")) == 4
    assert [x.text for x in first.all("dd", "number")] == ["2.0 %", "99.0 %", "90.0 %", "70.0 %"]
    assert [x.text for x in first.all("dt")] == ["true", *["not true"] * 3]


def test_the_run_has_data_set_versions_and_config(folder):
    test_table, config = page(folder, made_up.few(folder)).section("run").all("table")
    rows = dict(test_table.cells())
    assert rows["data.test_file"] == f"{folder}/test.txt" and rows["test videos"] == "6"
    assert rows["protocol"].startswith("2 segments") and rows["step"] == "90"
    assert {"python", "jax", "jaxlib", "flax", "jaxaction", "devices"} <= set(rows)
    keys = dict(config.cells())
    assert keys["data.size"] == "(16, 16)" and keys["model.name"] == "'tsn'"


def test_a_run_before_its_first_test_has_curves_alone(folder):
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    shutil.rmtree(Path(directory) / "eval")
    html = parse(report.make(directory))
    assert html.one("head").one("title").text == "run: not tested yet"
    assert [title.text for title in html.all("h2")] == ["Curves", "Run"]


def test_a_run_without_curves_has_its_test_alone(folder):
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    (Path(directory) / history.NAME).unlink()
    assert [x.text for x in parse(report.make(directory)).all("h2")][0] == "Worst videos"


def test_the_command_writes_the_report_of_the_newest_test(folder, capsys):
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    test = dataclasses.replace(made_up.few(folder), labels=np.zeros(6, np.int32))
    results.write(directory, "test", test, NAMES, {})
    assert command.main(["report", directory]) == 0
    assert capsys.readouterr().out == f"{directory}/report.html\n"
    assert "test top-1 50.0 %" in parse(Path(directory) / report.NAME).one("head").one("title").text


def test_a_folder_without_a_run_and_damaged_files_are_named(folder):
    with pytest.raises(InputError, match="holds no checkpoint"):
        report.make(str(folder))
    directory = made_up.run(folder, NAMES, made_up.few(folder))
    (Path(directory) / "eval" / "test.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="test.npz is not a result"):
        report.make(directory)
    (Path(directory) / "config.json").write_text("{")
    with pytest.raises(InputError, match="config.json can't be read .*; remove it to take"):
        report.make(directory)


def test_a_report_that_fails_is_one_line_and_keeps_the_old_one(folder, monkeypatch):
    directory, lines = made_up.run(folder, NAMES, made_up.few(folder)), []
    report.write(directory, lines.append)
    assert lines.pop() == f"report: {directory}/report.html"
    before = (Path(directory) / report.NAME).read_bytes()

    def fail(contents):
        raise KeyError("two\nlines")

    monkeypatch.setattr("jaxaction.report.page.html", fail)
    report.write(directory, lines.append)
    (line,) = lines
    assert line.startswith("no report (KeyError: ") and "\n" not in line
    assert line.endswith(f"`jaxaction report {directory}` makes it")
    assert (Path(directory) / report.NAME).read_bytes() == before
    assert json.loads((Path(directory) / "eval" / "test.json").read_text())["metrics"]
