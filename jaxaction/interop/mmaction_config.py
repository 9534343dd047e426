"""Reads the `model = dict(...)` of an MMAction2 config, 1.x or 0.x."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxaction.errors import InputError
from jaxaction.models import build, hashable
from jaxaction.models.resnet import STAGE_BLOCKS

# Options that say where weights come from; the network is the same with and without them.
WITHOUT_EFFECT = ("pretrained", "pretrained2d", "torchvision_pretrain", "init_cfg")
HEAD_WITHOUT_EFFECT = (
    "loss_cls",
    "multi_class",
    "label_smooth_eps",
    "topk",
    "average_clips",
    "init_cfg",
)
RENAMED_3D = {
    "base_channels": "width",
    "spatial_strides": "spatial_strides",
    "temporal_strides": "temporal_strides",
    "dilations": "dilations",
    "conv1_kernel": "conv1_kernel",
    "conv1_stride_s": "conv1_stride_s",
    "conv1_stride_t": "conv1_stride_t",
    "pool1_stride_s": "pool1_stride_s",
    "pool1_stride_t": "pool1_stride_t",
    "with_pool1": "with_pool1",
    "with_pool2": "with_pool2",
    "style": "style",
    "inflate_style": "inflate_style",
    "zero_init_residual": "zero_init_residual",
}


class Options:
    """A dict of settings that are taken one by one; what is left at the end is not supported."""

    def __init__(self, values: Mapping[str, Any], where: str):
        self.left = {key: _plain(value) for key, value in dict(values).items()}
        self.where = where

    def take(self, key: str, default: Any = None) -> Any:
        value = self.left.pop(key, default)
        return default if value is None else value

    def take_if(self, key: str, allowed: Callable[[Any], bool]) -> None:
        """Drops an option whose value asks for nothing; any other value is refused."""
        if key in self.left and not allowed(self.left[key]):
            self.refuse(key, self.left[key])
        self.left.pop(key, None)

    def refuse(self, key: str, value: Any) -> None:
        raise InputError(f"{self.where}.{key} = {value!r} is not supported")

    def done(self) -> None:
        for key, value in self.left.items():
            self.refuse(key, value)


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
    model.done()
    kind, head_kind = backbone.take("type", ""), head.take("type", "")
    reader = FAMILIES.get((recognizer, kind, head_kind))
    if reader is None:
        known = "; ".join(" + ".join(names) for names in FAMILIES)
        raise InputError(f"{recognizer} + {kind} + {head_kind} is not supported; known are {known}")
    config = reader(backbone, head)
    config |= _head(head)
    in_channels = head.take("in_channels", 0)
    backbone.done()
    head.done()
    _check_width(config, in_channels)
    return config


def _tsn(backbone: Options, head: Options) -> dict[str, Any]:
    return {"name": "tsn", **_resnet2d(backbone), "dropout": 0.4, "init_std": 0.01}


def _tsm(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "tsm", **_resnet2d(backbone), **_segments(backbone, head)}
    config["shift_place"] = backbone.take("shift_place", "blockres")
    config["temporal_pool"] = backbone.take("temporal_pool", False)
    config |= _non_local(backbone, _stages(config))
    non_local = config.get("non_local")
    for reason, broken in (
        ("temporal_pool without is_shift", config["temporal_pool"] and not config["is_shift"]),
        ("temporal_pool with non_local", config["temporal_pool"] and non_local),
        ("shift_place 'block' with non_local", config["shift_place"] == "block" and non_local),
    ):
        if broken:
            raise InputError(
                f"model.backbone: {reason} is not supported; the reference fails there"
            )
    return config


def _tsm_without_shift(backbone: Options, head: Options) -> dict[str, Any]:
    return {"name": "tsm", **_resnet2d(backbone), **_segments(backbone, head), "is_shift": False}


def _tsm_mobilenet(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "tsm_mobilenetv2", **_segments(backbone, head)}
    config["widen_factor"] = backbone.take("widen_factor", 1.0)
    backbone.take_if("out_indices", lambda value: value == (7,))
    config |= _training(backbone, 7)
    return config | _common(backbone, "ReLU6", ("Conv", "Conv2d"))


def _segments(backbone: Options, head: Options) -> dict[str, Any]:
    """The shift and the segments, for which backbone and head have an option each."""
    in_head, ours = head.take("num_segments", 8), backbone.take("num_segments", 0)
    if ours and ours != in_head:
        raise InputError(
            f"model.backbone.num_segments {ours} and model.cls_head.num_segments {in_head} differ"
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


def _i3d(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "i3d", "conv1_kernel": (3, 7, 7), "conv1_stride_t": 1, "pool1_stride_t": 1}
    return config | _resnet3d(backbone) | {"dropout": 0.5, "init_std": 0.01}


def _slowonly(backbone: Options, head: Options) -> dict[str, Any]:
    backbone.take_if("lateral", lambda value: not value)
    for key in ("lateral_norm", "speed_ratio", "channel_ratio", "fusion_kernel", "lateral_infl"):
        backbone.take(key)  # of laterals that are not there
    return {"name": "slowonly", **_resnet3d(backbone), "dropout": 0.5, "init_std": 0.01}


def _r2plus1d(backbone: Options, head: Options) -> dict[str, Any]:
    config = {"name": "r2plus1d", "depth": 50, "temporal_strides": (1, 1, 1, 1), "norm_eps": 1e-5}
    config |= {"zero_init_residual": True} | _resnet3d(backbone, ("Conv2plus1d",))
    config.pop("with_pool2", None)  # the reference makes that pooling, but its forward skips it
    return config | {"dropout": 0.5, "init_std": 0.01}


def _slowfast(backbone: Options, head: Options) -> dict[str, Any]:
    slow = Options(backbone.take("slow_pathway", SLOW_PATHWAY), "model.backbone.slow_pathway")
    fast = Options(backbone.take("fast_pathway", FAST_PATHWAY), "model.backbone.fast_pathway")
    backbone.take_if("pretrained", lambda value: True)
    config = {"name": "slowfast", "dropout": 0.8, "init_std": 0.01}
    for key in ("resample_rate", "speed_ratio", "channel_ratio"):
        config[key] = backbone.take(key, 8)
    config |= _laterals(slow)
    fast.take_if("lateral", lambda value: not value)
    for key in ("lateral_norm", "speed_ratio", "channel_ratio", "fusion_kernel", "lateral_infl"):
        fast.take(key)
    paths = {}
    for name, path in (("slow", slow), ("fast", fast)):
        path.take_if("type", lambda value: value == "resnet3d")
        fields = {"depth": 50, "conv1_kernel": (3, 7, 7), "inflate": (1, 1, 1, 1), "width": 64}
        paths[name] = fields | _resnet3d(path)
        paths[name].pop("with_pool2", None)  # the forward of the two paths skips that pooling
        path.done()
    return config | _merge_paths(paths["slow"], paths["fast"], config)


def _laterals(slow: Options) -> dict[str, Any]:
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
    width, narrow = slow.pop("width"), fast["width"]
    if channels != fast_channels:
        raise InputError(f"in_channels of the two pathways differ: {channels} and {fast_channels}")
    if config["lateral"] and narrow != width // config["channel_ratio"]:
        raise InputError(
            f"fast_pathway.base_channels {narrow} is not slow_pathway.base_channels {width} over "
            f"channel_ratio {config['channel_ratio']}, which the lateral connections need"
        )
    both = {"depth": slow.pop("depth"), "width": width, "in_channels": channels}
    for key in ("frozen_stages", "norm_eval", "remat"):
        if key in slow and slow[key] == fast.get(key):
            both[key] = slow.pop(key)
            del fast[key]
    return both | {"slow": slow, "fast": fast}


def _resnet2d(backbone: Options) -> dict[str, Any]:
    config = {"depth": backbone.take("depth", 50), "style": backbone.take("style", "pytorch")}
    config["spatial_strides"] = backbone.take("strides", (1, 2, 2, 2))
    config["dilations"] = backbone.take("dilations", (1, 1, 1, 1))
    if backbone.take("partial_bn", False):
        config["partial_bn"] = True
    return config | _cut_stages(backbone, config) | _common(backbone, "ReLU", ("Conv", "Conv2d"))


def _resnet3d(backbone: Options, convs: tuple[str, ...] = ("Conv3d",)) -> dict[str, Any]:
    config = {new: backbone.take(old) for old, new in RENAMED_3D.items() if old in backbone.left}
    config |= {
        "depth": backbone.take("depth", 50),
        "stage_blocks": backbone.take("stage_blocks", ()),
    }
    config |= _cut_stages(backbone, config)
    stages = _stages(config)
    if "inflate" in backbone.left:
        config["inflate"] = _per_stage(backbone.take("inflate"), stages)
    return config | _non_local(backbone, stages) | _common(backbone, "ReLU", convs)


def _cut_stages(backbone: Options, config: Mapping[str, Any]) -> dict[str, Any]:
    """`num_stages` and `out_indices`, of which only the last stage is known."""
    if config["depth"] not in STAGE_BLOCKS:
        backbone.refuse("depth", config["depth"])
    blocks = config.get("stage_blocks") or STAGE_BLOCKS[config["depth"]]
    stages = backbone.take("num_stages", 4)
    backbone.take_if("out_indices", lambda value: value == (stages - 1,))
    cut = {} if stages == len(blocks) else {"stage_blocks": blocks[:stages]}
    return cut | _training(backbone, stages)


def _training(backbone: Options, stages: int) -> dict[str, Any]:
    """What only training knows of a backbone: frozen parts, and stages that are computed again."""
    config = {}
    if (last := backbone.take("frozen_stages", -1)) >= 0:
        config["frozen_stages"] = last
    if backbone.take("norm_eval", False):
        config["norm_eval"] = True
    if backbone.take("with_cp", False):
        config["remat"] = tuple(range(1, stages + 1))
    return config


def _stages(config: Mapping[str, Any]) -> int:
    return len(config.get("stage_blocks") or (0, 0, 0, 0))


def _non_local(backbone: Options, stages: int) -> dict[str, Any]:
    flags = _per_stage(backbone.take("non_local", 0), stages)
    cfg = Options(backbone.take("non_local_cfg", {}), "model.backbone.non_local_cfg")
    if not any(any(flag) if isinstance(flag, tuple) else flag for flag in flags):
        return {}
    for key in ("zeros_init", "init_cfg"):
        cfg.take(key)
    cfg.take_if("conv_cfg", lambda value: value in (None, {"type": "Conv3d"}))
    norm = cfg.take("norm_cfg", {})
    fields = {"mode": cfg.take("mode", "embedded_gaussian"), "norm": bool(norm)}
    fields["norm_eps"], fields["norm_momentum"] = _norm(norm or {"type": "BN3d"}, cfg)
    fields["sub_sample"] = cfg.take("sub_sample", False)
    fields["use_scale"] = cfg.take("use_scale", True)
    fields["reduction"] = cfg.take("reduction", 2)
    if fields["mode"] not in ("gaussian", "embedded_gaussian", "dot_product"):
        cfg.refuse("mode", fields["mode"])
    cfg.done()
    return {"non_local": flags, "non_local_cfg": fields}


def _common(backbone: Options, activation: str, convs: tuple[str, ...]) -> dict[str, Any]:
    for key in WITHOUT_EFFECT:
        backbone.take(key)
    backbone.take_if("conv_cfg", lambda cfg: cfg is None or cfg.get("type") in convs)
    backbone.take_if("act_cfg", lambda cfg: cfg is None or cfg.get("type") == activation)
    backbone.take_if("partial_bn", lambda value: not value)  # of 2D networks, which have taken it
    config = {"in_channels": backbone.take("in_channels", 3)}
    if "norm_cfg" in backbone.left:
        norm = _norm(backbone.take("norm_cfg"), backbone)
        config |= dict(zip(("norm_eps", "norm_momentum"), norm, strict=True))
    return config


def _norm(cfg: Mapping[str, Any], owner: Options) -> tuple[float, float]:
    options = Options(cfg, f"{owner.where}.norm_cfg")
    options.take_if("type", lambda value: value in ("BN", "BN2d", "BN3d", "SyncBN"))
    options.take_if("requires_grad", lambda value: value is True)
    values = options.take("eps", 1e-5), options.take("momentum", 0.1)
    options.done()
    return values


def _head(head: Options) -> dict[str, Any]:
    for key in HEAD_WITHOUT_EFFECT:
        head.take(key)
    head.take_if("spatial_type", lambda value: value == "avg")
    head.take_if("consensus", lambda value: value in (None, {"type": "AvgConsensus", "dim": 1}))
    if "num_classes" not in head.left:
        raise InputError("model.cls_head.num_classes is missing")
    config = {"num_classes": head.take("num_classes")}
    for old, new in (("dropout_ratio", "dropout"), ("init_std", "init_std")):
        if old in head.left:
            config[new] = head.take(old, 0.0)
    return config


def _check_width(config: Mapping[str, Any], in_channels: int) -> None:
    channels = build(config).out_channels
    if in_channels and in_channels != channels:
        raise InputError(
            f"model.cls_head.in_channels {in_channels} is not the backbone's {channels} channels"
        )


def _per_stage(value: Any, stages: int) -> tuple:
    return value if isinstance(value, tuple) else (value,) * stages


def _plain(value: Any) -> Any:
    """Lists as tuples, so that values compare; dicts stay dicts."""
    return {**value} if isinstance(value, Mapping) else hashable(value)


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
FAMILIES: dict[tuple[str, str, str], Callable[[Options, Options], dict[str, Any]]] = {
    ("Recognizer2D", "ResNet", "TSNHead"): _tsn,
    ("Recognizer2D", "ResNet", "TSMHead"): _tsm_without_shift,
    ("Recognizer2D", "ResNetTSM", "TSMHead"): _tsm,
    ("Recognizer2D", "MobileNetV2TSM", "TSMHead"): _tsm_mobilenet,
    ("Recognizer3D", "ResNet3d", "I3DHead"): _i3d,
    ("Recognizer3D", "ResNet3dSlowOnly", "I3DHead"): _slowonly,
    ("Recognizer3D", "ResNet2Plus1d", "I3DHead"): _r2plus1d,
    ("Recognizer3D", "ResNet3dSlowFast", "SlowFastHead"): _slowfast,
}
