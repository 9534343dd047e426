r"""SlowOnly: a ResNet that looks across frames in its last stages only. Feichtenhofer 2019.

    python train.py --config configs/slowonly.py

reaches 97.1 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/slowonly.py:r50-4x16-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 72.97 % top-1 there.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The network at reduced width and depth on `motions`, or the recipe `variant`."""
    config = common.motions(
        {"name": "slowonly", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"dropout": 0.2, "bn_group": 0}
    )
    config.data.update(clip_len=8, frame_interval=2)
    if variant:
        common.pick(VARIANTS, variant)(config)
    return config


def r50_4x16(config: ConfigDict) -> None:
    """slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb."""
    common.kinetics(config, clips_per_gpu=16, epochs=256)
    common.thirty_views(config)
    config.data.update(clip_len=4, frame_interval=16)
    config.optim.update(learning_rate=0.2, warmup_epochs=34.0, warmup_by="epoch")
    config.optim.update(decay_begin_epochs=34.0, decay_epochs=222.0)


VARIANTS = {"r50-4x16-k400": r50_4x16}
