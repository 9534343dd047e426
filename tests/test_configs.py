import gzip
import importlib
import json

import jax
import numpy as np
import pytest
from flax import traverse_util

import jaxaction
from jaxaction.config import build, checks, flags, shipped, stored
from jaxaction.errors import InputError
from jaxaction.interop import mmaction
from jaxaction.models.mobilenet import TSMMobileNetV2
from jaxaction.models.non_local import NonLocal
from jaxaction.models.resnet import ResNet
from jaxaction.models.slowfast import SlowFast, SlowPath
from jaxaction.models.trainable import frozen_parameters
from jaxaction.training import optimizer, setup
from tests.paths import ROOT

PIPELINE = json.loads(
    gzip.decompress((ROOT / "tests" / "parity" / "pipeline.json.gz").read_bytes())
)

FAMILIES = shipped.FAMILIES


def module(family):
    return importlib.import_module(f"configs.{family}")


# "slowfast:r50-4x16-k400" -> its row of VARIANTS, for all variants that follow an MMAction2 config.
RECIPES = {
    f"{family}:{variant}": row
    for family in FAMILIES
    for variant, row in module(family).VARIANTS.items()
    if row.mmaction_name
}
MODELS = json.loads(gzip.decompress((ROOT / "tests" / "parity" / "models.json.gz").read_bytes()))
each_recipe = pytest.mark.parametrize("name", RECIPES)


def load(name):
    family, _, variant = name.partition(":")
    return flags.load_config(str(ROOT / "configs" / f"{family}.py"), variant)


def mmaction_recipe(name):
    wanted = RECIPES[name].mmaction_name
    return next(recipe for recipe in PIPELINE["recipes"] if recipe["config"] == wanted)


def stage(recipe, pipeline, kind):
    """Returns the options of the first transform of these types in an MMAction2 pipeline."""
    return next((x for x in recipe[f"{pipeline}_pipeline"] if x["type"] in kind), None)


def test_every_recipe_of_mmaction2_is_a_variant():
    assert {row.mmaction_name for row in RECIPES.values()} == set(MODELS)
    assert len(RECIPES) == len(MODELS) == 43


# Our own recipes, with features that MMAction2's recipes don't use.
OURS = (
    "tsm:r50-augmented-1x1x8-sthv2",
    "tsm:r50-directions-1x1x8-sthv2",
    "i3d:r50-one-gpu-32x2x1-k400",
    "slowonly:r50-averaged-8x8-k400",
    "slowfast:r50-precise-4x16-k400",
)


@pytest.mark.parametrize("name", [*FAMILIES, *RECIPES, *OURS])
def test_all_parts_accept_the_config(name):
    config = load(name)
    checks.check_numbers(config)
    build.protocol(config.val, "val")
    build.protocol(config.test)
    setup.train_transform(config)
    setup.build_optimizer(config, 10)
    setup.build_recipe(config, devices=1)
    assert stored.from_dict(stored.to_dict(config)).to_dict() == config.to_dict()


# Together these have every shape of clip that a recipe trains or tests with.
@pytest.mark.parametrize(
    "name",
    [*FAMILIES, "tsn:r50-dense-1x1x5-k400", "tsn:r50-5x1x3-k400-flow"]
    + ["tsm:mobilenetv2-1x1x8-k400", "tsm:r50-1x1x16-sthv2", "tsm:r50-nl-gaussian-1x1x8-k400"]
    + ["i3d:r50-dense-32x2x1-k400", "r2plus1d:r34-8x8-k400", "slowonly:r50-16x4-k400-flow"]
    + ["slowfast:r50-8x8-steplr-k400"],
)
def test_clips_of_the_config_go_through_its_network(name):
    checks.check_clips(load(name))


@pytest.mark.parametrize("name", FAMILIES)
def test_default_is_a_small_network_on_motions(name):
    config = load(name)
    assert (config.data.name, config.model.num_classes) == ("motions", 12)
    sizes = [np.prod(p.shape) for p in jax.tree.leaves(build.abstract_variables(config))]
    assert sum(sizes) < 4e6  # the recipes have 24 to 64 million


@each_recipe
def test_recipe_has_the_learning_rates_of_mmaction2(name):
    recipe = mmaction_recipe(name)
    steps, rates = np.array(recipe["curve"]).T
    _, schedule = setup.build_optimizer(load(name), recipe["iterations_per_epoch"])
    got = jax.jit(jax.vmap(schedule))(steps.astype(np.int32))
    np.testing.assert_allclose(got, rates, rtol=1e-6)


@each_recipe
def test_recipe_has_the_settings_of_mmaction2(name):
    config, recipe = load(name), mmaction_recipe(name)
    assert (config.optim.name, recipe["optimizer"]["type"]) == ("sgd", "SGD")
    assert config.optim.momentum == recipe["optimizer"]["momentum"]
    assert config.optim.weight_decay == recipe["optimizer"]["weight_decay"]
    assert config.optim.clip_norm == recipe["clip_grad"]["max_norm"]
    assert bool(config.optim.multipliers) == bool(recipe["paramwise"])
    assert config.train.epochs == recipe["max_epochs"]
    assert config.train.eval_every_epochs == recipe["val_interval"]
    gpus = int(RECIPES[name].mmaction_name.split("xb")[0].split("_")[-1])
    assert config.train.batch_size == gpus * recipe["batch_size"]
    base = recipe["auto_scale_lr"].get("base_batch_size", config.train.batch_size)
    assert config.optim.reference_batch == base
    shared = config.model.name == "r2plus1d"  # its batch norms average over all GPUs
    assert config.model.bn_group == (0 if shared else recipe["batch_size"])


@each_recipe
def test_recipe_takes_the_training_clips_of_mmaction2(name):
    config, recipe = load(name), mmaction_recipe(name)
    frames = stage(recipe, "train", ("SampleFrames", "DenseSampleFrames"))
    assert config.data.clip_len == clip_len(config, frames)
    dense = frames["type"] == "DenseSampleFrames"
    assert (config.data.sampling == "dense") == dense
    if frames["num_clips"] == 1:
        assert config.data.frame_interval == frames["frame_interval"]
    elif dense:
        assert config.data.frame_interval == 64 // frames["num_clips"]
    crop = stage(recipe, "train", ("MultiScaleCrop", "RandomResizedCrop"))
    assert config.data.crop == TRAIN_CROPS[len(crop.get("scales", ())), crop.get("num_fixed_crops")]
    flip = stage(recipe, "train", ("Flip",))
    assert config.data.flip == flip["flip_ratio"]
    pairs = {int(a): b for a, b in flip.get("flip_label_map", {}).items()}
    assert {a: b for pair in config.data.flip_labels for a, b in (pair, pair[::-1])} == pairs
    assert (config.data.short_side, config.data.size) == (256, (224, 224))
    normalize = MODELS[RECIPES[name].mmaction_name]["data_preprocessor"]
    assert [config.data.mean, config.data.std] == [
        tuple(normalize["mean"]),
        tuple(normalize["std"]),
    ]


# By the number of scales, and of positions (MMAction2's `num_fixed_crops`).
TRAIN_CROPS = {
    (0, None): "random_resized",
    (2, None): "two_scale",
    (4, None): "multi_scale",
    (4, 13): "multi_scale_13",
}
CROPS = {"CenterCrop": "center", "ThreeCrop": "three", "TenCrop": "ten"}


def clip_len(config, frames):
    """Returns the length of axis t; optical flow has `clip_len` frames in the channels instead."""
    segments = config.model.name in ("tsn", "tsm", "tsm_mobilenetv2")
    return frames["num_clips"] if segments else frames["clip_len"]


@each_recipe
@pytest.mark.parametrize("kind", ["val", "test"])
def test_recipe_takes_the_views_of_mmaction2(name, kind):
    config, recipe = load(name), mmaction_recipe(name)
    protocol = build.protocol(config[kind], kind)
    frames = stage(recipe, kind, ("SampleFrames", "DenseSampleFrames"))
    crop = stage(recipe, kind, CROPS)
    size = crop["crop_size"]
    assert (protocol.crops, protocol.size) == (CROPS[crop["type"]], (size, size))
    assert protocol.average == ("score" if (kind, config.model.name) == ("test", "tsn") else "prob")
    # MMAction2 tests this network of 16 frames with 8.
    broken = name == "tsm:r50-1x1x16-sthv2" and kind == "test"
    assert protocol.clip_len == (16 if broken else clip_len(config, frames))
    if protocol.sampling == "dense":
        assert frames["type"] == "DenseSampleFrames" and protocol.num_clips == 10
        single = frames["num_clips"] == 1
        interval = frames["frame_interval"] if single else 64 // frames["num_clips"]
        assert protocol.frame_interval == interval
    elif protocol.sampling == "segments":
        assert protocol.num_clips == 1 + frames.get("twice_sample", False)
    else:
        assert protocol.num_clips == frames["num_clips"]


def test_tsm_recipe_gives_every_parameter_the_group_of_mmaction2():
    (expected,) = PIPELINE["parameter_groups"]
    name = next(name for name, row in RECIPES.items() if row.mmaction_name == expected["config"])
    config = load(name)
    model, groups = build.model(config), {}
    for path in traverse_util.flatten_dict(build.abstract_variables(config)["params"]):
        rate, decay = optimizer.multipliers("/".join(path), config.optim.multipliers)
        settings = (rate * config.optim.learning_rate, decay * config.optim.weight_decay)
        groups[mmaction.mmaction_key(model, ("params", *path))] = settings
    wanted = {
        param: (group["lr"], group["weight_decay"])
        for group in expected["groups"]
        for param in group["params"]
    }
    assert groups.keys() == wanted.keys()
    for param, settings in wanted.items():
        assert groups[param] == pytest.approx(settings), param


def test_our_own_recipes_use_the_features_in_their_names():
    plain = (0.0, 0.0, 0.0, (), 0.0, 1, 0)
    keys = ("mixup", "cutmix", "label_smoothing", "class_weights", "ema_decay", "accumulate")
    used = {}
    for name in ("tsm", *OURS):
        train = load(name).train
        values = [train[key] for key in (*keys, "precise_bn_clips")]
        used[name] = {i for i, (a, b) in enumerate(zip(values, plain, strict=True)) if a != b}
    assert list(used.values()) == [set(), {0, 1}, {3}, {5}, {2, 4}, {6}]
    weights = load("tsm:r50-directions-1x1x8-sthv2").train.class_weights
    assert (len(weights), sum(weights), weights[86], weights[0]) == (174, 180, 2, 1)


def test_a_batch_in_eight_parts_on_one_gpu_is_the_recipe_for_eight_gpus():
    one, eight = load("i3d:r50-one-gpu-32x2x1-k400"), load("i3d:r50-32x2x1-k400")
    recipe = setup.build_recipe(one, devices=1)
    assert (recipe.accumulate, recipe.group_size) == (8, one.model.bn_group)
    one.train.accumulate = 1
    assert one.to_dict() == eight.to_dict()


def test_the_warmup_of_a_large_batch_is_counted_in_clips():
    config = load("slowonly:r50-averaged-8x8-k400")
    _, schedule = setup.build_optimizer(config, steps_per_epoch=235)
    last = round(500_000 / 1024) - 1
    assert float(schedule(0)) == pytest.approx(0.1 * 1.6)
    before, peak = float(schedule(last - 1)), float(schedule(last))
    assert before < peak == pytest.approx(1.6, rel=1e-3)  # the cosine decay has started


@pytest.mark.parametrize(
    ("name", "fields", "frozen"),
    [
        # 52 norms of 53 have a scale and a bias each.
        ("tsn:r50-partial-bn-1x1x8-finetune", {"partial_bn": True}, 104),
        # The stem and ten convolutions, each with its norm.
        ("slowonly:r50-frozen-8x8-finetune", {"frozen_stages": 1, "norm_eval": True}, 33),
        ("slowfast:r101-remat-8x8-k400", {"remat": (1, 2)}, 0),
    ],
)
def test_variants_freeze_and_recompute_the_layers_in_their_names(name, fields, frozen):
    config = load(name)
    defaults = {"frozen_stages": -1, "norm_eval": False, "remat": ()}
    assert config.model.to_dict().items() >= (defaults | fields).items()
    assert len(frozen_parameters(build.model(config))) == frozen
    assert setup.build_optimizer(config, 10)


def test_the_remat_recipe_is_otherwise_the_plain_one():
    saving, plain = load("slowfast:r101-remat-8x8-k400"), load("slowfast:r101-8x8-k400")
    plain.model.remat = (1, 2)
    assert saving.to_dict() == plain.to_dict()


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
    assert build.model(config).num_segments == 4


def test_unknown_variant_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown variant 'r50'; there is r50-4x16-k400"):
        load("slowfast:r50")


def test_no_config_value_is_none_or_a_list():
    for name in [*FAMILIES, *RECIPES]:
        config = load(name)
        for key in flags.flatten(config):
            value = config
            for part in key.split("."):
                value = value[part]
            assert isinstance(value, bool | int | float | str | tuple), (name, key)


@each_recipe
def test_recipes_network_is_the_published_one(name):
    ours = build.model(load(name)).clone(bn_group=0)
    theirs = jaxaction.build(mmaction.model_config(MODELS[RECIPES[name].mmaction_name]))

    def fields(model):
        if isinstance(model, TSMMobileNetV2):
            return model
        slowfast = isinstance(model, SlowFast)
        backbone = model.paths() if slowfast else (model.backbone_fields(),)
        return *map(with_defaults, backbone), model.num_classes, model.dropout, model.init_std

    assert fields(ours) == fields(theirs)


def with_defaults(backbone):
    """Returns a backbone with all its fields, and one of its non-local blocks."""
    cfg = backbone.get("non_local_cfg", {})
    network = (SlowPath if "lateral_fields" in backbone else ResNet)(**backbone)
    return network.clone(non_local_cfg={}), NonLocal(**cfg)
