"""Paths of a config are absolute in a stored run, and found again after it has moved."""

import os

import pytest
from ml_collections import ConfigDict

from jaxaction.config import paths
from jaxaction.errors import InputError


def config(**data):
    return ConfigDict({"data": {"train_file": "", "root": "", **data}, "init_from": ""})


def test_paths_become_absolute_and_addresses_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = config(train_file="lists/../train.txt", data_dir="gs://bucket/data")
    paths.make_absolute(given)
    assert given.data.train_file == str(tmp_path / "train.txt")
    assert (given.data.root, given.data.data_dir) == ("", "gs://bucket/data")


def test_init_from_becomes_absolute_where_it_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for value, expected in (("run", str(tmp_path / "run")), ("tsm-k400", "tsm-k400")):
        given = config()
        given.init_from = value
        paths.make_absolute(given)
        assert given.init_from == expected


def test_a_list_that_moved_with_its_run_is_found(tmp_path):
    (tmp_path / "new" / "runs" / "a").mkdir(parents=True)
    (tmp_path / "new" / "train.txt").write_text("")
    kept = config(train_file=str(tmp_path / "old" / "train.txt"))
    workdir, written_in = str(tmp_path / "new/runs/a"), str(tmp_path / "old/runs/a")
    relocated = paths.relocate(kept, workdir, written_in)
    assert kept.data.train_file == str(tmp_path / "new" / "train.txt")
    assert relocated == ({"data.train_file": kept.data.train_file}, {})


def test_the_stored_place_counts_first(tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder / "run").mkdir(parents=True)
        (tmp_path / folder / "train.txt").write_text("")
    kept = config(train_file=str(tmp_path / "old" / "train.txt"))
    paths.relocate(kept, str(tmp_path / "new" / "run"), str(tmp_path / "old" / "run"))
    assert kept.data.train_file == str(tmp_path / "old" / "train.txt")


def test_a_relative_path_is_looked_for_from_the_current_folder_and_from_the_run_upwards(
    tmp_path, monkeypatch
):
    (tmp_path / "project" / "runs" / "a").mkdir(parents=True)
    (tmp_path / "project" / "train.txt").write_text("")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    kept = config(train_file="train.txt")
    paths.relocate(kept, str(tmp_path / "project/runs/a"), "")
    assert kept.data.train_file == str(tmp_path / "project" / "train.txt")
    (tmp_path / "elsewhere" / "train.txt").write_text("")
    kept = config(train_file="train.txt")
    paths.relocate(kept, str(tmp_path / "project/runs/a"), "")
    assert kept.data.train_file == str(tmp_path / "elsewhere" / "train.txt")


def test_a_missing_list_keeps_its_path_and_the_error_names_the_places_that_were_tried(tmp_path):
    stored_path = str(tmp_path / "old" / "train.txt")
    kept = config(train_file=stored_path)
    missing = paths.relocate(kept, str(tmp_path / "new" / "run"), str(tmp_path / "old/run")).missing
    assert kept.data.train_file == stored_path
    with pytest.raises(InputError) as error:
        paths.check_list("data.train_file", missing)
    looked = f"{stored_path}, {tmp_path / 'new' / 'train.txt'}"
    assert str(error.value) == (
        f"data.train_file is not found (looked at {looked}); set --config.data.train_file=FILE"
    )
    paths.check_list("data.test_file", missing)


def test_a_link_and_its_target_are_one_file(tmp_path):
    (tmp_path / "a").write_text("")
    os.symlink(tmp_path / "a", tmp_path / "b")
    assert paths.same_file(str(tmp_path / "a"), str(tmp_path / "b"))
    assert not paths.same_file(str(tmp_path / "a"), str(tmp_path / "c"))
