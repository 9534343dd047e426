"""Weights convert strictly, and every name has one way back."""

import numpy as np
import pytest
from flax import traverse_util

import jaxaction
from jaxaction.interop import mmaction
from jaxaction.models import abstract_variables
from tests.figures import Case, case_names

NAME = "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb"
CONFIG = {"name": "tsn", "num_classes": 4, "depth": 18, "stage_blocks": (1, 1), "width": 4}


def state_dict(config):
    """Zeros under MMAction2's names, in PyTorch's layout."""
    model = jaxaction.build(config)
    shapes = traverse_util.flatten_dict(abstract_variables(model))
    return {
        mmaction.mmaction_key(model, path): np.zeros(mmaction.to_torch_shape(leaf.shape))
        for path, leaf in shapes.items()
    }


@pytest.mark.parametrize("name", case_names())
def test_names_are_mmaction2_s(name):
    case = Case(name)
    model = jaxaction.build(mmaction.model_config(case.meta["model"]))
    paths = traverse_util.flatten_dict(abstract_variables(model))
    assert {mmaction.mmaction_key(model, path) for path in paths} == set(case.meta["state_keys"])


def test_convolutions_turn_to_frames_height_width_in_out():
    weight = np.arange(2 * 3 * 4 * 5 * 6.0).reshape(2, 3, 4, 5, 6)  # [o, i, t, h, w]
    assert mmaction.from_torch(weight)[1, 2, 3, 0, 1] == weight[1, 0, 1, 2, 3]
    flat = np.arange(2 * 3 * 5 * 6.0).reshape(2, 3, 5, 6)
    assert mmaction.from_torch(flat)[0, 2, 3, 0, 1] == flat[1, 0, 2, 3]


def test_counters_of_batches_are_left_out():
    counted = state_dict(CONFIG) | {"backbone.conv1.bn.num_batches_tracked": np.array(3)}
    assert set(mmaction.convert(counted, CONFIG)) == {"params", "batch_stats"}


def test_converted_weights_are_float32():
    halves = {key: value.astype(np.float16) for key, value in state_dict(CONFIG).items()}
    leaves = traverse_util.flatten_dict(mmaction.convert(halves, CONFIG)).values()
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}


def test_missing_unexpected_and_misshapen_weights_are_all_listed():
    weights = state_dict(CONFIG)
    del weights["backbone.conv1.bn.bias"]
    weights["backbone.extra.weight"] = np.zeros(3)
    weights["cls_head.fc_cls.weight"] = np.zeros((7, 8))
    with pytest.raises(ValueError) as error:
        mmaction.convert(weights, CONFIG)
    assert "1 missing: backbone.conv1.bn.bias" in str(error.value)
    assert "1 unexpected: backbone.extra.weight" in str(error.value)
    assert "cls_head.fc_cls.weight [7, 8] instead of [4, 8]" in str(error.value)


def test_all_of_many_missing_weights_are_listed():
    with pytest.raises(ValueError) as error:
        mmaction.convert({}, CONFIG)
    assert all(key in str(error.value) for key in state_dict(CONFIG))


@pytest.mark.parametrize(("given", "wanted"), [("tsm", "tsn"), ("tsn", "tsm")])
def test_weights_of_the_other_2d_family_are_refused(given, wanted):
    with pytest.raises(ValueError, match=r"conv1\.conv\.net\.weight"):
        mmaction.convert(state_dict(CONFIG | {"name": given}), CONFIG | {"name": wanted})
