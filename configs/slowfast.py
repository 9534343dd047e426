r"""SlowFast: a wide network on few frames, a narrow one on many. Feichtenhofer et al. 2019.

    python train.py --config configs/slowfast.py

reaches 98.3 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/slowfast.py:r50-4x16-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 75.55 % top-1 there.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The network at reduced width and depth on `motions`, or the recipe `variant`."""
    config = common.motions(
        {"name": "slowfast", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"resample_rate": 8, "speed_ratio": 8, "channel_ratio": 4, "fusion_kernel": 5}
        | {"dropout": 0.2, "bn_group": 0}
    )
    if variant:
        common.pick(VARIANTS, variant)(config)
    return config


def r50_4x16(config: ConfigDict) -> None:
    """slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb. The cosine runs under the warm-up."""
    common.kinetics(config, clips_per_gpu=8, epochs=256)
    common.thirty_views(config)
    config.model.channel_ratio = 8
    config.data.update(clip_len=32, frame_interval=2)
    config.optim.update(learning_rate=0.1, warmup_epochs=34.0, decay_epochs=256.0)


VARIANTS = {"r50-4x16-k400": r50_4x16}
