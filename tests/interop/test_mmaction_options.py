"""Each option that changes a network gives MMAction2's logits; others are named."""

import gzip
import json

import jax
import numpy as np
import pytest

import jaxaction
from jaxaction.interop import mmaction
from jaxaction.runtime import xla_options
from tests.figures import FOLDER, rng, seeded_weight, to_clips

OPTIONS = json.loads(gzip.decompress((FOLDER / "options.json.gz").read_bytes()))


def weights(row):
    return {key: seeded_weight(key, tuple(shape)) for key, shape in row["state_keys"].items()}


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_with_this_option_are_mmaction2_s(name):
    row = OPTIONS[name]
    config = mmaction.model_config(row["model"])
    model = jaxaction.build(config)
    variables = mmaction.convert(weights(row), config)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == row["parameters"]
    clips = to_clips(rng(row["input_seed"]).standard_normal(row["input_shape"]))
    options = xla_options.for_one_run()
    run = jax.jit(lambda v: model.apply(v, clips, False), compiler_options=options)
    logits = run(variables)
    expected = np.array(row["logits"])
    # As in test_parity: two correct float32 implementations differ by about 1e-6 of the largest.
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_rows_with_different_options_have_different_logits():
    logits = {json.dumps(row["logits"]) for row in OPTIONS.values()}
    assert len(logits) == len(OPTIONS)


def settings(name="i3d", **changes):
    """The settings of a row, with `backbone.KEY`, `cls_head.KEY` or `KEY` set to something else."""
    model = json.loads(json.dumps(OPTIONS[name]["model"]))
    for key, value in changes.items():
        section, _, option = key.rpartition("__")
        (model[section] if section else model)[option] = value
    return model


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("i3d", {"neck": {"type": "TPN"}}, "model.neck = {'type': 'TPN'} is not supported"),
        ("i3d", {"test_cfg": {"fcn_test": True}}, "model.test_cfg = {'fcn_test': True}"),
        ("i3d", {"backbone__plugins": [1]}, "model.backbone.plugins = (1,) is not supported"),
        ("i3d", {"backbone__partial_bn": True}, "model.backbone.partial_bn = True"),
        ("i3d", {"backbone__act_cfg": {"type": "GELU"}}, "model.backbone.act_cfg"),
        ("i3d", {"backbone__conv_cfg": {"type": "Conv2plus1d"}}, "model.backbone.conv_cfg"),
        ("i3d", {"backbone__norm_cfg": {"type": "GN"}}, "model.backbone.norm_cfg.type = 'GN'"),
        ("i3d", {"backbone__out_indices": [2, 3]}, "model.backbone.out_indices = (2, 3)"),
        ("i3d", {"backbone__depth": 77}, "model.backbone.depth = 77 is not supported"),
        ("i3d", {"cls_head__spatial_type": "max"}, "model.cls_head.spatial_type = 'max'"),
        ("i3d", {"cls_head__in_channels": 99}, "in_channels 99 is not the backbone's 256"),
        ("i3d", {"cls_head__type": "TSNHead"}, "Recognizer3D + ResNet3d + TSNHead"),
        ("i3d", {"backbone__type": "torchvision.resnet50"}, "torchvision.resnet50"),
        (
            "i3d non_local embedded",
            {"backbone__non_local_cfg": {"mode": "concatenation"}},
            "model.backbone.non_local_cfg.mode = 'concatenation'",
        ),
        ("slowonly", {"backbone__lateral": True}, "model.backbone.lateral = True"),
        ("tsm", {"cls_head__num_segments": 8}, "model.cls_head.num_segments 8 differ"),
        ("tsm", {"backbone__temporal_pool": True, "backbone__is_shift": False}, "temporal_pool"),
        ("tsm non_local", {"backbone__temporal_pool": True}, "temporal_pool with non_local"),
        ("tsm non_local", {"backbone__shift_place": "block"}, "shift_place 'block' with non_local"),
    ],
)
def test_an_unsupported_option_is_refused_by_name(name, changes, message):
    with pytest.raises(ValueError) as error:
        mmaction.model_config(settings(name, **changes))
    assert message in str(error.value)


def test_fast_path_too_wide_for_the_laterals_is_refused():
    model = settings("slowfast")
    model["backbone"]["fast_pathway"]["base_channels"] = 4
    with pytest.raises(ValueError, match="fast_pathway.base_channels 4 is not"):
        mmaction.model_config(model)


def test_options_without_effect_on_the_network_are_left_out():
    extra = {
        "backbone__pretrained": "torchvision://resnet50",
        "backbone__pretrained2d": True,
        "backbone__with_cp": False,
        "backbone__norm_eval": False,
        "backbone__frozen_stages": -1,
        "cls_head__loss_cls": {"type": "CrossEntropyLoss"},
        "cls_head__average_clips": "prob",
        "data_preprocessor": {"type": "ActionDataPreprocessor"},
        "train_cfg": None,
        "test_cfg": {"max_testing_views": 4},
    }
    assert mmaction.model_config(settings(**extra)) == mmaction.model_config(settings())


def test_settings_with_tuples_and_with_lists_are_the_same():
    model = settings("i3d inflate per block")
    tuples = json.loads(json.dumps(model))
    tuples["backbone"]["inflate"] = tuple(map(tuple, model["backbone"]["inflate"]))
    assert mmaction.model_config(tuples) == mmaction.model_config(model)


def test_dropout_and_spread_of_the_classifier_are_the_heads():
    assert mmaction.model_config(settings("tsm"))["dropout"] == 0.8
    changed = settings("tsm", cls_head__dropout_ratio=0.5, cls_head__init_std=0.02)
    config = mmaction.model_config(changed)
    assert (config["dropout"], config["init_std"]) == (0.5, 0.02)


def test_segments_are_those_of_the_head_where_the_backbone_has_none():
    model = settings("tsm")
    del model["backbone"]["num_segments"]
    assert mmaction.model_config(model)["num_segments"] == 4


def test_frozen_and_rematerialised_stages_are_taken_over():
    frozen = {"backbone__frozen_stages": 1, "backbone__norm_eval": True, "backbone__with_cp": True}
    for name in ("tsn", "i3d"):
        stages = settings(name)["backbone"].get("num_stages", 4)
        expected = {"frozen_stages": 1, "norm_eval": True, "remat": tuple(range(1, stages + 1))}
        config = mmaction.model_config(settings(name, **frozen))
        assert config == mmaction.model_config(settings(name)) | expected
        jaxaction.build(config)
    config = mmaction.model_config(settings("tsm", backbone__partial_bn=True))
    assert jaxaction.build(config).partial_bn


def test_stages_that_both_paths_freeze_are_named_once():
    model = settings("slowfast")
    slow, fast = (model["backbone"][f"{path}_pathway"] for path in ("slow", "fast"))
    slow.update(frozen_stages=1, norm_eval=True)
    fast.update(frozen_stages=1)
    config = mmaction.model_config(model)
    assert config["frozen_stages"] == 1 and "frozen_stages" not in config["slow"]
    assert "norm_eval" not in config and config["slow"]["norm_eval"]
    slow, fast = jaxaction.build(config).paths()
    assert (slow["frozen_stages"], fast["frozen_stages"]) == (1, 1)
    assert (slow["norm_eval"], fast["norm_eval"]) == (True, False)
