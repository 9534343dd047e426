r"""SlowOnly: a ResNet that looks across frames in its last stages only. Feichtenhofer 2019.

    python train.py --config configs/slowonly.py

reaches 97.1 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/slowonly.py:r50-4x16-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 72.97 % top-1 there.
`VARIANTS` has the others; those with `in1k` start from ImageNet weights (`--config.init_from=DIR`).
"""

from ml_collections import ConfigDict

from jaxaction.config import recipes
from jaxaction.config.defaults import motions
from jaxaction.config.recipes import Variant


def get_config(variant: str = "") -> ConfigDict:
    """Returns the config of a smaller network on `motions`, or of the recipe `variant`."""
    config = motions(
        {"name": "slowonly", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"dropout": 0.2, "bn_group": 0}
    )
    config.data.update(clip_len=8, frame_interval=2)
    recipes.apply(VARIANTS, variant, config)
    return config


def r50_4x16(config: ConfigDict) -> None:
    recipes.kinetics(config, clips_per_gpu=16, epochs=256)
    recipes.thirty_views(config)
    recipes.warmup(config, epochs=34.0)
    config.data.update(clip_len=4, frame_interval=16)
    config.optim.update(learning_rate=0.2, decay_begin_epochs=34.0, decay_epochs=222.0)


def r50_8x8(config: ConfigDict) -> None:
    r50_4x16(config)
    config.data.update(clip_len=8, frame_interval=8)


def r50_jittered_8x8(config: ConfigDict) -> None:
    """Adds random colours, as MMAction2 has them for TPN. This recipe is not MMAction2's."""
    r50_8x8(config)
    config.data.color_jitter = (0.5, 0.5, 0.5, 0.1)


def r50_averaged_8x8(config: ConfigDict) -> None:
    """Trains with eight times the batch, a warm-up of half a million clips, smoothed labels and
    averaged weights. This recipe is not MMAction2's."""
    r50_8x8(config)
    config.train.update(batch_size=1024, label_smoothing=0.1, ema_decay=0.999)
    config.optim.update(warmup_epochs=0.0, warmup_samples=500_000, warmup_by="step")
    config.optim.update(decay_begin_epochs=0.0, decay_epochs=256.0)


def r101_8x8(config: ConfigDict) -> None:
    r50_8x8(config)
    config.model.depth = 101
    config.train.epochs = 196
    config.optim.decay_epochs = 162.0


def r50_16x4_flow(config: ConfigDict) -> None:
    r50_4x16(config)
    recipes.flow(config, channels=2)
    config.data.update(clip_len=16, frame_interval=4)
    config.val.num_clips = 2
    config.train.eval_every_epochs = 8


def r50_in1k_4x16(config: ConfigDict) -> None:
    """Starts from ImageNet weights. Milestones count from the end of the warm-up."""
    recipes.kinetics(config, clips_per_gpu=16, epochs=150)
    recipes.thirty_views(config)
    recipes.warmup(config, epochs=10.0)
    recipes.steps(config, (100.0, 140.0))
    config.data.update(clip_len=4, frame_interval=16)
    config.optim.learning_rate = 0.02


def r50_in1k_8x8(config: ConfigDict) -> None:
    r50_in1k_4x16(config)
    config.data.update(clip_len=8, frame_interval=8)


def r50_in1k_nl_4x16(config: ConfigDict) -> None:
    r50_in1k_4x16(config)
    recipes.non_local(config, "embedded_gaussian", NON_LOCAL, use_scale=True)
    config.train.epochs = 256
    config.optim.learning_rate = 0.01


def r50_in1k_nl_8x8(config: ConfigDict) -> None:
    r50_in1k_nl_4x16(config)
    config.data.update(clip_len=8, frame_interval=8)


def r50_in1k_4x16_k700(config: ConfigDict) -> None:
    r50_in1k_4x16(config)
    config.model.num_classes = 700
    config.train.batch_size = config.optim.reference_batch = 16 * 16
    config.optim.learning_rate = 0.04


def r50_in1k_8x8_k700(config: ConfigDict) -> None:
    r50_in1k_4x16_k700(config)
    config.data.update(clip_len=8, frame_interval=8)


def r50_in1k_8x8_k710(config: ConfigDict) -> None:
    r50_in1k_8x8_k700(config)
    config.model.update(num_classes=710, bn_group=8)


def r50_frozen_8x8(config: ConfigDict) -> None:
    """Fine-tunes all but the stem and the first stage; ends after three validations without gain.

    This recipe is not MMAction2's.
    """
    r50_8x8(config)
    recipes.finetune(config, learning_rate=0.01)
    # The statistics of all norms stay too: batches of a few clips would make them worse.
    config.model.update(frozen_stages=1, norm_eval=True)
    config.train.patience = 3


# Non-local blocks after every second block of the second and third stage.
NON_LOCAL = ((0, 0, 0), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 0, 0))

OLDER = "metafile.yml has {} %, from an older test"
SAME_NAME = "two published files share the hash df42dc84: look for its non_local_block"
PARAMETERS = "the README says 32.45 M parameters, those of 400 classes"
VARIANTS = {
    "r50-4x16-k400": Variant(
        r50_4x16,
        "slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb",
        "slowonly_r50_4x16x1_256e_8xb16_kinetics400-rgb_20220901-f6a40d08.pth",
        72.97,
        90.88,
        OLDER.format(72.68),
    ),
    "r50-8x8-k400": Variant(
        r50_8x8,
        "slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb",
        "20220901-2132fc87",
        75.15,
        92.11,
        OLDER.format(74.82),
    ),
    "r101-8x8-k400": Variant(
        r101_8x8,
        "slowonly_r101_8xb16-8x8x1-196e_kinetics400-rgb",
        "20220901-e6281431",
        76.59,
        92.80,
        OLDER.format(76.28),
    ),
    "r50-in1k-4x16-k400": Variant(
        r50_in1k_4x16,
        "slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb",
        "20220901-e7b65fad",
        75.12,
        91.72,
        OLDER.format(74.83),
    ),
    "r50-in1k-8x8-k400": Variant(
        r50_in1k_8x8,
        "slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb",
        "20220901-df42dc84",
        76.45,
        92.55,
        SAME_NAME,
    ),
    "r50-in1k-nl-embedded-gaussian-4x16-k400": Variant(
        r50_in1k_nl_4x16,
        "slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-4x16x1-steplr-150e_kinetics400-rgb",
        "20220901-cf739c75",
        75.07,
        91.69,
        "the config trains for 256 epochs with a schedule of 150; so does this recipe",
    ),
    "r50-in1k-nl-embedded-gaussian-8x8-k400": Variant(
        r50_in1k_nl_8x8,
        "slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-8x8x1-steplr-150e_kinetics400-rgb",
        "20220901-df42dc84",
        76.65,
        92.47,
        SAME_NAME,
    ),
    "r50-in1k-4x16-k700": Variant(
        r50_in1k_4x16_k700,
        "slowonly_imagenet-pretrained-r50_16xb16-4x16x1-steplr-150e_kinetics700-rgb",
        "20220901-f73b3e89",
        65.52,
        86.39,
        PARAMETERS,
    ),
    "r50-in1k-8x8-k700": Variant(
        r50_in1k_8x8_k700,
        "slowonly_imagenet-pretrained-r50_16xb16-8x8x1-steplr-150e_kinetics700-rgb",
        "20220901-4098e1eb",
        67.67,
        87.80,
        PARAMETERS,
    ),
    "r50-in1k-8x8-k710": Variant(
        r50_in1k_8x8_k710,
        "slowonly_imagenet-pretrained-r50_32xb8-8x8x1-steplr-150e_kinetics710-rgb",
        "20230612-12ce977c",
        72.39,
        90.60,
        PARAMETERS,
    ),
    "r50-16x4-k400-flow": Variant(
        r50_16x4_flow,
        "slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow",
        note="no weights published",
    ),
    "r50-jittered-8x8-k400": Variant(
        r50_jittered_8x8,
        note="random brightness, contrast, saturation and hue; not measured",
    ),
    "r50-averaged-8x8-k400": Variant(
        r50_averaged_8x8,
        note="a large batch, averaged weights and smoothed labels; not measured",
    ),
    "r50-frozen-8x8-finetune": Variant(
        r50_frozen_8x8,
        note="for your own videos and their classes, with init_from; not measured",
    ),
}
