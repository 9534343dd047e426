"""Frozen stages get no gradient and keep their statistics; everything else trains as usual."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import jaxaction
from jaxaction.errors import InputError
from jaxaction.models import MODELS
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d
from jaxaction.models.trainable import frozen_parameters
from jaxaction.runtime import xla_options
from tests.models.networks import network

SLOWFAST = "slowfast lateral norm"
# Of slow and fast paths, stages that differ; the names of what is frozen begin so.
SLOWFAST_FIELDS = {"depth": 18, "frozen_stages": 1, "fast": {"frozen_stages": 0}}
SLOWFAST_FROZEN = (
    "backbone/slow_path/conv1/",
    "backbone/slow_path/layer1/",
    "backbone/slow_path/conv1_lateral/",  # into layer1; the next one trains
    "backbone/fast_path/conv1/",
)
# Networks with fields of their own, and their last frozen stage.
FROZEN = {"tsm non-local": 2, "tsm_mobilenetv2": 2, "i3d basic": 0}


def compiled(function):
    return jax.jit(function, compiler_options=xla_options.for_one_run())


def gradients(name, **fields):
    """The names of the parameters that get a gradient, and of those that get none."""
    model, variables, clip = network(name, dropout=0.0, **fields)
    stats = variables["batch_stats"]

    def loss(params):
        variables = {"params": params, "batch_stats": stats}
        return (model.apply(variables, clip, True, mutable=["batch_stats"])[0] ** 2).sum()

    return split(compiled(jax.grad(loss))(variables["params"]))


def statistics(name, **fields):
    """The names of the running statistics that a step of training changes, those of the others, and
    how far its logits are from those of a test."""
    model, variables, clip = network(name, dropout=0.0, **fields)

    def both(variables):
        logits, new = model.apply(variables, clip, True, mutable=["batch_stats"])
        return logits - model.apply(variables, clip, False), new["batch_stats"]

    difference, new = compiled(both)(variables)
    moved = jax.tree.map(lambda new, old: new - old, new, variables["batch_stats"])
    return *split(moved), np.abs(difference).max()


def split(tree):
    """The names of the leaves that have any number but zero, and of the others."""
    leaves = {"/".join(path): np.any(leaf) for path, leaf in flatten_dict(tree).items()}
    return [{name for name in leaves if leaves[name] == some} for some in (True, False)]


def stage_of(parameter):
    """The stage of a parameter by its name, of a lateral connection that which it leads into."""
    match = re.match(r"backbone/(?:\w+_path/)?(?:conv1|layer(\d+))(_lateral)?/", parameter)
    return int(match[1] or 0) + bool(match[2]) if match else 100


@pytest.mark.parametrize(
    ("name", "last"), [*((name, 1) for name in MODELS), *FROZEN.items()], ids=str
)
def test_stages_up_to_the_frozen_one_have_frozen_parameters_and_no_other(name, last):
    model, variables, _ = network(name, frozen_stages=last)
    names = {"/".join(path) for path in flatten_dict(variables["params"])}
    frozen = {name for name in names if stage_of(name) <= last}
    assert frozen_parameters(model) == frozen
    assert {stage_of(name) for name in frozen} == set(range(last + 1))
    assert frozen_parameters(network(name)[0]) == frozenset()


def test_a_path_of_slowfast_can_have_frozen_stages_of_its_own():
    model, variables, _ = network(SLOWFAST, **SLOWFAST_FIELDS)
    names = {"/".join(path) for path in flatten_dict(variables["params"])}
    assert frozen_parameters(model) == {name for name in names if name.startswith(SLOWFAST_FROZEN)}


def test_frozen_parameters_are_those_without_a_gradient():
    trained, still = gradients(SLOWFAST, **SLOWFAST_FIELDS)
    assert still == frozen_parameters(network(SLOWFAST, **SLOWFAST_FIELDS)[0])
    assert trained >= {"cls_head/fc_cls/kernel", "cls_head/fc_cls/bias"}


def test_statistics_of_frozen_stages_stay_and_all_others_move():
    moved, kept, _ = statistics("r2plus1d", frozen_stages=1)
    assert kept == {name for name in moved | kept if stage_of(name) <= 1}
    assert moved


def test_norm_eval_trains_on_the_running_statistics_and_leaves_them():
    moved, kept, difference = statistics(SLOWFAST, norm_eval=True)
    assert not moved and kept
    assert difference == 0  # without dropout, a step's logits are a test's


def test_norm_eval_freezes_no_parameter():
    assert frozen_parameters(network(SLOWFAST, norm_eval=True)[0]) == frozenset()


def test_all_statistics_move_where_nothing_is_frozen():
    moved, kept, difference = statistics("tsm non-local")
    assert moved and not kept and difference > 1e-3


@pytest.mark.parametrize("name", ["tsn", "tsm non-local"])
def test_partial_bn_freezes_scale_and_bias_of_all_norms_but_the_first(name):
    model, variables, _ = network(name, partial_bn=True)
    names = {"/".join(path) for path in flatten_dict(variables["params"])}
    norms = {name for name in names if "/bn/" in name}
    stem = {name for name in names if name.startswith("backbone/conv1/")}
    assert frozen_parameters(model) == norms - stem
    assert frozen_parameters(model.clone(frozen_stages=0)) == norms | stem


def test_partial_bn_moves_the_statistics_of_the_first_norm_alone():
    moved, kept, _ = statistics("tsm non-local", partial_bn=True)
    assert moved == {"backbone/conv1/bn/mean", "backbone/conv1/bn/var"} and kept


@pytest.mark.parametrize("freeze", ["", "statistics", "norms", "all"])
def test_each_level_stops_the_gradients_that_it_names(freeze):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 1, 3, 3, 4)), jnp.float32)
    conv, norm = Conv3d(4, (1, 1, 1), use_bias=True, freeze=freeze), BatchNorm(freeze=freeze)
    draw = np.random.default_rng(1).standard_normal
    params = {"conv": {"kernel": draw((1, 1, 1, 4, 4)), "bias": draw(4)}}
    params |= {"norm": {"scale": draw(4), "bias": draw(4)}}
    stats = {"mean": np.zeros(4), "var": np.ones(4)}

    def loss(params):
        y = conv.apply({"params": params["conv"]}, x)
        variables = {"params": params["norm"], "batch_stats": jax.tree.map(jnp.asarray, stats)}
        return (norm.apply(variables, y, True, mutable=["batch_stats"])[0] ** 3).sum()

    _, still = split(compiled(jax.grad(loss))(jax.tree.map(np.float32, params)))
    norms, kernels = {"norm/scale", "norm/bias"}, {"conv/kernel", "conv/bias"}
    assert still == {"": set(), "statistics": set(), "norms": norms, "all": norms | kernels}[freeze]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (
            "tsn",
            {"frozen_stages": 3},
            "model.frozen_stages 3 is not the last frozen stage, 0 .* 2;",
        ),
        ("tsn", {"frozen_stages": -2}, "model.frozen_stages -2 is not"),
        ("tsn", {"remat": (1, 3)}, r"model.remat \(1, 3\) has 3, which is no stage; .* to 2"),
        ("tsm_mobilenetv2", {"frozen_stages": 9}, "frozen_stages 9 is not .* to 8"),
    ],
)
def test_a_stage_that_is_not_there_is_named(name, fields, message):
    with pytest.raises(InputError, match=message):
        network(name, **fields)


def test_mmaction2_has_partial_bn_for_2d_networks_alone():
    with pytest.raises(InputError, match="model.partial_bn is no field of 'slowonly'"):
        jaxaction.build({"name": "slowonly", "num_classes": 5, "partial_bn": True})
