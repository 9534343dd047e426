"""Writes options.json.gz: what the reference computes for one small network an option.

    python tests/parity/make_options.py

needs PyTorch, mmengine, mmcv-lite 2.1.0 and mmaction2 1.2.0; no test does. Weights and inputs are
seeded by the rules of README.md, so a row is the settings, the input's shape, the names and shapes
of the weights, and seven logits a clip.
"""

import gzip
import importlib.machinery
import json
import sys
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.figures import rng, seeded_weight  # noqa: E402

CLASSES = 7
NL = {"sub_sample": True, "use_scale": False, "norm_cfg": {"type": "BN3d"}}
BLOCKS_50 = ((0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0, 0, 1), (0, 0, 0))


def model3d(backbone, width, frames=8, head="I3DHead", channels=3):
    head = {"type": head, "num_classes": CLASSES, "in_channels": width}
    shape = [1, 2, channels, frames, 64, 48]
    return {"type": "Recognizer3D", "backbone": backbone, "cls_head": head}, shape


def i3d(kind="ResNet3d", frames=8, depth=50, **options):
    """Two blocks a stage, eight channels wide."""
    backbone = {"type": kind, "depth": depth, "base_channels": 8, "stage_blocks": (1, 2, 1, 1)}
    backbone |= {"pretrained": None} | options
    stages = backbone.get("num_stages", 4)
    width = backbone["base_channels"] * 2 ** (stages - 1) * (4 if depth >= 50 else 1)
    return model3d(backbone, width, frames, channels=options.get("in_channels", 3))


def r2plus1d(depth=34, **options):
    conv = {"conv_cfg": {"type": "Conv2plus1d"}, "pretrained2d": False}
    return i3d("ResNet2Plus1d", depth=depth, **conv, **options)


def slowfast(slow=None, fast=None, width=16, depth=50, **options):
    options = {"resample_rate": 8, "speed_ratio": 8, "channel_ratio": 8} | options
    path = {"type": "resnet3d", "depth": depth, "pretrained": None, "stage_blocks": (1, 1, 2, 1)}
    narrow = width // options["channel_ratio"]
    slow = (
        path | {"lateral": True, "base_channels": width, "conv1_kernel": (1, 7, 7)} | (slow or {})
    )
    fast = (
        path | {"lateral": False, "base_channels": narrow, "conv1_kernel": (5, 7, 7)} | (fast or {})
    )
    slow.setdefault("inflate", (0, 0, 1, 1))
    backbone = {"type": "ResNet3dSlowFast", "pretrained": None, **options}
    backbone |= {"slow_pathway": slow, "fast_pathway": fast}
    last = 32 if depth >= 50 else 8
    return model3d(
        backbone, last * (slow["base_channels"] + fast["base_channels"]), 32, "SlowFastHead"
    )


def tsn(depth=18, channels=3, **options):
    backbone = {"type": "ResNet", "depth": depth, "pretrained": None, **options}
    head = {"type": "TSNHead", "num_classes": CLASSES, "in_channels": 2048 if depth >= 50 else 512}
    return {"type": "Recognizer2D", "backbone": backbone, "cls_head": head}, [
        2,
        3,
        channels,
        64,
        48,
    ]


def tsm(depth=18, segments=4, head=None, kind="ResNetTSM", width=0, **options):
    backbone = {"type": kind, "pretrained": None, "num_segments": segments, **options}
    if kind == "ResNetTSM":
        backbone["depth"] = depth
    settings = {"type": "TSMHead", "num_classes": CLASSES, "num_segments": segments, **(head or {})}
    settings["in_channels"] = width or (2048 if depth >= 50 else 512)
    return {"type": "Recognizer2D", "backbone": backbone, "cls_head": settings}, [
        2,
        segments,
        3,
        64,
        48,
    ]


def mobilenet(widen_factor=1.0, **options):
    width = 1280 if widen_factor <= 1 else int(1280 * widen_factor)
    return tsm(kind="MobileNetV2TSM", width=width, widen_factor=widen_factor, **options)


def three_stages():
    strides = {"spatial_strides": (1, 2, 2), "temporal_strides": (1, 1, 1)}
    return strides | {"stage_blocks": (1, 2, 1), "inflate": (1, 1, 0), "dilations": (1, 1, 1)}


def cases():
    return {
        "i3d": i3d(),
        "i3d conv1_kernel": i3d(conv1_kernel=(5, 5, 5)),
        "i3d conv1_stride_t": i3d(conv1_stride_t=2),
        "i3d conv1_stride_s": i3d(conv1_stride_s=1),
        "i3d pool1_stride_t": i3d(pool1_stride_t=2),
        "i3d pool1_stride_s": i3d(pool1_stride_s=1),
        "i3d with_pool1": i3d(with_pool1=False),
        "i3d with_pool2": i3d(with_pool2=False),
        "i3d odd frames at pool2": i3d(frames=7),
        "i3d inflate number": i3d(inflate=0),
        "i3d inflate per stage": i3d(inflate=(0, 1, 0, 1)),
        "i3d inflate per block": i3d(inflate=((1,), (0, 1), (1,), (0,))),
        "i3d inflate mixed": i3d(inflate=(1, (0, 1), 0, (1,))),
        "i3d inflate_style": i3d(inflate_style="3x3x3", inflate=(1, 0, 1, 1)),
        "i3d spatial_strides": i3d(spatial_strides=(1, 2, 2, 1)),
        "i3d temporal_strides": i3d(temporal_strides=(1, 2, 1, 2), with_pool2=False),
        "i3d temporal_strides 3x3x3": i3d(temporal_strides=(1, 2, 1, 1), inflate_style="3x3x3"),
        "i3d dilations": i3d(dilations=(1, 1, 2, 4), spatial_strides=(1, 2, 1, 1)),
        "i3d dilations 3x3x3": i3d(dilations=(1, 1, 2, 2), inflate_style="3x3x3"),
        "i3d style": i3d(style="caffe", temporal_strides=(1, 2, 1, 1)),
        "i3d zero_init_residual": i3d(zero_init_residual=False),
        "i3d in_channels": i3d(in_channels=2),
        "i3d norm_cfg": i3d(norm_cfg={"type": "BN3d", "eps": 1e-3, "requires_grad": True}),
        "i3d num_stages": i3d(num_stages=3, out_indices=(2,), **three_stages()),
        "i3d non_local gaussian": i3d(
            non_local=(0, 1, 0, 0), non_local_cfg=NL | {"mode": "gaussian"}
        ),
        "i3d non_local embedded": i3d(
            non_local=(0, (0, 1), 0, 0), non_local_cfg=NL | {"mode": "embedded_gaussian"}
        ),
        "i3d non_local dot_product": i3d(
            non_local=(0, (1, 0), 1, 0), non_local_cfg=NL | {"mode": "dot_product"}
        ),
        "i3d non_local use_scale": i3d(
            non_local=(0, 1, 0, 0), non_local_cfg=NL | {"use_scale": True}
        ),
        "i3d non_local sub_sample": i3d(
            non_local=(0, 1, 0, 0), non_local_cfg=NL | {"sub_sample": False}
        ),
        "i3d non_local gaussian whole": i3d(
            non_local=(0, 1, 0, 0), non_local_cfg=NL | {"sub_sample": False, "mode": "gaussian"}
        ),
        "i3d non_local defaults": i3d(non_local=(0, 1, 0, 0), non_local_cfg={}),
        "i3d non_local reduction": i3d(non_local=(0, 1, 0, 0), non_local_cfg=NL | {"reduction": 4}),
        "i3d basic": i3d(depth=18),
        "i3d basic not inflated": i3d(depth=34, inflate=0),
        "i3d basic strides": i3d(depth=18, temporal_strides=(1, 2, 1, 1), style="caffe"),
        "i3d basic dilations": i3d(depth=18, dilations=(1, 2, 1, 2), spatial_strides=(1, 1, 2, 1)),
        "slowonly": i3d("ResNet3dSlowOnly"),
        "slowonly with_pool2": i3d("ResNet3dSlowOnly", with_pool2=True, inflate=(1, 1, 1, 1)),
        "slowonly flow": i3d("ResNet3dSlowOnly", in_channels=2),
        "r2plus1d": r2plus1d(),
        "r2plus1d eps": r2plus1d(norm_cfg={"type": "SyncBN", "eps": 1e-3}),
        "r2plus1d temporal_strides": r2plus1d(temporal_strides=(1, 2, 2, 2)),
        "r2plus1d not inflated": r2plus1d(inflate=(1, 0, 0, 1)),
        "r2plus1d bottleneck": r2plus1d(depth=50, temporal_strides=(1, 2, 1, 1)),
        "r2plus1d stem": r2plus1d(conv1_kernel=(3, 5, 5), conv1_stride_t=2, pool1_stride_t=2),
        "slowfast": slowfast(),
        "slowfast resample_rate": slowfast(resample_rate=4, speed_ratio=4),
        "slowfast speed_ratio": slowfast(resample_rate=8, speed_ratio=4),
        "slowfast channel_ratio": slowfast(channel_ratio=4),
        "slowfast not lateral": slowfast(slow={"lateral": False}),
        "slowfast lateral_norm": slowfast(slow={"lateral_norm": True}),
        "slowfast fusion_kernel": slowfast(slow={"fusion_kernel": 7}),
        "slowfast lateral_infl": slowfast(slow={"lateral_infl": 4}),
        "slowfast depths differ": slowfast(slow={"depth": 101, "stage_blocks": (1, 2, 3, 1)}),
        "slowfast basic": slowfast(depth=18),
        "slowfast paths differ": slowfast(
            slow={
                "inflate": (0, 1, 0, 1),
                "inflate_style": "3x3x3",
                "norm_cfg": {"type": "BN3d", "eps": 1e-3},
            },
            fast={"inflate": (1, 0, (1, 0), 1), "style": "caffe"},
        ),
        "slowfast dilations": slowfast(
            slow={"dilations": (1, 1, 1, 2), "spatial_strides": (1, 2, 2, 1)},
            fast={"dilations": (1, 1, 1, 2), "spatial_strides": (1, 2, 2, 1)},
        ),
        "slowfast non_local": slowfast(slow={"non_local": (0, 1, (1, 0), 0), "non_local_cfg": NL}),
        "tsn": tsn(),
        "tsn 34": tsn(34),
        "tsn 50 caffe": tsn(50, style="caffe"),
        "tsn in_channels": tsn(channels=10, in_channels=10),
        "tsn strides dilations": tsn(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        "tsn 50 dilations": tsn(50, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
        "tsn norm_cfg": tsn(norm_cfg={"type": "BN2d", "eps": 1e-3}),
        "tsm": tsm(),
        "tsm 101 every second block": tsm(101),
        "tsm 101 block": tsm(101, shift_place="block"),
        "tsm shift_div": tsm(shift_div=4),
        "tsm shift_place": tsm(shift_place="block"),
        "tsm not is_shift": tsm(is_shift=False, head={"is_shift": False}),
        "tsm temporal_pool": tsm(temporal_pool=True, head={"temporal_pool": True}),
        "tsm temporal_pool block": tsm(
            segments=6, temporal_pool=True, shift_place="block", head={"temporal_pool": True}
        ),
        "tsm style": tsm(50, style="caffe"),
        "tsm non_local": tsm(50, non_local=BLOCKS_50, non_local_cfg=NL | {"mode": "dot_product"}),
        "tsm non_local not is_shift": tsm(
            50, is_shift=False, non_local=BLOCKS_50, non_local_cfg=NL | {"mode": "gaussian"}
        ),
        "tsm mobilenet": mobilenet(),
        "tsm mobilenet narrow": mobilenet(0.5, shift_div=4),
        "tsm mobilenet wide": mobilenet(1.4),
        "tsm mobilenet not is_shift": mobilenet(is_shift=False, head={"is_shift": False}),
    }


def figures(settings, shape, seed, models, torch):
    """Returns one row: the reference's network with seeded weights on a seeded input."""
    net = models.build(settings | {"data_preprocessor": None}).eval()
    keys = {k: list(v.shape) for k, v in net.state_dict().items() if "num_batches" not in k}
    weights = {key: torch.from_numpy(seeded_weight(key, tuple(s))) for key, s in keys.items()}
    net.load_state_dict(weights, strict=False)
    pixels = torch.from_numpy(rng(seed).standard_normal(shape).astype(np.float32))
    with torch.no_grad():
        features = net.backbone(pixels.reshape(-1, *pixels.shape[2:]))
        segments = {"num_segs": shape[1]} if settings["type"] == "Recognizer2D" else {}
        logits = net.cls_head(features, **segments)
    count = sum(p.numel() for p in net.parameters())
    row = {"model": settings, "input_shape": shape, "input_seed": seed, "parameters": count}
    return row | {"state_keys": keys, "logits": logits.tolist()}


def reference():
    """Returns the reference's model registry; its wheel lacks a package that is not needed here."""
    for name in ("mmaction.models.localizers.drn", "mmaction.models.localizers.drn.drn"):
        sys.modules[name] = module = types.ModuleType(name)
        module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(name, None), []
        module.DRN = type("DRN", (), {})
    from mmaction.registry import MODELS
    from mmaction.utils import register_all_modules

    register_all_modules()
    return MODELS


def main():
    import torch

    models = reference()
    rows = {name: figures(*case, f"input:{name}", models, torch) for name, case in cases().items()}
    path = Path(__file__).with_name("options.json.gz")
    path.write_bytes(gzip.compress(json.dumps(rows).encode(), mtime=0))
    print(f"{len(rows)} networks, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
