"""`metrics.jsonl`: written lines, the lines that a resumed run drops, and those after a crash."""

import json

import pytest

from jaxaction.errors import InputError
from jaxaction.storage import history
from jaxaction.storage.history import History


def lines(folder):
    return [json.loads(line) for line in (folder / history.NAME).read_text().splitlines()]


def test_a_line_has_step_time_and_values(tmp_path):
    History(str(tmp_path), 0).add(3, {"train/loss": 0.1, "train/accuracy": 1.0})
    (line,) = lines(tmp_path)
    assert line.pop("wall_time") > 1.7e9
    assert line == {"step": 3, "train/loss": 0.1, "train/accuracy": 1.0}


def test_a_value_that_is_not_finite_is_null_and_no_point_of_a_curve(tmp_path):
    written = History(str(tmp_path), 0)
    written.add(1, {"a": float("nan"), "b": float("-inf"), "c": 2.0})
    assert [lines(tmp_path)[0][name] for name in "abc"] == [None, None, 2.0]
    assert history.curves(str(tmp_path)) == {"c": {1: 2.0}}


def test_a_resumed_run_drops_the_lines_after_its_checkpoint(tmp_path):
    first = History(str(tmp_path), 0)
    for step in (3, 6, 9):
        first.add(step, {"train/loss": 1.0 / step})
    first.add(6, {"val/top1": 0.5})
    History(str(tmp_path), 6).add(7, {"train/loss": 0.0})
    assert [line["step"] for line in lines(tmp_path)] == [3, 6, 6, 7]


def test_a_finished_run_that_is_tested_again_has_its_test_once(tmp_path):
    for top1 in (0.25, 0.75):
        again = History(str(tmp_path), 0 if top1 == 0.25 else 9)
        if top1 == 0.25:
            again.add(9, {"train/loss": 0.5})
        again.add(9, {"test/top1": top1})
    assert [set(line) & {"train/loss", "test/top1"} for line in lines(tmp_path)] == [
        {"train/loss"},
        {"test/top1"},
    ]
    assert history.curves(str(tmp_path)) == {"train/loss": {9: 0.5}, "test/top1": {9: 0.75}}


@pytest.mark.parametrize("left", [b'{"step": 5, "a"', b'{"step": 5, "a": 1.0}', b"\xff\x00\n[1]\n"])
def test_a_line_that_a_crash_cut_off_breaks_nothing(tmp_path, left):
    History(str(tmp_path), 0).add(4, {"a": 0.5})
    with (tmp_path / history.NAME).open("ab") as file:
        file.write(left)
    assert history.curves(str(tmp_path))["a"][4] == 0.5
    History(str(tmp_path), 4).add(6, {"a": 2.0})
    assert [line["step"] for line in lines(tmp_path)] == [4, 6]


def test_lines_are_removed_all_at_once(tmp_path, monkeypatch):
    written = History(str(tmp_path), 0)
    for step in (1, 2):
        written.add(step, {"a": 1.0})
    before = (tmp_path / history.NAME).read_bytes()

    def fail(self, target):
        raise OSError("no")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(InputError, match="metrics.jsonl can't be written"):
        History(str(tmp_path), 1)
    assert (tmp_path / history.NAME).read_bytes() == before


def test_a_run_without_the_file_has_no_curves(tmp_path):
    assert history.curves(str(tmp_path)) == {}


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    written = History(str(tmp_path / "gone"), 0)
    with pytest.raises(InputError, match=r"gone/metrics.jsonl can't be written \(No such"):
        written.add(1, {"a": 1.0})
