"""Configs that earlier versions stored, with keys that were added, removed or renamed since."""

import json

import pytest
from ml_collections import ConfigDict

from jaxaction.config import defaults, stored
from jaxaction.config.stored import Change
from jaxaction.version import VERSION


@pytest.fixture
def config():
    config = defaults.motions({"name": "tsn", "width": 4})
    config.data.update(clip_len=4, size=(32, 32))
    return config


def as_read(config, version=VERSION, workdir="/runs/a"):
    values = json.loads(json.dumps(stored.to_json(config, workdir)))
    values[stored.ORIGIN]["version"] = version
    return values


def test_a_config_comes_back_with_its_version_and_directory(config):
    kept = stored.from_json(as_read(config))
    assert kept.config.to_dict() == config.to_dict()
    assert (kept.version, kept.workdir) == (VERSION, "/runs/a")


def test_a_config_without_an_origin_was_written_by_the_first_version(config):
    assert stored.from_json(stored.to_dict(config))[1:] == ("0.1.0", "")


@pytest.mark.parametrize("key", ["data.flip", "train.patience", "optim.gamma", "test.batch_size"])
def test_a_missing_key_gets_its_default(config, key):
    section, name = key.split(".")
    values = as_read(config)
    del values[section][name]
    assert stored.from_json(values).config[section][name] == config[section][name]


def test_missing_keys_that_follow_another_key_get_its_stored_value(config):
    config.train.epochs = 9.0
    values = as_read(config)
    del values["test"]["clip_len"], values["val"]["size"], values["optim"]["decay_epochs"]
    kept = stored.from_json(values).config
    assert (kept.test.clip_len, kept.val.size, kept.optim.decay_epochs) == (4, (32, 32), 9.0)


@pytest.mark.parametrize("key", ["compute", "init_from"])
def test_a_missing_key_without_a_section_gets_its_default(config, key):
    values = as_read(config)
    del values[key]
    assert stored.from_json(values).config[key] == config[key]


def test_keys_of_a_users_own_are_kept(config):
    values = as_read(config)
    values["train"]["note"], values["mine"] = "first try", {"a": [1, 2]}
    kept = stored.from_json(values).config
    assert kept.train.note == "first try" and kept.mine == ConfigDict({"a": (1, 2)})


def test_the_table_drops_renames_and_adds_for_earlier_versions_alone(config, monkeypatch):
    table = (
        Change("0.3.0", old="data.grayscale"),
        Change("0.3.0", old="train.decay", new="train.ema_decay", translate=lambda x: 1 - x),
        Change("0.4.0", new="data.flip", translate=lambda _: 0.25),
    )
    monkeypatch.setattr(stored, "CHANGES", table)

    def read(version):
        values = as_read(config, version)
        values["data"]["grayscale"], values["train"]["decay"] = 0.5, 0.1
        return stored.from_json(values).config

    old = read("0.2.1")
    assert "grayscale" not in old.data and "decay" not in old.train
    assert (old.train.ema_decay, old.data.flip) == (0.9, 0.25)
    between = read("0.3.0")
    assert (between.data.grayscale, between.train.decay, between.data.flip) == (0.5, 0.1, 0.25)
    assert read("0.4.0").data.flip == 0.0
    assert read("0.10.0").data.flip == 0.0
