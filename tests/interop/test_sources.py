"""Networks of torchvision, pytorchvideo and PySlowFast give their own numbers here."""

import jax
import numpy as np
import pytest

import jaxaction
from jaxaction.errors import InputError
from jaxaction.interop import conversion, mmaction, sources
from jaxaction.models import abstract_variables
from jaxaction.models.heads import view_logits
from jaxaction.runtime import xla_options
from tests.figures import Case
from tests.interop.test_zoo_weights import model_config

ONE_RUN = xla_options.for_one_run()
LATERALS = {"slow_frames": "linspace", "lateral_norm": True}
NETWORKS = {
    "pytorchvideo_i3d_r50": ("i3d:r50-8x8-k400", {}),
    "pytorchvideo_slow_r50": ("slowonly:r50-8x8-k400", {}),
    "pytorchvideo_slowfast_r50": ("slowfast:r50-8x8-k400", LATERALS),
    "pytorchvideo_r2plus1d_r50": ("r2plus1d:r50-pytorchvideo-16x4-k400", {}),
    "torchvision_r3d_18": ("i3d:r3d-18-16x2-k400", {}),
    "torchvision_r2plus1d_18": ("r2plus1d:r18-torchvision-16x2-k400", {}),
}


def logits_of(model, variables, clips):
    run = jax.jit(lambda v, x: model.apply(v, x, False), compiler_options=ONE_RUN)
    return run(variables, clips)


def network(name):
    """A case of tests/parity/other_projects, the config of its network, and its variables."""
    case = Case(f"other_projects/{name}")
    variant, changes = NETWORKS[name.removesuffix("_at_256")]
    config = model_config(variant) | changes
    return case, jaxaction.build(config), conversion.convert(case.state_dict(), config)


def clips(case):
    pixels = case.pixels()
    pixels = pixels if pixels.ndim == 5 else pixels[:, :, None]
    return pixels.transpose(0, 2, 3, 4, 1).astype(np.float32)


def assert_close(value, expected):
    # Float32 noise between two implementations: 5e-7 to 2.2e-6 of the largest.
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_other_project(name):
    case, model, converted = network(name)
    assert (
        not converted.fresh
        and not converted.unused
        and len(converted.matched) == len(case.state_dict())
    )
    logits = logits_of(model, converted.variables, clips(case))
    ends_in_softmax = name == "pytorchvideo_r2plus1d_r50"
    assert_close(jax.nn.softmax(logits) if ends_in_softmax else logits, case["logits"])


def test_logits_of_an_image_network_are_torchvisions():
    case = Case("other_projects/torchvision_resnet50")
    config = {"name": "tsn", "num_classes": 1000}
    weights = case.state_dict()
    renamed = sources.recognise(weights).rename(weights)
    variables = mmaction.convert({new: weights[old] for old, new in renamed.items()}, config)
    assert_close(logits_of(jaxaction.build(config), variables, clips(case)), case["logits"])


def test_windows_of_a_larger_picture_have_the_logits_of_pytorchvideo():
    case, model, converted = network("pytorchvideo_slow_r50_at_256")

    def logits(variables, x):
        return view_logits(model, variables, x, (7, 7))

    run = jax.jit(logits, compiler_options=ONE_RUN)
    assert_close(run(converted.variables, clips(case)), case["logits"])


def test_a_window_larger_than_the_features_is_refused():
    model = jaxaction.build({"name": "tsn", "num_classes": 2, "stage_blocks": (1,), "width": 4})
    with pytest.raises(InputError, match=r"test.window \(7, 7\) is larger than the features, 4x4"):
        jax.eval_shape(
            lambda v, x: view_logits(model, v, x, (7, 7)),
            abstract_variables(model),
            jax.ShapeDtypeStruct((1, 2, 16, 16, 3), np.float32),
        )


def test_slow_frames_are_spread_from_the_first_to_the_last():
    config = {"name": "slowfast", "num_classes": 2, "stage_blocks": (1,), "width": 8}
    model = jaxaction.build(config | {"slow_frames": "linspace", "lateral": False})
    clip = np.zeros((1, 32, 16, 16, 3), np.float32)
    variables = jaxaction.init(model, clip.shape, jax.random.key(0))

    @jax.jit
    def slow_path(clip):
        return model.apply(variables, clip, False, method="features")[0]

    def changes(t):
        bright = clip.copy()
        bright[:, t] = 1.0
        return bool((slow_path(bright) != slow_path(clip)).any())

    assert [t for t in range(32) if changes(t)] == [0, 10, 20, 31]


PYSLOWFAST = [  # as in its issues, e.g. facebookresearch/SlowFast #552 and #648
    ("s1.pathway0_stem.conv.weight", "backbone.slow_path.conv1.conv.weight"),
    ("s1.pathway1_stem.bn.running_var", "backbone.fast_path.conv1.bn.running_var"),
    ("s1_fuse.conv_f2s.weight", "backbone.slow_path.conv1_lateral.conv.weight"),
    ("s3_fuse.bn.bias", "backbone.slow_path.layer2_lateral.bn.bias"),
    ("s2.pathway0_res0.branch1.weight", "backbone.slow_path.layer1.0.downsample.conv.weight"),
    ("s2.pathway0_res0.branch1_bn.bias", "backbone.slow_path.layer1.0.downsample.bn.bias"),
    ("s5.pathway1_res2.branch2.b.weight", "backbone.fast_path.layer4.2.conv2.conv.weight"),
    ("s4.pathway0_res5.branch2.c_bn.weight", "backbone.slow_path.layer3.5.conv3.bn.weight"),
    ("head.projection.bias", "cls_head.fc_cls.bias"),
]


def test_names_of_pyslowfast_become_mmaction2_s():
    keys = [old for old, _ in PYSLOWFAST]
    source = sources.recognise(keys)
    assert source.name == "PySlowFast" and source.slow_first
    assert source.rename(keys) == dict(PYSLOWFAST)


def test_a_single_path_of_pyslowfast_has_no_path_in_its_names():
    keys = ["s1.pathway0_stem.conv.weight", "s2.pathway0_res1.branch2.a.weight"]
    assert list(sources.recognise(keys).rename(keys).values()) == [
        "backbone.conv1.conv.weight",
        "backbone.layer1.1.conv1.conv.weight",
    ]


def test_pyslowfasts_slowfast_is_pytorchvideos_under_other_names():
    config = model_config("slowfast:r50-8x8-k400") | LATERALS
    model = jaxaction.build(config)
    shapes = Case("other_projects/pytorchvideo_slowfast_r50").meta["state_keys"]
    weights = {key: np.full(shape, i, np.float32) for i, (key, shape) in enumerate(shapes.items())}
    theirs = sources.recognise(weights).rename(weights)
    back = {new: old for old, new in sources._rename_pyslowfast(pyslowfast_keys(model)).items()}
    renamed = {back[new]: weights[old] for old, new in theirs.items()}
    one, two = conversion.convert(weights, config), conversion.convert(renamed, config)
    assert (one.source, two.source) == ("pytorchvideo", "PySlowFast")
    jax.tree.map(np.testing.assert_array_equal, one.variables, two.variables)


def pyslowfast_keys(model):
    """PySlowFast's names of the weights of a SlowFast of two normalised paths."""
    keys = ["head.projection.weight", "head.projection.bias"]
    norms = ("weight", "bias", "running_mean", "running_var")
    for path in (0, 1):
        keys += convolution(f"s1.pathway{path}_stem.conv", f"s1.pathway{path}_stem.bn", norms)
        for stage, blocks in enumerate((3, 4, 6, 3), 2):
            for block in range(blocks):
                begin = f"s{stage}.pathway{path}_res{block}"
                letters = [f"branch2.{letter}" for letter in "abc"] + ["branch1"] * (block == 0)
                for letter in letters:
                    keys += convolution(f"{begin}.{letter}", f"{begin}.{letter}_bn", norms)
    for stage in (1, 2, 3, 4):
        keys += convolution(f"s{stage}_fuse.conv_f2s", f"s{stage}_fuse.bn", norms)
    return keys


def convolution(conv, norm, leaves):
    return [f"{conv}.weight", *(f"{norm}.{leaf}" for leaf in leaves)]


def test_non_local_blocks_of_pyslowfast_are_refused():
    keys = ["s1.pathway0_stem.conv.weight", "s3.pathway0_nonlocal1.conv_theta.weight"]
    with pytest.raises(InputError, match="PySlowFast's non-local blocks pool before they project"):
        sources.recognise(keys).rename(keys)


def test_weights_of_no_known_network_are_refused():
    with pytest.raises(InputError, match="first keys are a.weight, b.bias.*known are those of MMA"):
        sources.recognise(["b.bias", "a.weight"])


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("pytorchvideo_slow_r50", "pytorchvideo"),
        ("torchvision_r3d_18", "torchvision R3D"),
        ("torchvision_r2plus1d_18", "torchvision R(2+1)D"),
        ("torchvision_resnet50", "ImageNet (torchvision)"),
    ],
)
def test_a_source_is_known_by_its_keys(name, source):
    assert sources.recognise(Case(f"other_projects/{name}").meta["state_keys"]).name == source
