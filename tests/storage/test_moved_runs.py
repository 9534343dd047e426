"""A run that is moved with its lists can be tested and continued in the new place."""

import json
import shutil

import pytest

from jaxaction.commands import eval, train
from jaxaction.errors import InputError
from tests import tiny_run

CONFIG = """
from pathlib import Path
from tests import tiny_run

def get_config(variant=""):
    return tiny_run.config(Path("nowhere"))
"""
LISTS = ["--config.data.train_file=train.txt", "--config.data.test_file=lists/test.txt"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project in which a run was trained with lists by relative paths."""
    folder = tmp_path_factory.mktemp("moved") / "project"
    (folder / "lists").mkdir(parents=True)
    tiny_run.write_clips(folder)
    lines = (folder / "test.txt").read_text()
    (folder / "lists" / "test.txt").write_text(lines.replace("test", "../test"))
    (folder / "tiny.py").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train.main(
            ["--config", "tiny.py", "--workdir", "runs/a", *LISTS, "--config.train.epochs=1"]
        )
    return folder


@pytest.fixture
def moved(trained, tmp_path, monkeypatch):
    """The project in another place, while its old place is gone."""
    shutil.copytree(trained, tmp_path / "elsewhere")
    away = trained.rename(trained.with_name("away"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "elsewhere"
    away.rename(trained)


def test_lists_are_stored_by_absolute_paths(trained):
    config = json.loads((trained / "runs" / "a" / "config.json").read_text())
    assert config["data"]["train_file"] == str(trained / "train.txt")
    assert config["data"]["test_file"] == str(trained / "lists" / "test.txt")


def test_a_run_is_tested_from_another_folder(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    eval.main(["--workdir", str(trained / "runs" / "a")])
    assert capsys.readouterr().out.splitlines()[-1].startswith("test top-1 ")


def test_a_moved_run_finds_its_lists_and_says_where(moved, capsys):
    eval.main(["--workdir", str(moved / "runs" / "a")])
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("test top-1 ")
    assert f"data.test_file has moved with the run: {moved}/lists/test.txt" in printed.err


def test_a_moved_run_goes_on(moved, monkeypatch, capsys):
    monkeypatch.chdir(moved)
    train.main(["--config", "tiny.py", "--workdir", "runs/a", *LISTS, "--config.train.epochs=2"])
    assert "goes on after step 3 of 6 steps" in capsys.readouterr().out


def test_another_list_is_another_run(trained, monkeypatch):
    monkeypatch.chdir(trained)
    shutil.copy("train.txt", "other.txt")
    flags = ["--config.data.train_file=other.txt", "--config.data.test_file=lists/test.txt"]
    with pytest.raises(InputError, match="another config: data.train_file .*/train.txt' there, "):
        train.main(["--config", "tiny.py", "--workdir", "runs/a", *flags])


def test_a_missing_list_is_named_with_the_places_that_were_tried(moved, trained):
    (moved / "lists" / "test.txt").unlink()
    with pytest.raises(InputError) as error:
        eval.main(["--workdir", str(moved / "runs" / "a")])
    looked = f"looked at {trained}/lists/test.txt, {moved}/lists/test.txt"
    assert looked in str(error.value)
    assert str(error.value).endswith("set --config.data.test_file=FILE")
