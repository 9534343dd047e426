"""Options of MMAction2's backbones: residual networks, frozen stages, norms, non-local blocks."""

from collections.abc import Mapping
from typing import Any

from jaxaction.interop.mmaction_options import Options
from jaxaction.models.resnet import STAGE_BLOCKS

# Options that say where weights come from; the network is the same with and without them.
WITHOUT_EFFECT = ("pretrained", "pretrained2d", "torchvision_pretrain", "init_cfg")

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


def read_resnet2d(backbone: Options) -> dict[str, Any]:
    config = {"depth": backbone.take("depth", 50), "style": backbone.take("style", "pytorch")}
    config["spatial_strides"] = backbone.take("strides", (1, 2, 2, 2))
    config["dilations"] = backbone.take("dilations", (1, 1, 1, 1))
    if backbone.take("partial_bn", False):
        config["partial_bn"] = True
    config |= _cut_stages(backbone, config)
    return config | read_common_options(backbone, "ReLU", ("Conv", "Conv2d"))


def read_resnet3d(backbone: Options, convs: tuple[str, ...] = ("Conv3d",)) -> dict[str, Any]:
    config = {
        new: backbone.take(old) for old, new in RENAMED_3D.items() if old in backbone.remaining
    }
    config |= {
        "depth": backbone.take("depth", 50),
        "stage_blocks": backbone.take("stage_blocks", ()),
    }
    config |= _cut_stages(backbone, config)
    stages = count_stages(config)
    if "inflate" in backbone.remaining:
        config["inflate"] = _per_stage(backbone.take("inflate"), stages)
    return config | read_non_local(backbone, stages) | read_common_options(backbone, "ReLU", convs)


def _cut_stages(backbone: Options, config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields for `num_stages` stages; `out_indices` must be the last of them."""
    if config["depth"] not in STAGE_BLOCKS:
        backbone.refuse("depth", config["depth"])
    blocks = config.get("stage_blocks") or STAGE_BLOCKS[config["depth"]]
    stages = backbone.take("num_stages", 4)
    backbone.take_if("out_indices", lambda value: value == (stages - 1,))
    kept = {} if stages == len(blocks) else {"stage_blocks": blocks[:stages]}
    return kept | read_training_options(backbone, stages)


def read_training_options(backbone: Options, stages: int) -> dict[str, Any]:
    """The options that only training follows: frozen parts, stages that are computed again."""
    config = {}
    if (last := backbone.take("frozen_stages", -1)) >= 0:
        config["frozen_stages"] = last
    if backbone.take("norm_eval", False):
        config["norm_eval"] = True
    if backbone.take("with_cp", False):
        config["remat"] = tuple(range(1, stages + 1))
    return config


def count_stages(config: Mapping[str, Any]) -> int:
    return len(config.get("stage_blocks") or (0, 0, 0, 0))


def read_non_local(backbone: Options, stages: int) -> dict[str, Any]:
    flags = _per_stage(backbone.take("non_local", 0), stages)
    cfg = Options(backbone.take("non_local_cfg", {}), "model.backbone.non_local_cfg")
    if not any(any(flag) if isinstance(flag, tuple) else flag for flag in flags):
        return {}
    for key in ("zeros_init", "init_cfg"):
        cfg.take(key)
    cfg.take_if("conv_cfg", lambda value: value in (None, {"type": "Conv3d"}))
    norm = cfg.take("norm_cfg", {})
    fields = {"mode": cfg.take("mode", "embedded_gaussian"), "norm": bool(norm)}
    fields |= _read_norm(norm or {"type": "BN3d"}, cfg)
    fields["sub_sample"] = cfg.take("sub_sample", False)
    fields["use_scale"] = cfg.take("use_scale", True)
    fields["reduction"] = cfg.take("reduction", 2)
    if fields["mode"] not in ("gaussian", "embedded_gaussian", "dot_product"):
        cfg.refuse("mode", fields["mode"])
    cfg.refuse_remaining()
    return {"non_local": flags, "non_local_cfg": fields}


def read_common_options(
    backbone: Options, activation: str, convs: tuple[str, ...]
) -> dict[str, Any]:
    for key in WITHOUT_EFFECT:
        backbone.take(key)
    backbone.take_if("conv_cfg", lambda cfg: cfg is None or cfg.get("type") in convs)
    backbone.take_if("act_cfg", lambda cfg: cfg is None or cfg.get("type") == activation)
    backbone.take_if("partial_bn", lambda value: not value)  # of 2D networks, which have taken it
    config = {"in_channels": backbone.take("in_channels", 3)}
    if "norm_cfg" in backbone.remaining:
        config |= _read_norm(backbone.take("norm_cfg"), backbone)
    return config


def _read_norm(cfg: Mapping[str, Any], owner: Options) -> dict[str, float]:
    options = Options(cfg, f"{owner.where}.norm_cfg")
    options.take_if("type", lambda value: value in ("BN", "BN2d", "BN3d", "SyncBN"))
    options.take_if("requires_grad", lambda value: value is True)
    fields = {"norm_eps": options.take("eps", 1e-5), "norm_momentum": options.take("momentum", 0.1)}
    options.refuse_remaining()
    return fields


def _per_stage(value: Any, stages: int) -> tuple:
    return value if isinstance(value, tuple) else (value,) * stages
