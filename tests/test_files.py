"""Files are written as wholes, and paths may begin with `~` or a variable."""

import os
from pathlib import Path

import pytest

from jaxaction import files
from jaxaction.errors import InputError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_home_and_a_variable_are_replaced(home):
    assert files.expand("~/x") == str(home / "x")
    assert files.expand("$RUNS/x") == str(home / "runs" / "x")
    assert files.expand("a/b c.mp4") == "a/b c.mp4"


def test_a_literal_path_that_exists_stays(home):
    (home / "$RUNS").mkdir()
    assert files.expand("$RUNS") == "$RUNS"


def test_a_home_of_nobody_is_refused(home):
    with pytest.raises(InputError, match="~nobody_of_this_name is no known home; write the path"):
        files.expand("~nobody_of_this_name/runs")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--workdir=~/x", "--workdir={}/x"),
        ("~/v.mp4", "{}/v.mp4"),
        ("--config.data.root=$RUNS/videos", "--config.data.root={}/runs/videos"),
        ("--config.optim.multipliers=(('a$', 2.0),)", "--config.optim.multipliers=(('a$', 2.0),)"),
        ("a=~b", "a=~b"),
    ],
)
def test_paths_in_arguments_are_expanded(home, argument, expected):
    assert files.expand_argument(argument) == expected.format(home)


def test_no_file_is_replaced_before_all_are_written(tmp_path):
    old, other = tmp_path / "a", tmp_path / "b"
    old.write_text("old")

    def fail(file):
        raise OSError(27, "File too large")

    with pytest.raises(InputError, match="b can't be written .File too large."):
        files.write_together({old: lambda file: file.write(b"new"), other: fail})
    assert old.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/x can't be written .*; name another"):
        files.check_writable(Path(tmp_path / "file" / "x"), "name another")
