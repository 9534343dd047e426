r"""SlowFast: a wide network on few frames, a narrow one on many. Feichtenhofer et al. 2019.

    python train.py --config configs/slowfast.py

reaches 98.3 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/slowfast.py:r50-4x16-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 75.55 % top-1 there.
`VARIANTS` has the others.
"""

from ml_collections import ConfigDict

from jaxaction.config import recipes
from jaxaction.config.defaults import motions
from jaxaction.config.recipes import Variant


def get_config(variant: str = "") -> ConfigDict:
    """Returns the config of a smaller network on `motions`, or of the recipe `variant`."""
    config = motions(
        {"name": "slowfast", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"resample_rate": 8, "speed_ratio": 8, "channel_ratio": 4, "fusion_kernel": 5}
        | {"dropout": 0.2, "bn_group": 0}
    )
    recipes.apply(VARIANTS, variant, config)
    return config


def r50_4x16(config: ConfigDict) -> None:
    """Runs the cosine from the first step on, also during the warm-up."""
    recipes.kinetics(config, clips_per_gpu=8, epochs=256)
    recipes.thirty_views(config)
    config.model.channel_ratio = 8
    config.data.update(clip_len=32, frame_interval=2)
    config.optim.update(learning_rate=0.1, warmup_epochs=34.0, decay_epochs=256.0)


def r50_precise_4x16(config: ConfigDict) -> None:
    """Tests with batch statistics that are computed over 200 batches, as PySlowFast does."""
    r50_4x16(config)
    config.train.precise_bn_clips = 200 * config.train.batch_size


def r50_8x8(config: ConfigDict) -> None:
    r50_4x16(config)
    config.model.update(resample_rate=4, speed_ratio=4, fusion_kernel=7)


def r50_8x8_steplr(config: ConfigDict) -> None:
    """Adds a norm and ReLU after each lateral convolution."""
    r50_8x8(config)
    recipes.steps(config, (94.0, 154.0, 196.0))
    config.model.lateral_norm = True


def r101_8x8(config: ConfigDict) -> None:
    r50_8x8(config)
    config.model.depth = 101


def r101_remat_8x8(config: ConfigDict) -> None:
    """Computes the same numbers in less memory: the first two stages are computed twice."""
    r101_8x8(config)
    config.model.remat = (1, 2)


def r101_r50_4x16(config: ConfigDict) -> None:
    """Has a slow path of 101 layers and a fast one of 50; trained on 32 GPUs."""
    r50_4x16(config)
    config.model.update(depth=101, fast={"depth": 50})
    config.train.batch_size = config.optim.reference_batch = 32 * 8
    config.optim.learning_rate = 0.4


PEAK = "the rate peaks at 0.957 of its nominal value: the cosine has begun before the warm-up ends"
VARIANTS = {
    "r50-4x16-k400": Variant(
        r50_4x16,
        "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb",
        "20220901-701b0f6f",
        75.55,
        92.35,
        PEAK,
    ),
    "r50-8x8-k400": Variant(
        r50_8x8,
        "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb",
        "20220818-1cb6dfc8",
        76.80,
        92.99,
        PEAK,
    ),
    "r50-8x8-steplr-k400": Variant(
        r50_8x8_steplr,
        "slowfast_r50_8xb8-8x8x1-steplr-256e_kinetics400-rgb",
        "20220818-b62a501f",
        76.65,
        92.86,
    ),
    "r101-8x8-k400": Variant(
        r101_8x8,
        "slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb",
        "20220901-9c0e09bd",
        78.65,
        93.88,
        PEAK,
    ),
    "r101-r50-4x16-k400": Variant(
        r101_r50_4x16,
        "slowfast_r101-r50_32xb8-4x16x1-256e_kinetics400-rgb",
        "20220901-a77ac3ee",
        77.03,
        92.99,
        PEAK,
    ),
    "r50-precise-4x16-k400": Variant(r50_precise_4x16, note="precise batch norm; not measured"),
    "r101-remat-8x8-k400": Variant(
        r101_remat_8x8,
        note="r101-8x8-k400 in less memory and more time",
    ),
}
