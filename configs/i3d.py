r"""I3D: a 3D ResNet that halves the frames three times. Carreira and Zisserman 2017.

    python train.py --config configs/i3d.py

reaches 96.2 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/i3d.py:r50-32x2x1-k400 --config.init_from=DIR \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400, which reached 73.47 % top-1 there from inflated ImageNet
weights (`jaxaction convert resnet50.pth` makes a DIR of torchvision's). `VARIANTS` has the others.
"""

from ml_collections import ConfigDict

from jaxaction.config import recipes
from jaxaction.config.defaults import motions
from jaxaction.config.recipes import Variant


def get_config(variant: str = "") -> ConfigDict:
    """Returns the config of a smaller network on `motions`, or of the recipe `variant`."""
    config = motions(
        {"name": "i3d", "depth": 50, "stage_blocks": (2, 2, 2, 2), "width": 16}
        | {"inflate": ((1, 1), (1, 0), (1, 0), (0, 1)), "zero_init_residual": False}
        | {"dropout": 0.2, "bn_group": 0}
    )
    recipes.apply(VARIANTS, variant, config)
    return config


def r50_32x2x1(config: ConfigDict) -> None:
    recipes.kinetics(config, clips_per_gpu=8, epochs=100)
    recipes.steps(config, (40.0, 80.0))
    recipes.thirty_views(config)
    # About every second block reaches over time, as in MMAction2's config.
    config.model.inflate = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
    config.data.update(clip_len=32, frame_interval=2, crop="two_scale")
    config.train.eval_every_epochs = 1
    config.optim.learning_rate = 0.01


def r50_one_gpu_32x2x1(config: ConfigDict) -> None:
    """Takes the same steps on one GPU, with eight clips of a batch in memory at a time."""
    r50_32x2x1(config)
    config.train.accumulate = 8


def r50_dense_32x2x1(config: ConfigDict) -> None:
    r50_32x2x1(config)
    recipes.dense(config)


def r50_nl_dot_product_32x2x1(config: ConfigDict) -> None:
    r50_32x2x1(config)
    recipes.non_local(config, "dot_product", NON_LOCAL, use_scale=False)


def r50_nl_gaussian_32x2x1(config: ConfigDict) -> None:
    r50_32x2x1(config)
    recipes.non_local(config, "gaussian", NON_LOCAL, use_scale=False)


def r50_nl_embedded_gaussian_32x2x1(config: ConfigDict) -> None:
    r50_32x2x1(config)
    recipes.non_local(config, "embedded_gaussian", NON_LOCAL, use_scale=False)


def r50_heavy_32x2x1(config: ConfigDict) -> None:
    """Inflates every block, and keeps all frames up to the second stage."""
    r50_32x2x1(config)
    config.model.update(inflate=(1, 1, 1, 1), conv1_stride_t=1, pool1_stride_t=1)


def r50_8x8(config: ConfigDict) -> None:
    """I3D of PySlowFast and pytorchvideo, which keeps all eight frames up to the second stage."""
    r50_32x2x1(config)
    config.model.update(conv1_stride_t=1, pool1_stride_t=1)
    config.data.update(clip_len=8, frame_interval=8)


def c2d_r50_8x8(config: ConfigDict) -> None:
    """C2D of PySlowFast and pytorchvideo: one pooling over time, and no convolution."""
    r50_8x8(config)
    config.model.update(conv1_kernel=(1, 7, 7), inflate=(0, 0, 0, 0))


def r3d_18(config: ConfigDict) -> None:
    """The network of torchvision: 3x3x3 convolutions, no pooling, 16 frames of 112x112."""
    r50_32x2x1(config)
    config.model.update(depth=18, inflate=(1, 1, 1, 1), conv1_kernel=(3, 7, 7), conv1_stride_t=1)
    config.model.update(with_pool1=False, with_pool2=False, temporal_strides=(1, 2, 2, 2))
    recipes.torchvision(config)


# Non-local blocks after every second block of the second and third stage, from the second block on.
# The 2D families and SlowOnly begin with the first block. Both are as in MMAction2's configs.
NON_LOCAL = ((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0))

VARIANTS = {
    "r50-32x2x1-k400": Variant(
        r50_32x2x1,
        "i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-e213c223",
        73.47,
        91.27,
    ),
    "r50-dense-32x2x1-k400": Variant(
        r50_dense_32x2x1,
        "i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb",
        "20220812-9f46003f",
        73.77,
        91.35,
    ),
    "r50-nl-dot-32x2x1-k400": Variant(
        r50_nl_dot_product_32x2x1,
        "i3d_imagenet-pretrained-r50-nl-dot-product_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-8e1f2148",
        74.80,
        92.07,
    ),
    "r50-nl-gaussian-32x2x1-k400": Variant(
        r50_nl_gaussian_32x2x1,
        "i3d_imagenet-pretrained-r50-nl-gaussian_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-0c5cbf5a",
        73.97,
        91.33,
    ),
    "r50-nl-embedded-gaussian-32x2x1-k400": Variant(
        r50_nl_embedded_gaussian_32x2x1,
        "i3d_imagenet-pretrained-r50-nl-embedded-gaussian_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-afd8f562",
        74.73,
        91.80,
    ),
    "r50-heavy-32x2x1-k400": Variant(
        r50_heavy_32x2x1,
        "i3d_imagenet-pretrained-r50-heavy_8xb8-32x2x1-100e_kinetics400-rgb",
        "20220812-ed501b31",
        76.21,
        92.48,
    ),
    "r50-one-gpu-32x2x1-k400": Variant(
        r50_one_gpu_32x2x1, note="r50-32x2x1-k400 with accumulated gradients; not measured"
    ),
    "r50-8x8-k400": Variant(r50_8x8, note="of PySlowFast and pytorchvideo"),
    "c2d-r50-8x8-k400": Variant(c2d_r50_8x8, note="of PySlowFast and pytorchvideo"),
    "r3d-18-16x2-k400": Variant(r3d_18, note="of torchvision"),
}
