"""Reads the `model = dict(...)` of an MMAction2 config, 1.x or 0.x."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxaction.errors import InputError
from jaxaction.interop.mmaction_backbones import (
    count_stages,
    read_common_options,
    read_non_local,
    read_resnet2d,
    read_resnet3d,
    read_training_options,
)
from jaxaction.interop.mmaction_options import Options
from jaxaction.models import build

HEAD_WITHOUT_EFFECT = (
    "loss_cls",
    "multi_class",
    "label_smooth_eps",
    "topk",
    "average_clips",
    "init_cfg",
)

SLOW_PATHWAY = {
    "type": "resnet3d",
    "depth": 50,
    "lateral": True,
    "conv1_kernel": (1, 7, 7),
    "inflate": (0, 0, 1, 1),
}

FAST_PATHWAY = {
    "type": "resnet3d",
    "depth": 50,
    "base_channels": 8,
    "conv1_kernel": (5, 7, 7),
}


def model_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config for `jaxaction.build` of what MMAction2 builds from `settings`.

    `settings` is a config's `model`: Recognizer2D or Recognizer3D with one of the six families'
    backbones and its head. Where weights come from, losses and preprocessing are left out.
    InputError (a ValueError) names an option, or a value of one, that is not supported.
    """
    model = Options(settings, "model")
    recognizer = model.take("type", "")
    backbone = Options(model.take("backbone", {}), "model.backbone")
    head = Options(model.take("cls_head", {}), "model.cls_head")
    for key in ("data_preprocessor", "train_cfg", "init_cfg"):
        model.take(key)
    model.take_if("neck", lambda neck: not neck)
    model.take_if(
        "test_cfg", lambda cfg: not set(cfg or ()) - {"average_clips", "max_testing_views"}
    )
    model.refuse_remaining()
    kind, head_kind = backbone.take("type", ""), head.take("type", "")
    reader = FAMILIES.get((recognizer, kind, head_kind))
    if reader is None:
        known = "; ".join(" + ".join(names) for names in FAMILIES)
        raise InputError(f"{recognizer} + {kind} + {head_kind} is not supported; known are {known}")
    config = reader(backbone, head)
    config |= _read_head(head)
    in_channels = head.take("in_channels", 0)
    backbone.refuse_remaining()
    head.refuse_remaining()
    _check_width(config, in_channels)
    return config


def _read_tsn(backbone: Options, head: Options) -> dict[str, Any]:
    return {"name": "tsn", **read_resnet2d(backbone), "dropout": 0.4, "init_std": 0.01}


def _read_tsm(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "tsm", **read_resnet2d(backbone), **_read_segments(backbone, head)}
    config["shift_place"] = backbone.take("shift_place", "blockres")
    config["temporal_pool"] = backbone.take("temporal_pool", False)
    config |= read_non_local(backbone, count_stages(config))
    non_local = config.get("non_local")
    for reason, asked_for in (
        ("temporal_pool without is_shift", config["temporal_pool"] and not config["is_shift"]),
        ("temporal_pool with non_local", config["temporal_pool"] and non_local),
        ("shift_place 'block' with non_local", config["shift_place"] == "block" and non_local),
    ):
        if asked_for:
            raise InputError(f"model.backbone: {reason} is not supported; MMAction2 fails there")
    return config


def _read_tsm_without_shift(backbone: Options, head: Options) -> dict[str, Any]:
    return {
        "name": "tsm",
        **read_resnet2d(backbone),
        **_read_segments(backbone, head),
        "is_shift": False,
    }


def _read_tsm_mobilenet(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "tsm_mobilenetv2", **_read_segments(backbone, head)}
    config["widen_factor"] = backbone.take("widen_factor", 1.0)
    backbone.take_if("out_indices", lambda value: value == (7,))
    config |= read_training_options(backbone, 7)
    return config | read_common_options(backbone, "ReLU6", ("Conv", "Conv2d"))


def _read_segments(backbone: Options, head: Options) -> dict[str, Any]:
    """The shift and the segments, for which backbone and head have an option each."""
    in_head, in_backbone = head.take("num_segments", 8), backbone.take("num_segments", 0)
    if in_backbone and in_backbone != in_head:
        raise InputError(
            f"model.backbone.num_segments {in_backbone} and model.cls_head.num_segments {in_head}"
            " differ"
        )
    for key in ("is_shift", "temporal_pool"):  # of the head; they follow from the backbone
        head.take(key)
    return {
        "num_segments": in_head,
        "is_shift": backbone.take("is_shift", True),
        "shift_div": backbone.take("shift_div", 8),
        "dropout": 0.8,
        "init_std": 0.001,
    }


def _read_i3d(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "i3d", "conv1_kernel": (3, 7, 7), "conv1_stride_t": 1, "pool1_stride_t": 1}
    return config | read_resnet3d(backbone) | {"dropout": 0.5, "init_std": 0.01}


def _read_slowonly(backbone: Options, head: Options) -> dict[str, Any]:
    backbone.take_if("lateral", lambda value: not value)
    for key in ("lateral_norm", "speed_ratio", "channel_ratio", "fusion_kernel", "lateral_infl"):
        backbone.take(key)  # of laterals that are not there
    return {"name": "slowonly", **read_resnet3d(backbone), "dropout": 0.5, "init_std": 0.01}


def _read_r2plus1d(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "r2plus1d", "depth": 50, "temporal_strides": (1, 1, 1, 1), "norm_eps": 1e-5}
    config |= {"zero_init_residual": True} | read_resnet3d(backbone, ("Conv2plus1d",))
    config.pop("with_pool2", None)  # MMAction2 makes that pooling, but its forward skips it
    return config | {"dropout": 0.5, "init_std": 0.01}


def _read_slowfast(backbone: Options, head: Options) -> dict[str, Any]:
    slow = Options(backbone.take("slow_pathway", SLOW_PATHWAY), "model.backbone.slow_pathway")
    fast = Options(backbone.take("fast_pathway", FAST_PATHWAY), "model.backbone.fast_pathway")
    backbone.take_if("pretrained", lambda value: True)
    config = {"name": "slowfast", "dropout": 0.8, "init_std": 0.01}
    for key in ("resample_rate", "speed_ratio", "channel_ratio"):
        config[key] = backbone.take(key, 8)
    config |= _read_laterals(slow)
    fast.take_if("lateral", lambda value: not value)
    for key in ("lateral_norm", "speed_ratio", "channel_ratio", "fusion_kernel", "lateral_infl"):
        fast.take(key)
    paths = {}
    for name, path in (("slow", slow), ("fast", fast)):
        path.take_if("type", lambda value: value == "resnet3d")
        fields = {"depth": 50, "conv1_kernel": (3, 7, 7), "inflate": (1, 1, 1, 1), "width": 64}
        paths[name] = fields | read_resnet3d(path)
        paths[name].pop("with_pool2", None)  # the forward of the two paths skips that pooling
        path.refuse_remaining()
    return config | _merge_paths(paths["slow"], paths["fast"], config)


def _read_laterals(slow: Options) -> dict[str, Any]:
    lateral = slow.take("lateral", False)
    for key in ("speed_ratio", "channel_ratio"):  # the backbone's stand in for them
        slow.take(key)
    slow.take_if("lateral_inv", lambda value: not value)
    slow.take_if("lateral_activate", lambda value: all(value))
    return {
        "lateral": lateral,
        "lateral_norm": slow.take("lateral_norm", False),
        "fusion_kernel": slow.take("fusion_kernel", 5),
        "lateral_factor": slow.take("lateral_infl", 2),
    }


def _merge_paths(slow: dict, fast: dict, config: dict[str, Any]) -> dict[str, Any]:
    """The slow path's depth, width and channels stand for both; each path's dict has the rest."""
    channels, fast_channels = slow.pop("in_channels"), fast.pop("in_channels")
    width, fast_width = slow.pop("width"), fast["width"]
    if channels != fast_channels:
        raise InputError(f"in_channels of the two pathways differ: {channels} and {fast_channels}")
    if config["lateral"] and fast_width != width // config["channel_ratio"]:
        raise InputError(
            f"fast_pathway.base_channels {fast_width} is not slow_pathway.base_channels {width}"
            f" over channel_ratio {config['channel_ratio']}, which the lateral connections need"
        )
    both = {"depth": slow.pop("depth"), "width": width, "in_channels": channels}
    for key in ("frozen_stages", "norm_eval", "remat"):
        if key in slow and slow[key] == fast.get(key):
            both[key] = slow.pop(key)
            del fast[key]
    return both | {"slow": slow, "fast": fast}


def _read_head(head: Options) -> dict[str, Any]:
    for key in HEAD_WITHOUT_EFFECT:
        head.take(key)
    head.take_if("spatial_type", lambda value: value == "avg")
    head.take_if("consensus", lambda value: value in (None, {"type": "AvgConsensus", "dim": 1}))
    if "num_classes" not in head.remaining:
        raise InputError("model.cls_head.num_classes is missing")
    config = {"num_classes": head.take("num_classes")}
    for old, new in (("dropout_ratio", "dropout"), ("init_std", "init_std")):
        if old in head.remaining:
            config[new] = head.take(old, 0.0)
    return config


def _check_width(config: Mapping[str, Any], in_channels: int) -> None:
    channels = build(config).out_channels
    if in_channels and in_channels != channels:
        raise InputError(
            f"model.cls_head.in_channels {in_channels} is not the backbone's {channels} channels"
        )


FAMILIES: dict[tuple[str, str, str], Callable[[Options, Options], dict[str, Any]]] = {
    ("Recognizer2D", "ResNet", "TSNHead"): _read_tsn,
    ("Recognizer2D", "ResNet", "TSMHead"): _read_tsm_without_shift,
    ("Recognizer2D", "ResNetTSM", "TSMHead"): _read_tsm,
    ("Recognizer2D", "MobileNetV2TSM", "TSMHead"): _read_tsm_mobilenet,
    ("Recognizer3D", "ResNet3d", "I3DHead"): _read_i3d,
    ("Recognizer3D", "ResNet3dSlowOnly", "I3DHead"): _read_slowonly,
    ("Recognizer3D", "ResNet2Plus1d", "I3DHead"): _read_r2plus1d,
    ("Recognizer3D", "ResNet3dSlowFast", "SlowFastHead"): _read_slowfast,
}
