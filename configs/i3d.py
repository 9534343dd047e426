r"""I3D: a 3D ResNet that halves the frames three times. Carreira and Zisserman 2017.

    python train.py --config configs/i3d.py

reaches 96.2 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/i3d.py:r50-32x2x1-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 73.47 % top-1 there, from inflated ImageNet
weights, which this config does not load.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The network at reduced width and depth on `motions`, or the recipe `variant`."""
    config = common.motions(
        {"name": "i3d", "depth": 50, "stage_blocks": (2, 2, 2, 2), "width": 16}
        | {"inflate": ((1, 1), (1, 0), (1, 0), (0, 1)), "zero_init_residual": False}
        | {"dropout": 0.2, "bn_group": 0}
    )
    if variant:
        common.pick(VARIANTS, variant)(config)
    return config


def r50_32x2x1(config: ConfigDict) -> None:
    """i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb."""
    common.kinetics(config, clips_per_gpu=8, epochs=100)
    common.steps(config, (40.0, 80.0))
    common.thirty_views(config)
    config.model.inflate = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
    config.data.update(clip_len=32, frame_interval=2, crop="two_scale")
    config.train.eval_every_epochs = 1
    config.optim.learning_rate = 0.01


VARIANTS = {"r50-32x2x1-k400": r50_32x2x1}
