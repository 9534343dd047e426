"""Counts by hand, MMAction2's published figures, and the command's output."""

import math
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

import jaxaction
from jaxaction.commands import flops
from jaxaction.commands.cli import main
from jaxaction.commands.flops import Layer
from jaxaction.config import build, flags
from jaxaction.errors import InputError
from jaxaction.models import abstract_variables
from jaxaction.models.non_local import NonLocal
from jaxaction.models.ops import conv3d
from tests.models.networks import clip_shape, each_model, tiny
from tests.paths import ROOT

TINY = {"name": "tsn", "num_classes": 5, "stage_blocks": (1,), "width": 4}
FOUR_STAGES = {"stage_blocks": (1, 1, 1, 1)}


class Alone(nn.Module):
    """A network that is a single convolution."""

    features: int
    kernel_size: tuple[int, int, int]
    strides: tuple[int, int, int] = (1, 1, 1)
    padding: tuple[int, int, int] = (0, 0, 0)
    groups: int = 1
    use_bias: bool = False

    @nn.compact
    def __call__(self, x, train):
        shape = (self.features, self.kernel_size, self.strides, self.padding)
        options = {"groups": self.groups, "use_bias": self.use_bias, "name": "conv"}
        return conv3d.Conv3d(*shape, **options)(x)


def test_layers_of_a_tiny_network_are_those_counted_by_hand():
    counted = flops.count(jaxaction.build(TINY), (2, 3, 16, 16, 3))
    block = "backbone/layer1/0"
    assert counted.layers == (
        Layer("backbone/conv1/conv", "conv", (1, 7, 7, 3, 4), (2, 3, 8, 8, 4), 588),
        Layer(f"{block}/conv1/conv", "conv", (1, 1, 1, 4, 4), (2, 3, 4, 4, 4), 16),
        Layer(f"{block}/conv2/conv", "conv", (1, 3, 3, 4, 4), (2, 3, 4, 4, 4), 144),
        Layer(f"{block}/conv3/conv", "conv", (1, 1, 1, 4, 16), (2, 3, 4, 4, 16), 64),
        Layer(f"{block}/downsample/conv", "conv", (1, 1, 1, 4, 16), (2, 3, 4, 4, 16), 64),
        Layer("cls_head/fc_cls", "dense", (16, 5), (2, 5), 85),
    )
    macs = [147 * 1536, 4 * 384, 36 * 384, 4 * 1536, 4 * 1536, 16 * 10]
    assert [layer.macs for layer in counted.layers] == macs
    assert (counted.macs, counted.macs_without_head) == (253600, 253440)
    assert counted.parameters == 588 + 16 + 144 + 64 + 64 + 85 + 2 * (4 + 4 + 4 + 16 + 16)
    assert counted.stages == {
        "backbone/conv1": (2, 3, 8, 8, 4),
        "backbone/layer1": (2, 3, 4, 4, 16),
    }


def test_group_of_a_convolution_sees_its_own_channels():
    model = Alone(8, (3, 1, 1), (2, 1, 1), (1, 0, 0), groups=2, use_bias=True)
    (layer,) = flops.count(model, (1, 4, 5, 5, 4)).layers
    assert layer == Layer("conv", "conv", (3, 1, 1, 2, 8), (1, 2, 5, 5, 8), 3 * 2 * 8 + 8)
    assert layer.macs == 3 * 2 * (2 * 5 * 5 * 8)


def test_convolution_computed_in_fewer_products_counts_as_a_plain_one():
    clip, kernel = jnp.zeros((1, 4, 16, 16, 64)), jnp.zeros((1, 3, 3, 64, 64))
    how = ((1, 1, 1), (0, 1, 1), (1, 1, 1), 1)
    assert conv3d.choose_form(clip, kernel, *how) == "winograd"
    counted = flops.count(Alone(64, (1, 3, 3), padding=(0, 1, 1)), clip.shape)
    assert counted.macs == 9 * 64 * clip.size


@pytest.mark.parametrize(
    ("mode", "sub_sample", "channels", "keys"),
    [("embedded_gaussian", True, 4, 8), ("dot_product", False, 4, 32), ("gaussian", True, 8, 8)],
)
def test_non_local_block_has_two_products(mode, sub_sample, channels, keys):
    counted = flops.count(NonLocal(mode, sub_sample), (3, 2, 4, 4, 8))
    products = [layer for layer in counted.layers if layer.kind == "matmul"]
    assert [layer.kernel for layer in products] == [(channels, keys), (keys, 4)]
    assert [layer.output for layer in products] == [(3, 32, keys), (3, 32, 4)]
    assert sum(layer.macs for layer in products) == 3 * 32 * keys * (channels + 4)


def test_classifier_of_tsm_sees_every_segment():
    counted = flops.count(jaxaction.build(tiny("tsm", **FOUR_STAGES)), (2, 8, 32, 32, 3))
    assert counted.layers[-1].output == (2, 8, 5)
    assert counted.macs - counted.macs_without_head == 2 * 8 * 256 * 5


def test_stages_of_both_paths_are_named():
    model = jaxaction.build(tiny("slowfast", **FOUR_STAGES))
    stages = flops.count(model, (1, 16, 32, 32, 3)).stages
    slow = {name.split("/")[-1]: shape for name, shape in stages.items() if "slow_path" in name}
    fast = {name.split("/")[-1]: shape for name, shape in stages.items() if "fast_path" in name}
    assert len(slow) + len(fast) == len(stages)
    assert slow == {
        "conv1": (1, 2, 16, 16, 8),
        "layer1": (1, 2, 8, 8, 32),
        "layer2": (1, 2, 4, 4, 64),
        "layer3": (1, 2, 2, 2, 128),
        "layer4": (1, 2, 1, 1, 256),
    }
    assert fast["conv1"] == (1, 16, 16, 16, 1) and fast["layer4"] == (1, 16, 1, 1, 32)


@each_model
def test_every_kernel_is_counted_once(name):
    model = jaxaction.build(tiny(name))
    params = flatten_dict(abstract_variables(model)["params"], sep="/")
    counted = flops.count(model, clip_shape(model))
    kernels = sorted(f"{layer.path}/kernel" for layer in counted.layers)
    assert kernels == sorted(key for key in params if key.endswith("/kernel"))
    assert counted.parameters == sum(x.size for x in params.values())


def test_depthwise_convolutions_have_one_input_channel_a_group():
    model = jaxaction.build(tiny("tsm_mobilenetv2"))
    layers = flops.count(model, clip_shape(model)).layers
    assert (1, 3, 3, 1, 8) in [layer.kernel for layer in layers]  # one channel a group


def test_folded_norms_do_not_change_the_count():
    model, clip_shape = jaxaction.build(TINY), (1, 3, 16, 16, 3)
    assert flops.count(model.clone(folded=True), clip_shape).macs == 253600 // 2


def test_clips_larger_than_any_memory_are_counted():
    counted = flops.count(jaxaction.build(TINY), (2**10, 3, 2**14, 2**14, 3))
    assert counted.macs_without_head == 253440 * 2**9 * 2**20


# GMACs of one clip of 224x224 with the head, published with two decimals.
@pytest.mark.parametrize(
    ("name", "variant", "frames", "gmacs"),
    [
        ("tsn", "r50-1x1x3-k400", 25, 102.18),
        ("tsm", "r50-1x1x16-k400", 16, 65.41),
        ("tsm", "r50-nl-dot-1x1x8-k400", 8, 61.10),
        ("tsm", "mobilenetv2-1x1x8-k400", 8, 2.40),
        ("i3d", "r50-nl-gaussian-32x2x1-k400", 32, 41.72),
        ("i3d", "r50-heavy-32x2x1-k400", 32, 126.78),
        ("r2plus1d", "r34-8x8-k400", 8, 40.56),
        ("slowonly", "r50-8x8-k400", 8, 41.74),
        ("slowonly", "r50-in1k-nl-embedded-gaussian-4x16-k400", 4, 32.08),
        ("slowfast", "r50-8x8-k400", 32, 50.31),
    ],
)
def test_published_figures_come_out(name, variant, frames, gmacs):
    model = build.model(flags.load_config(f"{ROOT}/configs/{name}.py", variant))
    counted = flops.count(model, (1, frames, 224, 224, 3))
    assert counted.macs / 1e9 == pytest.approx(gmacs, abs=0.005)


def test_xla_counts_the_same_for_a_matrix_product():
    model, clip_shape = Alone(8, (1, 1, 1)), (1, 2, 6, 6, 4)
    assert flops.xla_flops(model, clip_shape) == 2 * flops.count(model, clip_shape).macs


def test_xla_counts_nearly_the_same_for_a_network():
    xla_count = flops.xla_flops(jaxaction.build(TINY), (2, 3, 16, 16, 3))
    assert xla_count == pytest.approx(2 * 253600, rel=0.2)  # norms are in it, padding is not


@pytest.mark.parametrize(
    ("costs", "expected"),
    [(None, math.nan), ({}, math.nan), ([], math.nan), ([{"flops": 7.0}], 7.0)],
)
def test_a_missing_count_of_xla_is_nan(monkeypatch, costs, expected):
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda lowered: costs)
    xla_count = flops.xla_flops(Alone(8, (1, 1, 1)), (1, 1, 2, 2, 4))
    assert xla_count == pytest.approx(expected, nan_ok=True)


@pytest.fixture
def away(tmp_path, monkeypatch):
    """Changes to another directory and takes the checkout off the path, as for a console script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry) != ROOT])
    for name in [name for name in sys.modules if name.split(".")[0] == "configs"]:
        monkeypatch.delitem(sys.modules, name)


def run(*argv):
    return main(["flops", f"--config={ROOT}/configs/tsm.py", *argv])


def test_command_prints_stages_totals_and_parameters(away, capsys):
    assert run("--size", "32", "--config.data.clip_len=4", "--config.model.stage_blocks=(1,)") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"tsm ({ROOT}/configs/tsm.py), a clip 1x4x32x32x3"
    assert lines[2:4] == ["backbone/conv1   1x4x16x16x16", "backbone/layer1  1x4x8x8x64"]
    assert lines[5:7] == [
        "0.00 GMACs (0.01 GFLOPs) with head, 0.00 GMACs (0.01 GFLOPs) without",
        "0.01 M parameters",
    ]
    assert lines[7].startswith("XLA counts 0.0") and lines[7].endswith(
        "GFLOPs in the program for cpu"
    )
    assert len(lines) == 8


def test_command_lists_layers(away, capsys):
    assert run("--layers", "--config.model.stage_blocks=(1,)") == 0
    table = capsys.readouterr().out.splitlines()[9:]
    assert table[0].split() == ["path", "kind", "kernel", "output", "MMACs"]
    first = ["backbone/conv1/conv", "conv", "1x7x7x3x16", "1x8x32x32x16", "19.27"]
    assert table[1].split() == first
    assert len(table) == 1 + 6


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--size=0"], "--size 0 is no number of pixels; give 1 or more"),
        (["--size=large"], "argument --size: invalid int value: 'large'"),
        (["--sise=32"], "unrecognized arguments: --sise=32"),
        (["--config.model.dephts=18"], "did you mean --config.model.depth?"),
        (["--config.model.depth=51"], "model.depth 51 is not one of"),
        (["--config.model.num_segments=4"], "does not fit model.num_segments 4"),
        (["--config.data.clip_len=0"], "a clip of shape [1, 0, 64, 64, 3] is empty"),
        (["--config="], "--config : no such shipped config"),
    ],
)
def test_command_names_the_value_that_it_cannot_use(away, argv, words):
    with pytest.raises(InputError) as caught:
        run(*argv)
    assert words in str(caught.value) and "\n" not in str(caught.value)
