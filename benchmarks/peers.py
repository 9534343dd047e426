"""The peers' networks (PyTorch) as steps to time: MMAction2 1.2.0 and pytorchvideo.

The wheel of MMAction2 lacks a module that it imports, and imports torchvision for what is not used
here; empty modules stand in for both.
"""

import importlib.util
import os
from collections.abc import Callable

import torch

from benchmarks.families import CLASSES, FAMILIES, NoSuchNetwork
from benchmarks.stand_ins import stand_in


def versions(side: str) -> dict[str, str]:
    name = side.removesuffix("-compile")
    module = {"mmaction2": "mmaction", "pytorchvideo": "pytorchvideo"}[name]
    return {"torch": torch.__version__, name: __import__(module).__version__}


def make_step(
    side: str, family: str, mode: str, batch: int, size: int, dtype: str
) -> Callable[[], None]:
    """Returns a function that does one step and waits for it; `mode` is inference or training.

    `side` is mmaction2 or pytorchvideo, with "-compile" for torch.compile. "bfloat16" is autocast
    with channels last. NoSuchNetwork for a family that the side does not have.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    mmaction = side.removesuffix("-compile") == "mmaction2"
    network, prepare = _mmaction2(family) if mmaction else _pytorchvideo(family, size)
    clip = prepare(torch.randn(batch, 3, FAMILIES[family].frames, size, size))
    network = network.to(device)
    if dtype == "bfloat16":
        network, clip = _channels_last(network), _channels_last(clip)
    clip = [part.to(device) for part in clip] if isinstance(clip, list) else clip.to(device)
    if side.endswith("-compile"):
        torch._dynamo.config.recompile_limit = 100  # pytorchvideo's SlowFast is compiled in parts
        network = torch.compile(network, dynamic=False)  # sizes never change
    # pytorchvideo's SlowFast writes its features into the list that it is given.
    forward = (lambda: network(list(clip))) if isinstance(clip, list) else lambda: network(clip)
    network.train(mode == "training")
    step = forward if mode == "inference" else _training(network, forward, batch, device)

    def once():
        mixed = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")
        with mixed, torch.set_grad_enabled(mode == "training"):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return once


def peak_bytes() -> int:
    """The most device memory that was in use; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def _training(network, forward, batch, device):
    optimizer = torch.optim.SGD(network.parameters(), 0.001, momentum=0.9, weight_decay=1e-4)
    labels = torch.randint(0, CLASSES, (batch,), device=device)

    def once():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(forward().float(), labels).backward()
        optimizer.step()

    return once


def _channels_last(x):
    """5D tensors and kernels channels last; 4D ones too, by their own format."""
    if isinstance(x, list):
        return [_channels_last(part) for part in x]
    if isinstance(x, torch.Tensor):
        last = torch.channels_last_3d if x.dim() == 5 else torch.channels_last
        return x.to(memory_format=last)
    for parameter in x.parameters():
        if parameter.dim() in (4, 5):
            parameter.data = _channels_last(parameter.data)
    return x


class _Recognizer(torch.nn.Module):
    """An MMAction2 recognizer from pixels to logits; 2D ones see frames as a batch."""

    def __init__(self, recognizer, segments: int):
        super().__init__()
        self.backbone, self.head, self.segments = recognizer.backbone, recognizer.cls_head, segments

    def forward(self, x):
        features = self.backbone(x)
        return self.head(features, self.segments) if self.segments else self.head(features)


def _mmaction2(family: str):
    for name in ("mmaction.models.localizers.drn", "mmaction.models.localizers.drn.drn"):
        stand_in(name)
    from mmaction.registry import MODELS
    from mmaction.utils import register_all_modules

    register_all_modules()
    settings, frames = FAMILIES[family]
    flat = settings["type"] == "Recognizer2D"
    network = _Recognizer(MODELS.build(settings), frames if flat else 0)
    return network, (lambda x: x.transpose(1, 2).flatten(0, 1)) if flat else (lambda x: x)


def _pytorchvideo(family: str, size: int):
    """What pytorchvideo has of the six, under the same kernels and strides as far as it lets."""
    if not importlib.util.find_spec("torchvision"):
        for name in ("", ".ops", ".transforms", ".models"):
            stand_in(f"torchvision{name}")
    from pytorchvideo.models import resnet, slowfast

    # Pixels a side of the last features, which the head's pooling takes in.
    last_side = -(-size // 32)
    if family == "slowonly":
        return resnet.create_resnet(
            stem_conv_kernel_size=(1, 7, 7),
            head_pool_kernel_size=(4, last_side, last_side),
            model_num_class=CLASSES,
            stage_conv_a_kernel_size=((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
            head_activation=None,
        ), lambda x: x
    if family == "slowfast":
        return slowfast.create_slowfast(
            slowfast_channel_reduction_ratio=(8,),
            slowfast_fusion_conv_kernel_size=(5, 1, 1),
            slowfast_fusion_conv_stride=(8, 1, 1),
            head_pool_kernel_sizes=((4, last_side, last_side), (32, last_side, last_side)),
            model_num_class=CLASSES,
            head_activation=None,
        ), lambda x: [x[:, :, ::8].contiguous(), x]
    raise NoSuchNetwork(f"pytorchvideo has no {family}")
