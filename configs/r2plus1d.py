r"""R(2+1)D: convolutions over space and over time in turn. Tran et al. 2018.

    python train.py --config configs/r2plus1d.py

reaches 93.8 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/r2plus1d.py:r34-8x8-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 69.76 % top-1 there.
`VARIANTS` has the others.
"""

from ml_collections import ConfigDict

from jaxaction.config import recipes
from jaxaction.config.defaults import motions
from jaxaction.config.recipes import Variant


def get_config(variant: str = "") -> ConfigDict:
    """Returns the config of a smaller network on `motions`, or of the recipe `variant`."""
    config = motions(
        {"name": "r2plus1d", "depth": 34, "stage_blocks": (1, 1, 1, 1), "width": 16}
        | {"dropout": 0.2, "bn_group": 0}
    )
    config.data.update(clip_len=8, frame_interval=2)
    recipes.apply(VARIANTS, variant, config)
    return config


def r34_8x8(config: ConfigDict) -> None:
    """Uses batch norm over all GPUs, as no other family does."""
    recipes.kinetics(config, clips_per_gpu=8, epochs=180)
    recipes.thirty_views(config)
    config.model.bn_group = 0
    config.data.update(clip_len=8, frame_interval=8)
    config.train.eval_every_epochs = 20
    config.optim.update(learning_rate=0.01, decay_epochs=180.0)


def r34_32x2(config: ConfigDict) -> None:
    r34_8x8(config)
    config.data.update(clip_len=32, frame_interval=2)


def r18_torchvision(config: ConfigDict) -> None:
    """The network of torchvision: no pooling, plain shortcuts, 16 frames of 112x112."""
    r34_32x2(config)
    # MMAction2's R(2+1)D has a norm epsilon of 1e-3, the others have PyTorch's default.
    config.model.update(depth=18, norm_eps=1e-5, with_pool1=False, factorize="torchvision")
    recipes.torchvision(config)


def r50_pytorchvideo(config: ConfigDict) -> None:
    """The network of pytorchvideo: bottlenecks whose middle convolution only is factorised."""
    r34_8x8(config)
    config.model.update(depth=50, norm_eps=1e-5, with_pool1=False, factorize="middle")
    config.model.update(conv1_kernel=(1, 7, 7), inflate_style="3x3x3")
    config.model.update(spatial_strides=(2, 2, 2, 2), temporal_strides=(1, 1, 2, 2))
    config.data.update(clip_len=16, frame_interval=4)


VARIANTS = {
    "r34-8x8-k400": Variant(
        r34_8x8,
        "r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb",
        "20220812-47cfe041",
        69.76,
        88.41,
    ),
    "r34-32x2-k400": Variant(
        r34_32x2,
        "r2plus1d_r34_8xb8-32x2x1-180e_kinetics400-rgb",
        "20220812-4270588c",
        75.46,
        92.28,
    ),
    "r18-torchvision-16x2-k400": Variant(r18_torchvision, note="of torchvision"),
    "r50-pytorchvideo-16x4-k400": Variant(r50_pytorchvideo, note="of pytorchvideo"),
}
