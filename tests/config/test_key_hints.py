"""A key that the config does not have is answered with the one that was meant."""

import pytest

from jaxaction.config import defaults, flags, key_hints
from jaxaction.errors import InputError

CONFIG = defaults.motions({"name": "tsn", "dropout": 0.2})
PATHS = flags.flatten(CONFIG)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("optim.lr", "optim.learning_rate"),
        ("lr", "optim.learning_rate"),
        ("train.lr", "optim.learning_rate"),
        ("optim.wd", "optim.weight_decay"),
        ("train.num_epochs", "train.epochs"),
        ("train.max_epochs", "train.epochs"),
        ("data.workers", "data.num_threads"),
        ("num_workers", "data.num_threads"),
        ("data.bs", "train.batch_size"),
        ("model.dtype", "compute"),
        ("pretrained", "init_from"),
    ],
)
def test_a_name_of_another_library_means_our_key(key, meant):
    assert key_hints.nearest(key, PATHS) == meant


@pytest.mark.parametrize(
    ("key", "meant"), [("test.bs", "test.batch_size"), ("val.num_frames", "val.clip_len")]
)
def test_a_name_of_another_library_means_the_key_of_the_given_section(key, meant):
    assert key_hints.nearest(key, PATHS) == meant


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("optim.learningrate", "optim.learning_rate"),
        ("optim.learn_rate", "optim.learning_rate"),
        ("test.clip_length", "test.clip_len"),
        ("test.croop", "test.crops"),
        ("data.batch_size", "train.batch_size"),
        ("data.learning_rate", "optim.learning_rate"),
        ("optmi.momentum", "optim.momentum"),
    ],
)
def test_a_misspelt_key_means_the_nearest_one_of_its_section_first(key, meant):
    assert key_hints.nearest(key, PATHS) == meant


def test_each_name_of_another_library_leads_to_a_key_that_exists():
    assert set(key_hints.ALIASES.values()) <= set(PATHS)
    leaves = {path.rpartition(".")[2] for path in PATHS}
    assert not leaves & key_hints.ALIASES.keys()


def test_without_a_near_key_those_of_the_section_are_listed():
    with pytest.raises(InputError) as caught:
        flags.find(CONFIG, "val.zzz")
    line = "--config.val.zzz: the config has no such key; val has average, clip_len, crops, "
    assert str(caught.value).startswith(line)


def test_the_command_line_answers_lr_with_the_learning_rate():
    with pytest.raises(InputError) as caught:
        flags.apply_overrides(CONFIG, {"optim.lr": "0.1"})
    assert str(caught.value) == (
        "--config.optim.lr: the config has no such key; did you mean --config.optim.learning_rate?"
    )


def test_a_field_of_the_network_that_the_config_lacks_can_be_set_in_a_file():
    with pytest.raises(InputError, match="model has dropout, .*; a config file can set the netw"):
        flags.find(CONFIG, "model.style")
