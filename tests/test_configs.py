import gzip
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxaction
from jaxaction import flags, from_config, optim
from jaxaction.errors import InputError
from jaxaction.interop import mmaction
from jaxaction.models import abstract_variables
from jaxaction.models.resnet import ResNet
from jaxaction.models.slowfast import SlowFast, SlowPath
from tests.reference import Case

ROOT = Path(__file__).parent.parent
PIPELINE = json.loads(
    gzip.decompress((ROOT / "tests" / "parity" / "pipeline.json.gz").read_bytes())
)

# config:variant, the reference's config, and the test of its own table as (t, views).
RECIPES = [
    ("tsn:r50-1x1x3-k400", "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb", 25, 10),
    ("tsm:r50-1x1x8-k400", "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb", 8, 10),
    ("i3d:r50-32x2x1-k400", "i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb", 32, 30),
    ("r2plus1d:r34-8x8-k400", "r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb", 8, 30),
    ("slowonly:r50-4x16-k400", "slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb", 4, 30),
    ("slowfast:r50-4x16-k400", "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb", 32, 30),
]
FAMILIES = [name.split(":")[0] for name, *_ in RECIPES]


def load(name):
    family, _, variant = name.partition(":")
    return flags.load_config(str(ROOT / "configs" / f"{family}.py"), variant)


def reference(name):
    return next(recipe for recipe in PIPELINE["recipes"] if recipe["config"] == name)


@pytest.mark.parametrize("name", FAMILIES + [name for name, *_ in RECIPES])
def test_config_holds_what_the_parts_take(name):
    config = load(name)
    from_config.check_clips(config)
    from_config.protocol(config.val, "val")
    from_config.optimizer(config, 10)
    assert from_config.from_dict(from_config.to_dict(config)).to_dict() == config.to_dict()


@pytest.mark.parametrize("name", FAMILIES)
def test_default_is_a_small_network_on_motions(name):
    config = load(name)
    assert (config.data.name, config.model.num_classes) == ("motions", 12)
    sizes = [np.prod(p.shape) for p in jax.tree.leaves(from_config.abstract_variables(config))]
    assert sum(sizes) < 4e6  # the recipes have 24 to 64 million


@pytest.mark.parametrize(("name", "reference_name", "frames", "views"), RECIPES)
def test_recipe_has_the_learning_rates_of_the_reference(name, reference_name, frames, views):
    recipe = reference(reference_name)
    steps, rates = np.array(recipe["curve"]).T
    _, schedule = from_config.optimizer(load(name), recipe["iterations_per_epoch"])
    got = jax.jit(jax.vmap(schedule))(steps.astype(np.int32))
    np.testing.assert_allclose(got, rates, rtol=1e-6)


@pytest.mark.parametrize(("name", "reference_name", "frames", "views"), RECIPES)
def test_recipe_has_the_settings_of_the_reference(name, reference_name, frames, views):
    config, recipe = load(name), reference(reference_name)
    assert config.optim.momentum == recipe["optimizer"]["momentum"]
    assert config.optim.weight_decay == recipe["optimizer"]["weight_decay"]
    assert config.optim.clip_norm == recipe["clip_grad"]["max_norm"]
    assert config.train.epochs == recipe["max_epochs"]
    assert config.train.eval_every_epochs == recipe["val_interval"]
    assert config.train.batch_size == 8 * recipe["batch_size"]
    sampling = next(x for x in recipe["train_pipeline"] if x["type"] == "SampleFrames")
    assert config.data.clip_len == sampling["clip_len"] * sampling["num_clips"]
    assert config.data.frame_interval == sampling["frame_interval"]


@pytest.mark.parametrize(("name", "reference_name", "frames", "views"), RECIPES)
def test_recipe_is_tested_with_the_views_of_the_table(name, reference_name, frames, views):
    size = 224 if views == 10 else 256
    protocol = from_config.protocol(load(name).test)
    assert protocol.shape == (views, frames, size, size, 3)
    assert protocol.average == ("score" if name.startswith("tsn") else "prob")


def test_tsm_recipe_gives_every_parameter_the_reference_group():
    config = load("tsm:r50-1x1x8-k400")
    params = from_config.abstract_variables(config)["params"]
    groups = {}
    for path, _ in jax.tree_util.tree_leaves_with_path(params):
        row = optim.multipliers(optim.path_name(path), config.optim.multipliers)
        groups[row] = groups.get(row, 0) + 1
    # The reference's group sizes: 53 convolutions, 106 of norms, the classifier's two.
    assert groups == {(1, 1): 53, (1, 0): 106, (5, 1): 1, (10, 0): 1}


def test_views_follow_the_data_and_not_the_other_way():
    config = load("slowfast")
    config.data.clip_len = 32
    assert (config.val.clip_len, config.test.clip_len) == (32, 32)
    config.test.clip_len = 24
    assert (config.data.clip_len, config.val.clip_len) == (32, 32)


def test_the_cosine_ends_with_the_run():
    config = load("slowfast")
    config.train.epochs = 7.0
    assert config.optim.decay_epochs == 7.0


def test_segments_of_tsm_follow_the_clip_length():
    config = load("tsm")
    config.data.clip_len = 4
    assert from_config.model(config).num_segments == 4


def test_unknown_variant_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown variant 'r50'; there is r50-4x16-k400"):
        load("slowfast:r50")


def test_no_config_value_is_none_or_a_list():
    for name in FAMILIES + [name for name, *_ in RECIPES]:
        config = load(name)
        for key in flags.flatten(config):
            value = config
            for part in key.split("."):
                value = value[part]
            assert isinstance(value, bool | int | float | str | tuple), (name, key)


@pytest.mark.parametrize(("name", "published"), [recipe[:2] for recipe in RECIPES])
def test_recipes_network_is_the_published_one(name, published):
    ours = from_config.model(load(name)).clone(bn_group=0)
    theirs = jaxaction.build(mmaction.model_config(Case(published).meta["model"]))

    def fields(model):
        slowfast = isinstance(model, SlowFast)
        backbone = all_fields(*model.paths()) if slowfast else model.backbone_fields()
        return backbone, model.num_classes, model.dropout, model.init_std, abstract_variables(model)

    assert fields(ours) == fields(theirs)


def all_fields(slow, fast):
    """The two paths of a SlowFast with their defaults written out."""
    return SlowPath(**slow), ResNet(**fast)
