"""Results: the lines, the files, and earlier results that stay."""

import dataclasses
import json

import numpy as np
import pytest

from jaxaction import data, files
from jaxaction.errors import InputError
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation

CONDITIONS = {"dataset": {"name": "colours", "classes": (1, 2)}, "step": 7}


@pytest.fixture
def evaluation() -> Evaluation:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    return Evaluation(
        protocol=data.Protocol("clips", 8, 8, 10, 256, "three", (256, 256), "prob"),
        ids=("a", "b", "c"),
        labels=np.array([0, 1, 1], np.int32),
        scores=scores,
        probs=scores,
        unreadable=("d",),
    )


def write(folder, evaluation, conditions=CONDITIONS):
    return results.write(str(folder), "test", evaluation, ("no", "yes"), conditions)


def test_the_last_line_has_the_agreed_form(evaluation):
    last = results.summary("test", evaluation).splitlines()[-1]
    assert last == "test top-1 66.7 %, top-5 100.0 % (3 videos)"


def test_the_summary_names_protocol_and_unreadable_videos(evaluation):
    lines = results.summary("test", evaluation).splitlines()
    assert lines[0] == f"protocol: {evaluation.protocol}"
    assert "unreadable, left out: 1 (d)" in lines
    assert "test mean class accuracy 75.0 %" in lines


def test_figures_and_protocol_are_written(tmp_path, evaluation):
    record = json.loads(write(tmp_path, evaluation).read_text())
    assert record["metrics"] == {
        "top1": pytest.approx(2 / 3),
        "top5": 1.0,
        "mean_class_accuracy": 0.75,
        "num_videos": 3,
    }
    assert record["protocol"]["num_clips"] == 10 and record["about"]["step"] == 7
    assert record["unreadable"] == ["d"] and record["versions"]["numpy"] == np.__version__


def test_scores_of_every_video_are_written(tmp_path, evaluation):
    write(tmp_path, evaluation)
    with np.load(tmp_path / "eval" / "test.npz") as file:
        assert file["ids"].tolist() == ["a", "b", "c"]
        assert file["label_names"].tolist() == ["no", "yes"]
        np.testing.assert_array_equal(file["scores"], evaluation.scores)
        np.testing.assert_array_equal(file["labels"], evaluation.labels)


def test_the_same_test_again_replaces_its_result(tmp_path, evaluation):
    write(tmp_path, evaluation)
    write(tmp_path, evaluation)
    assert sorted(path.name for path in (tmp_path / "eval").iterdir()) == ["test.json", "test.npz"]


def test_a_result_of_another_protocol_is_kept(tmp_path, evaluation):
    write(tmp_path, evaluation)
    other = dataclasses.replace(evaluation.protocol, num_clips=1)
    write(tmp_path, dataclasses.replace(evaluation, protocol=other))
    kept = json.loads((tmp_path / "eval" / "test.1.json").read_text())
    assert kept["protocol"]["num_clips"] == 10
    assert (tmp_path / "eval" / "test.1.npz").exists()


def test_a_result_of_another_step_is_kept(tmp_path, evaluation):
    for step in (7, 8, 9):
        write(tmp_path, evaluation, CONDITIONS | {"step": step})
    steps = [
        json.loads((tmp_path / "eval" / f"test{suffix}.json").read_text())["about"]["step"]
        for suffix in (".1", ".2", "")
    ]
    assert steps == [7, 8, 9]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(InputError, match="disk full"):
        files.write_atomically(path, fail)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_slice_of_a_split_is_a_file_name(tmp_path, evaluation):
    path = results.write(str(tmp_path), "test[:10%]", evaluation, (), CONDITIONS)
    assert path.name == "test_10_.json"


def test_a_place_that_cannot_be_written_is_named(evaluation, tmp_path):
    (tmp_path / "eval").write_text("")
    with pytest.raises(InputError, match="eval can't be written"):
        write(tmp_path, evaluation)
    with pytest.raises(InputError, match="eval/f.npy can't be written .*; name another"):
        files.write_atomically(tmp_path / "eval" / "f.npy", lambda file: None)
