"""Tells by its keys whose weights a `state_dict` holds, and renames them to MMAction2's names.

Every converter goes through MMAction2's names, since our modules have them too. Facts: torchvision
0.28 (`models/resnet.py`, `models/video/resnet.py`), pytorchvideo 0.1.5 (`models/`), PySlowFast
(`slowfast/models/`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from jaxaction.errors import InputError

Keys = Iterable[str]


class Source(NamedTuple):
    """A project whose weights can be read.

    `rename` gives MMAction2's names of keys; it gets them all, since some number their modules
    through. `conventions` are the config values that its networks need and its keys don't show.
    """

    name: str
    matches: Callable[[set[str]], bool]
    rename: Callable[[Keys], dict[str, str]]
    conventions: Mapping[str, Any] = {}
    slow_first: bool = False  # the classifier of its SlowFast has the slow path's inputs first
    imagenet: bool = False  # 2D weights, to be inflated, and a classifier of other classes


def recognise(keys: Keys) -> Source:
    """The source of a `state_dict` with these keys; InputError if it is none of `SOURCES`."""
    keys = set(keys)
    for source in SOURCES:
        if source.matches(keys):
            return source
    known = ", ".join(source.name for source in SOURCES)
    raise InputError(
        f"the weights are of no known network (their first keys are {', '.join(sorted(keys)[:3])});"
        f" known are those of {known}"
    )


def _rename_mmaction(keys: Keys) -> dict[str, str]:
    return {key: key for key in keys}


def _by_patterns(patterns: Mapping[str, str]) -> Callable[[Keys], dict[str, str]]:
    """Renames by the first pattern that matches a key's beginning; a key without a match stays."""
    compiled = [(re.compile(old), new) for old, new in patterns.items()]

    def rename(key: str) -> str:
        for old, new in compiled:
            if old.match(key):
                return old.sub(new, key, count=1)
        return key

    return lambda keys: {key: rename(key) for key in keys}


_rename_resnet = _by_patterns(
    {
        r"(conv1)\.": r"backbone.\1.conv.",
        r"bn1\.": r"backbone.conv1.bn.",
        r"(layer\d\.\d+\.)(conv\d)\.": r"backbone.\1\2.conv.",
        r"(layer\d\.\d+\.)bn(\d)\.": r"backbone.\1conv\2.bn.",
        r"(layer\d\.\d+\.downsample)\.0\.": r"backbone.\1.conv.",
        r"(layer\d\.\d+\.downsample)\.1\.": r"backbone.\1.bn.",
        r"fc\.": r"cls_head.fc_cls.",
    }
)
_SHORTCUTS = {
    r"(layer\d\.\d+\.downsample)\.0\.": r"backbone.\1.conv.",
    r"(layer\d\.\d+\.downsample)\.1\.": r"backbone.\1.bn.",
    r"(layer\d\.\d+\.conv\d)\.1\.": r"backbone.\1.bn.",
    r"fc\.": r"cls_head.fc_cls.",
}
_rename_r3d = _by_patterns(
    {
        r"stem\.0\.": r"backbone.conv1.conv.",
        r"stem\.1\.": r"backbone.conv1.bn.",
        r"(layer\d\.\d+\.conv\d)\.0\.": r"backbone.\1.conv.",
    }
    | _SHORTCUTS
)
_rename_r2plus1d = _by_patterns(
    {
        r"stem\.0\.": r"backbone.conv1.conv.conv_s.",
        r"stem\.1\.": r"backbone.conv1.conv.bn_s.",
        r"stem\.3\.": r"backbone.conv1.conv.conv_t.",
        r"stem\.4\.": r"backbone.conv1.bn.",
        r"(layer\d\.\d+\.conv\d)\.0\.0\.": r"backbone.\1.conv.conv_s.",
        r"(layer\d\.\d+\.conv\d)\.0\.1\.": r"backbone.\1.conv.bn_s.",
        r"(layer\d\.\d+\.conv\d)\.0\.3\.": r"backbone.\1.conv.conv_t.",
    }
    | _SHORTCUTS
)

_PYTORCHVIDEO_BLOCK = {
    "branch1_conv": "downsample.conv",
    "branch1_norm": "downsample.bn",
    "branch2.conv_b.conv_t": "conv2.conv.conv_t",
    "branch2.conv_b.conv_xy": "conv2.conv.conv_s",
    "branch2.conv_b.norm": "conv2.conv.bn_s",
    "branch2.conv_a": "conv1.conv",
    "branch2.norm_a": "conv1.bn",
    "branch2.conv_b": "conv2.conv",
    "branch2.norm_b": "conv2.bn",
    "branch2.conv_c": "conv3.conv",
    "branch2.norm_c": "conv3.bn",
}


def _rename_pytorchvideo(keys: Keys) -> dict[str, str]:
    """`blocks` are numbered through, poolings included: a stage is one that has `res_blocks`."""
    keys = list(keys)
    stages = sorted({int(key.split(".")[1]) for key in keys if ".res_blocks." in key})
    return {key: _pytorchvideo_key(key, stages) for key in keys}


def _pytorchvideo_key(key: str, stages: list[int]) -> str:
    match = re.match(r"blocks\.(\d+)\.(?:multipathway_blocks\.([01])\.)?(.*)", key)
    if match is None:
        return key
    number, path, inner = int(match[1]), _PATHS[match[2]], match[3]
    layer = f"layer{stages.index(number) + 1}" if number in stages else "conv1"
    if inner.startswith("proj."):
        return inner.replace("proj", "cls_head.fc_cls", 1)
    if fusion := re.match(r"multipathway_fusion\.(conv_fast_to_slow|norm)\.(.*)", inner):
        module = "bn" if fusion[1] == "norm" else "conv"
        return f"backbone.slow_path.{layer}_lateral.{module}.{fusion[2]}"
    if block := re.match(r"res_blocks\.(\d+)\.(.*)\.(\w+)$", inner):
        module = _PYTORCHVIDEO_BLOCK.get(block[2], block[2])
        return f"backbone.{path}{layer}.{block[1]}.{module}.{block[3]}"
    return f"backbone.{path}{layer}.{re.sub('^norm', 'bn', inner)}"


_PATHS = {None: "", "0": "slow_path.", "1": "fast_path."}
_PYSLOWFAST_BLOCK = {
    "branch1": "downsample.conv",
    "branch1_bn": "downsample.bn",
    "branch2.a": "conv1.conv",
    "branch2.a_bn": "conv1.bn",
    "branch2.b": "conv2.conv",
    "branch2.b_bn": "conv2.bn",
    "branch2.c": "conv3.conv",
    "branch2.c_bn": "conv3.bn",
}


def _rename_pyslowfast(keys: Keys) -> dict[str, str]:
    """A network of one path has a `pathway0`, too."""
    keys = list(keys)
    if any("nonlocal" in key for key in keys):
        raise InputError(
            "PySlowFast's non-local blocks pool before they project, MMAction2's and ours after; "
            "only its networks without them can be converted"
        )
    two_paths = any(".pathway1_" in key for key in keys)
    return {key: _pyslowfast_key(key, two_paths) for key in keys}


def _pyslowfast_key(key: str, two_paths: bool) -> str:
    if key.startswith("head.projection."):
        return key.replace("head.projection", "cls_head.fc_cls", 1)
    if fusion := re.match(r"s(\d)_fuse\.(conv_f2s|bn)\.(.*)", key):
        module = "bn" if fusion[2] == "bn" else "conv"
        return f"backbone.slow_path.{_pyslowfast_layer(fusion[1])}_lateral.{module}.{fusion[3]}"
    match = re.match(r"s(\d)\.pathway([01])_(stem|res(\d+))\.(.*)\.(\w+)$", key)
    if match is None:
        return key
    path = _PATHS[match[2]] if two_paths else ""
    inner = f"{match[4]}.{_PYSLOWFAST_BLOCK.get(match[5], match[5])}" if match[4] else match[5]
    return f"backbone.{path}{_pyslowfast_layer(match[1])}.{inner}.{match[6]}"


def _pyslowfast_layer(number: str) -> str:
    return "conv1" if number == "1" else f"layer{int(number) - 1}"


# 0.45 and 0.225 on the scale of 0 to 1; a test of 7x7 windows over 8x8 features.
_FACEBOOK = {
    "data.mean": (114.75, 114.75, 114.75),
    "data.std": (57.375, 57.375, 57.375),
    "model.slow_frames": "linspace",
    "model.lateral_norm": True,
    "test.window": (7, 7),
}
_KINETICS = {
    "data.mean": (110.2008, 100.63983, 95.99475),
    "data.std": (58.14765, 56.46975, 55.332195),
}


def _has_prefixes(*wanted: str) -> Callable[[set[str]], bool]:
    return lambda keys: all(any(key.startswith(begin) for key in keys) for begin in wanted)


SOURCES = (
    Source("MMAction2", matches=_has_prefixes("backbone."), rename=_rename_mmaction),
    Source(
        "pytorchvideo",
        matches=_has_prefixes("blocks.0.", "blocks.1."),
        rename=_rename_pytorchvideo,
        conventions=_FACEBOOK,
        slow_first=True,
    ),
    Source(
        "PySlowFast",
        matches=_has_prefixes("s1.pathway0_stem."),
        rename=_rename_pyslowfast,
        conventions=_FACEBOOK,
        slow_first=True,
    ),
    Source(
        "torchvision R(2+1)D",
        matches=_has_prefixes("stem.0.", "stem.3."),
        rename=_rename_r2plus1d,
        conventions=_KINETICS,
    ),
    Source(
        "torchvision R3D",
        matches=_has_prefixes("stem.0.", "layer1.0.conv1.0."),
        rename=_rename_r3d,
        conventions=_KINETICS,
    ),
    Source(
        "ImageNet (torchvision)",
        matches=_has_prefixes("conv1.", "layer1.0.bn1."),
        rename=_rename_resnet,
        imagenet=True,
    ),
)
