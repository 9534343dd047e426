"""Weights are fitted strictly, inflated as MMAction2 does, and refused where they are wrong."""

import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxaction
from jaxaction.errors import InputError
from jaxaction.interop import conversion, layout, mmaction
from jaxaction.interop.weights import read_weights, write_weights
from jaxaction.models import abstract_variables
from tests.figures import seeded_weight

TINY = {"num_classes": 4, "depth": 50, "stage_blocks": (1, 1), "width": 8}
TSN = {"name": "tsn", **TINY}


def weights(config):
    """Seeded weights of a network under MMAction2's names."""
    shapes = abstract_variables(jaxaction.build(config))
    names = mmaction.state_dict(jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes), config)
    shapes = layout.without_counters(names)
    return {key: seeded_weight(key, value.shape) for key, value in shapes.items()}


@pytest.fixture(scope="module")
def image_network():
    """A small 2D network under torchvision's names."""
    renamed = {}
    for key, value in weights(TSN).items():
        key = key.removeprefix("backbone.").replace("cls_head.fc_cls", "fc")
        key = key.replace("downsample.conv", "downsample.0").replace(
            "downsample.bn", "downsample.1"
        )
        for i in "123":
            key = key.replace(f"conv{i}.conv", f"conv{i}").replace(f"conv{i}.bn", f"bn{i}")
        renamed[key] = value
    return renamed


def kernel(converted, *path):
    leaf = converted.variables["params"]
    for part in path:
        leaf = leaf[part]
    return leaf["conv"]["kernel"]


def test_a_new_head_is_fresh_and_the_rest_is_the_files():
    converted = conversion.convert(weights(TSN), TSN | {"num_classes": 7}, new_head=True)
    head = ["cls_head.fc_cls.bias", "cls_head.fc_cls.weight"]
    assert (converted.fresh, sorted(converted.unused), converted.new_head) == (head, head, True)
    assert converted.variables["params"]["cls_head"]["fc_cls"]["kernel"].shape == (16 * 4, 7)
    theirs = mmaction.convert(weights(TSN), TSN)["params"]["backbone"]
    jax.tree.map(np.testing.assert_array_equal, converted.variables["params"]["backbone"], theirs)


def test_a_head_of_other_classes_is_refused_without_being_asked_for():
    with pytest.raises(InputError, match=r"cls_head.fc_cls.weight \[4, 64\] instead of \[7, 64\]"):
        conversion.convert(weights(TSN), TSN | {"num_classes": 7})


@pytest.mark.parametrize("change", ["missing", "more"])
def test_half_matching_weights_are_refused_with_a_new_head_too(change):
    given = weights(TSN)
    if change == "missing":
        del given["backbone.layer2.0.conv1.bn.bias"]
    given |= {"backbone.layer9.weight": np.zeros(2)} if change == "more" else {}
    name = {"missing": "1 missing: backbone.layer2.0.conv1.bn.bias"}.get(change, "1 unexpected")
    with pytest.raises(InputError, match=name):
        conversion.convert(given, TSN, new_head=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    given = weights(TSN)
    given["backbone.conv1.bn.bias"][3] = value
    with pytest.raises(InputError, match="1 weights .* not finite: backbone.conv1.bn.bias;"):
        conversion.convert(given, TSN)


def test_weights_that_overflow_float32_are_refused_by_name():
    given = weights(TSN)
    given["backbone.conv1.bn.bias"] = given["backbone.conv1.bn.bias"].astype(np.float64) + 1e300
    with pytest.raises(InputError, match="1 weights .* not finite: backbone.conv1.bn.bias;"):
        conversion.convert(given, TSN)


@pytest.mark.parametrize("kind", ["int8", "bool", "uint8", "int64"])
def test_weights_that_are_no_fractions_are_refused_by_name_and_type(kind):
    given = weights(TSN)
    given["backbone.conv1.bn.bias"] = given["backbone.conv1.bn.bias"].astype(kind)
    with pytest.raises(InputError, match=f"1 weights .* but {kind}: backbone.conv1.bn.bias;"):
        conversion.convert(given, TSN)


def test_half_precision_weights_are_taken():
    given = weights(TSN)
    for kind in ("float16", "bfloat16"):
        small = given | {"backbone.conv1.bn.bias": np.zeros(8, jnp.dtype(kind))}
        assert conversion.convert(small, TSN).variables


def test_numbers_that_numpy_lacks_are_named(tmp_path):
    tensor = {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}
    header = json.dumps({"a": tensor}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    with pytest.raises(InputError, match="w.safetensors has 1 weights of type F8_E4M3"):
        read_weights(tmp_path / "w.safetensors")


def test_image_weights_go_into_2d_networks_as_they_are(image_network):
    for name in ("tsn", "tsm"):  # TSM has wrappers in MMAction2's names
        converted = conversion.convert(image_network, TINY | {"name": name})
        expected = mmaction.convert(weights(TSN), TSN)["params"]["backbone"]
        jax.tree.map(
            np.testing.assert_array_equal, converted.variables["params"]["backbone"], expected
        )
        assert converted.reshaped == [] and converted.new_head


def test_image_weights_are_spread_over_the_frames_of_inflated_kernels(image_network):
    converted = conversion.convert(
        image_network, {"name": "i3d", **TINY, "conv1_kernel": (5, 7, 7)}
    )
    stem = kernel(converted, "backbone", "conv1")
    flat = layout.from_torch(image_network["conv1.weight"])
    assert stem.shape == (5, 7, 7, 3, 8)
    np.testing.assert_allclose(stem, np.repeat(flat / 5, 5, axis=0), rtol=1e-6)
    assert "backbone.layer1.0.conv1.conv.weight" in converted.reshaped
    assert "backbone.layer1.0.conv2.conv.weight" not in converted.reshaped


def test_image_weights_leave_laterals_and_the_fast_path_fresh(image_network):
    converted = conversion.convert(image_network, {"name": "slowfast", **TINY})
    slow = kernel(converted, "backbone", "slow_path", "layer1", "0", "conv1")
    flat = layout.from_torch(image_network["layer1.0.conv1.weight"])
    np.testing.assert_array_equal(slow[..., :8, :], flat)
    assert slow.shape[-2] == 8 + 2 and not slow[..., 8:, :].any()
    parts = ("backbone.fast_path.", "_lateral.", "cls_head.")
    assert converted.fresh and all(any(part in key for part in parts) for key in converted.fresh)


def test_image_weights_leave_non_local_blocks_fresh(image_network):
    config = {"name": "i3d", **TINY, "non_local": (0, 1)}
    converted = conversion.convert(image_network, config)
    fresh = [key for key in converted.fresh if "non_local_block" in key]
    assert len(converted.fresh) == len(fresh) + 2 > 2
    assert not kernel(converted, "backbone", "layer2", "0", "non_local_block", "conv_out").any()


def test_factorised_convolutions_take_no_image_weights(image_network):
    config = {"name": "r2plus1d", **TINY, "norm_eps": 1e-5}
    with pytest.raises(InputError, match="do not fit the model; .*missing: backbone.conv1.conv"):
        conversion.convert(image_network, config)


def test_networks_that_mmaction2_does_not_have_do_not_go_there():
    config = {"name": "r2plus1d", **TINY, "depth": 18, "factorize": "torchvision"}
    with pytest.raises(
        InputError, match="MMAction2 has no network with model.factorize=torchvision"
    ):
        mmaction.state_dict({}, config)


@pytest.mark.parametrize("outer", ["state_dict", "model_state", "model", ""])
def test_weights_are_found_wherever_a_checkpoint_keeps_them(outer, monkeypatch, tmp_path):
    inside = {"module.a.weight": np.ones(2), "epoch": 3}
    content = {outer: inside, "meta": {}} if outer else inside
    monkeypatch.setattr("jaxaction.interop.weights.read_pth", lambda path: content)
    assert list(read_weights(tmp_path / "x.pth")) == ["a.weight"]


def test_a_file_of_safetensors_is_read_and_not_overwritten(tmp_path):
    file = tmp_path / "weights.safetensors"
    given = weights(TSN)
    write_weights(file, given)
    read = read_weights(file)
    assert set(read) == set(given)
    np.testing.assert_array_equal(read["cls_head.fc_cls.weight"], given["cls_head.fc_cls.weight"])
    with pytest.raises(InputError, match="exists already; give another name"):
        write_weights(file, given)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match="damaged.safetensors is damaged or cut off"):
        read_weights(damaged)


def test_a_file_of_weights_needs_a_known_ending(tmp_path):
    with pytest.raises(InputError, match="ends in .safetensors or .pth"):
        write_weights(tmp_path / "weights.bin", {})


def test_a_checkpoint_without_weights_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("jaxaction.interop.weights.read_pth", lambda path: {"meta": {"epoch": 3}})
    with pytest.raises(InputError, match="holds no weights by name"):
        read_weights(tmp_path / "x.pth")
