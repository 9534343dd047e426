r"""TSN: segments seen one by one, their features averaged. Wang et al. 2016.

    python train.py --config configs/tsn.py

reaches 23.3 % held-out top-1 on `motions`, in minutes on two CPU cores. It can't tell a motion
from its reverse, since the average loses the order of the segments.

    python train.py --config configs/tsn.py:r50-1x1x3-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 72.83 % top-1 there, from ImageNet weights,
which this config does not load.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The network at reduced width and depth on `motions`, or the recipe `variant`."""
    config = common.motions(
        {"name": "tsn", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"dropout": 0.2, "bn_group": 0}
    )
    config.data.update(sampling="segments", clip_len=8)
    if variant:
        common.pick(VARIANTS, variant)(config)
    return config


def r50_1x1x3(config: ConfigDict) -> None:
    """tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.

    Features are averaged over the segments of all ten crops before the classifier, which is linear:
    the same as the mean of the crops' logits.
    """
    common.kinetics(config, clips_per_gpu=32, epochs=100)
    common.steps(config, (40.0, 80.0))
    config.model.dropout = 0.4
    config.data.update(clip_len=3, crop="multi_scale")
    config.train.eval_every_epochs = 1
    config.test.update(clip_len=25, crops="ten", average="score")
    config.optim.learning_rate = 0.01


VARIANTS = {"r50-1x1x3-k400": r50_1x1x3}
