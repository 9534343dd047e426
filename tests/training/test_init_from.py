"""A run that begins with another one's weights, and takes its classes from its own videos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

import jaxaction
from jaxaction.config import build, stored
from jaxaction.errors import InputError
from jaxaction.storage import checkpoint
from jaxaction.training import init_from, loop
from tests import tiny_run


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    tiny_run.write_clips(folder)
    return folder


@pytest.fixture(scope="module")
def other(clips, tmp_path_factory):
    """The directory of a run on five classes, of random weights."""
    folder = str(tmp_path_factory.mktemp("other") / "run")
    config = tiny_run.config(clips)
    config.model.num_classes = 5
    model = build.model(config)

    variables = jaxaction.init(model, build.clip_shape(config), jax.random.key(7))
    checkpoint.save_run(folder, config, variables, tuple("abcde"))
    return folder


@pytest.fixture
def config(clips, other):
    config = tiny_run.config(clips)
    config.model.num_classes = 400
    config.init_from = other
    return config


def test_classes_are_those_of_the_list_and_the_head_is_replaced(config, other, tmp_path):
    lines = []
    config.train.epochs = 0.0  # tests what it began with
    loop.train(config, str(tmp_path), lines.append)
    assert lines[0] == "3 classes, as the training videos have (config: 400)"
    assert lines[1] == f"begins with the weights of {other}, step 0"
    replaced = "the classifier of 5 classes is replaced by a fresh one of 3"
    assert replaced in lines
    assert any("top-5 100.0 %" in line for line in lines)  # of three classes all


def begin(config, names=("0", "1", "2")):
    """The weights that a run of this config begins with, and the lines that it says."""
    lines = []
    run = init_from.load(config, lines.append)
    return init_from.weights(config, run, names, lines.append), lines


def test_all_but_the_head_is_the_other_runs(config, other):
    init_from.set_classes(config, lambda line: None)
    weights, _ = begin(config)
    theirs = checkpoint.load_run(other).variables
    np.testing.assert_array_equal(
        weights["params/backbone/conv1/conv/kernel"],
        theirs["params"]["backbone"]["conv1"]["conv"]["kernel"],
    )
    assert not any("cls_head" in key for key in weights)
    fresh = {"params": {"cls_head": {"bias": 1}, "backbone": {"x": 0}}}
    assert init_from.overlay(fresh, {"params/backbone/x": jnp.array(5)}) == {
        "params": {"cls_head": {"bias": 1}, "backbone": {"x": 5}}
    }


def test_a_head_of_the_same_classes_is_kept(config):
    config.model.num_classes = 5
    for names in (tuple("abcde"), tuple("01234")):
        weights, lines = begin(config, names)
        assert "params/cls_head/fc_cls/kernel" in weights
        assert lines[-1] == "the classifier of 5 classes is kept"


def test_a_head_of_other_names_is_replaced(config):
    config.model.num_classes = 5
    weights, lines = begin(config, tuple("vwxyz"))
    assert not any("cls_head" in key for key in weights)
    assert "replaced by a fresh one of 5 (label 0 is 'a' in the run and 'v' in the" in lines[-1]


def test_the_network_and_the_pixels_are_the_other_runs(config):
    config.model.update(width=8, norm_eps=0.5, dropout=0.9)
    config.data.mean, config.test.window = (1.0, 2.0, 3.0), (2, 2)
    _, lines = begin(config)
    network = build.model(config)
    assert (network.width, network.norm_eps, network.dropout) == (4, 1e-5, 0.9)
    assert config.data.mean[0] == 123.675 and config.test.window == (2, 2)
    assert "as there: model.width=4" in lines
    assert stored.from_dict(stored.to_dict(config)).to_dict() == config.to_dict()


def test_frozen_stages_are_those_of_the_new_run(config):
    config.model.update(frozen_stages=1, norm_eval=True, partial_bn=True, remat=(1,))
    begin(config)
    network = build.model(config)
    assert (network.frozen_stages, network.norm_eval, network.partial_bn) == (1, True, True)
    assert network.remat == (1,)


def test_so_is_what_is_frozen_of_a_path_of_slowfast():
    there, here = ({"name": "slowfast", "num_classes": 3} for _ in range(2))
    there |= {"slow": {"norm_eps": 0.5, "frozen_stages": 3}}
    here |= {"slow": {"frozen_stages": 1}}
    config, run = (
        ConfigDict({"model": model, "compute": "float32", "data": {"mean": (0.0,) * 3}})
        for model in (here, there)
    )
    lines, run = [], checkpoint.Run(run, {}, (), build.protocol(tiny_run.config("").test), 0)
    init_from._take_network(config, run, lines.append)
    assert config.model.slow.to_dict() == {"norm_eps": 0.5, "frozen_stages": 1}
    assert len(lines) == 1
    init_from._take_network(config, run, lines.append)
    assert len(lines) == 1  # now they differ in what is frozen alone


def test_another_family_is_refused_before_anything_is_written(config, tmp_path):
    config.model.name = "tsm"
    with pytest.raises(InputError, match="holds a tsn, the config is a tsm"):
        loop.train(config, str(tmp_path / "run"), lambda line: None)
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_are_refused(config, other):
    run = checkpoint.load_run(other)
    config.model.width = 8
    with pytest.raises(InputError, match="holds another network: .* weights differ"):
        init_from.weights(config, run, (), lambda line: None)


def test_a_file_in_place_of_a_run_is_refused(config, clips):
    config.init_from = str(clips / "train.txt")
    with pytest.raises(InputError, match="train.txt is a file, not a run's directory; .jaxaction"):
        begin(config)


def test_no_classes_means_as_many_as_the_videos_have(clips):
    config = tiny_run.config(clips)
    config.model.num_classes = 0
    init_from.set_classes(config, lambda line: None)
    assert config.model.num_classes == 3


def test_a_run_that_begins_afresh_keeps_its_number_of_classes(clips):
    config = tiny_run.config(clips)
    config.model.num_classes = 9
    init_from.set_classes(config, lambda line: None)
    assert config.model.num_classes == 9
    assert begin(config) == ({}, [])
