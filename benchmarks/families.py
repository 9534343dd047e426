"""The six networks that the benchmarks compare, at their real sizes, as MMAction2 names them."""

from typing import Any, NamedTuple

CLASSES = 400


class Family(NamedTuple):
    """The `model` of an MMAction2 config, and the frames or segments of a clip."""

    settings: dict[str, Any]
    frames: int


class NoSuchNetwork(Exception):
    """Of a family that a side does not have."""


def _recognizer2d(backbone: dict, head: str, frames: int, **options: Any) -> Family:
    backbone = {"depth": 50, "norm_eval": False} | backbone
    cls_head = {"type": head, "num_classes": CLASSES, "in_channels": 2048} | options
    return Family({"type": "Recognizer2D", "backbone": backbone, "cls_head": cls_head}, frames)


def _recognizer3d(backbone: dict, head: str, in_channels: int, frames: int) -> Family:
    cls_head = {"type": head, "num_classes": CLASSES, "in_channels": in_channels}
    return Family({"type": "Recognizer3D", "backbone": backbone, "cls_head": cls_head}, frames)


def _no_strides_in_time(kernel_t: int) -> dict[str, Any]:
    return {"conv1_kernel": (kernel_t, 7, 7), "conv1_stride_t": 1, "pool1_stride_t": 1}


def _path(lateral: bool, **options: Any) -> dict[str, Any]:
    fields = {"type": "resnet3d", "depth": 50, "pretrained": None, "lateral": lateral}
    return fields | options | {"norm_eval": False}


FAMILIES = {
    "tsn": _recognizer2d({"type": "ResNet"}, "TSNHead", 8, dropout_ratio=0.4),
    "tsm": _recognizer2d(
        {"type": "ResNetTSM", "shift_div": 8}, "TSMHead", 8, dropout_ratio=0.5, is_shift=True
    ),
    "i3d": _recognizer3d(
        {
            "type": "ResNet3d",
            "depth": 50,
            "pretrained": None,
            "pretrained2d": False,
            "conv1_kernel": (5, 7, 7),
            "conv1_stride_t": 2,
            "pool1_stride_t": 2,
            "norm_eval": False,
            "inflate": ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)),
            "zero_init_residual": False,
        },
        "I3DHead",
        2048,
        32,
    ),
    "r2plus1d": _recognizer3d(
        {
            "type": "ResNet2Plus1d",
            "depth": 34,
            "pretrained": None,
            "pretrained2d": False,
            "norm_eval": False,
            "conv_cfg": {"type": "Conv2plus1d"},
            "norm_cfg": {"type": "BN3d", "eps": 1e-3},
            **_no_strides_in_time(3),
            "inflate": (1, 1, 1, 1),
            "spatial_strides": (1, 2, 2, 2),
            "temporal_strides": (1, 2, 2, 2),
            "zero_init_residual": False,
        },
        "I3DHead",
        512,
        8,
    ),
    "slowonly": _recognizer3d(
        {
            "type": "ResNet3dSlowOnly",
            "depth": 50,
            "pretrained": None,
            "lateral": False,
            **_no_strides_in_time(1),
            "inflate": (0, 0, 1, 1),
            "norm_eval": False,
        },
        "I3DHead",
        2048,
        4,
    ),
    "slowfast": _recognizer3d(
        {
            "type": "ResNet3dSlowFast",
            "pretrained": None,
            "resample_rate": 8,
            "speed_ratio": 8,
            "channel_ratio": 8,
            "slow_pathway": _path(True, **_no_strides_in_time(1), inflate=(0, 0, 1, 1)),
            "fast_pathway": _path(False, **_no_strides_in_time(5), base_channels=8),
        },
        "SlowFastHead",
        2304,
        32,
    ),
}
