"""Configs become modules; what does not fit is named with the nearest that does."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxaction
from jaxaction.models import abstract_variables
from tests.models.networks import clip_shape, each_model, tiny


def abstract_logits(model, shape=None, train=False):
    """The shape and type of the logits of clips, by default those of `clip_shape`."""
    shape = shape or clip_shape(model)

    def logits(clip, key):
        variables = jaxaction.init(model, shape, key)
        rngs = {"dropout": key}
        return model.apply(variables, clip, train, mutable=["batch_stats"], rngs=rngs)[0]

    return jax.eval_shape(logits, jax.ShapeDtypeStruct(shape, jnp.float32), jax.random.key(0))


@each_model
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("train", [False, True])
def test_logits_are_float32_one_row_a_clip(name, dtype, train):
    model = jaxaction.build(tiny(name, dtype=dtype))
    logits = abstract_logits(model, train=train)
    assert logits.shape == (2, 5) and logits.dtype == jnp.float32


@each_model
def test_config_through_json_gives_the_same_hashable_module(name):
    model = jaxaction.build(tiny(name))
    again = jaxaction.build(json.loads(json.dumps(tiny(name))))
    assert model == again and hash(model) == hash(again)


@each_model
def test_parameters_are_float32_also_in_bfloat16(name):
    variables = abstract_variables(jaxaction.build(tiny(name, dtype="bfloat16")))
    assert set(variables) == {"params", "batch_stats"}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@each_model
def test_head_sees_as_many_channels_as_the_model_says(name):
    model = jaxaction.build(tiny(name))
    kernel = abstract_variables(model)["params"]["cls_head"]["fc_cls"]["kernel"]
    assert kernel.shape == (model.out_channels, 5)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
@pytest.mark.parametrize("name", ["tsn", "i3d"])
def test_every_depth_of_resnet_builds(name, depth):
    model = jaxaction.build({"name": name, "num_classes": 5, "depth": depth, "width": 8})
    assert abstract_logits(model).shape == (2, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "slowfas"}, "model.name 'slowfas' is no model; did you mean 'slowfast'?"),
        ({"name": "xyz"}, "model.name 'xyz' is no model; choose one of tsn, tsm"),
        ({"dephts": 50}, "model.dephts is no field of 'i3d'; did you mean 'depth'?"),
        ({"depth": 51}, "model.depth 51 is not one of 18, 34, 50, 101, 152"),
        ({"style": "tf"}, "model.style 'tf' is not one of pytorch, caffe"),
        ({"inflate": (1, 1)}, "model.inflate (1, 1) has 2 entries, the network 4 stages"),
        (
            {"inflate": (1, (1, 0), 1, 1)},
            "model.inflate[1] (1, 0) has 2 entries, the stage 1 blocks",
        ),
    ],
)
def test_misfit_is_named(changes, message):
    with pytest.raises(ValueError) as error:
        model = jaxaction.build(tiny("i3d", stage_blocks=(1, 1, 1, 1)) | changes)
        abstract_logits(model, (2, 8, 32, 32, 3))
    assert message in str(error.value)


def test_missing_number_of_classes_is_named():
    with pytest.raises(ValueError, match="model.num_classes is missing"):
        jaxaction.build({"name": "i3d"})


@pytest.mark.parametrize(
    ("name", "changes", "clip_len", "message"),
    [
        (
            "slowfast",
            {},
            30,
            "clip_len 30 is not a multiple of resample_rate 8; set data.clip_len to 24 or 32",
        ),
        (
            "slowfast",
            {},
            4,
            "clip_len 4 is not a multiple of resample_rate 8; set data.clip_len to 8",
        ),
        (
            "slowfast",
            {"speed_ratio": 3},
            16,
            "resample_rate 8 is not a multiple of model.speed_ratio 3",
        ),
        ("slowfast", {"width": 4}, 16, "model.width 4 over model.channel_ratio 8 leaves the"),
        ("tsm", {}, 16, "16 segments (data.clip_len) does not fit model.num_segments 8"),
        ("tsm", {"temporal_pool": True, "num_segments": 5}, 5, "model.num_segments 5 is odd"),
        ("i3d", {}, 4, "set data.clip_len to 5 or more"),
        ("tsm_mobilenetv2", {}, 8, "8 segments (data.clip_len) does not fit model.num_segments 4"),
    ],
)
def test_clip_length_that_the_model_cannot_take_is_named(name, changes, clip_len, message):
    model = jaxaction.build(tiny(name) | changes)
    with pytest.raises(ValueError) as error:
        abstract_logits(model, (1, clip_len, 32, 32, 3))
    assert message in str(error.value)


def test_clip_with_other_channels_is_named():
    with pytest.raises(ValueError, match="model.in_channels is 3"):
        abstract_logits(jaxaction.build(tiny("tsn")), (1, 3, 32, 32, 2))


def test_same_key_gives_the_same_variables():
    model = jaxaction.build(tiny("tsn"))
    one, two = (jaxaction.init(model, clip_shape(model), jax.random.key(3)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, two)
