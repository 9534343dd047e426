r"""TSM: segments that exchange channels with their neighbours. Lin et al. 2019.

    python train.py --config configs/tsm.py

reaches 100.0 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/tsm.py:r50-1x1x8-k400 \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400. It reached 73.18 % top-1 there, from ImageNet weights,
which this config does not load.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The network at reduced width and depth on `motions`, or the recipe `variant`."""
    config = common.motions(
        {"name": "tsm", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"num_segments": 8, "shift_div": 8, "dropout": 0.2, "bn_group": 0}
    )
    config.data.update(sampling="segments", clip_len=8)
    config.model.num_segments = config.data.get_oneway_ref("clip_len")
    if variant:
        common.pick(VARIANTS, variant)(config)
    return config


def r50_1x1x8(config: ConfigDict) -> None:
    """tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb."""
    common.kinetics(config, clips_per_gpu=16, epochs=50)
    common.steps(config, (25.0, 45.0))
    config.data.crop = "multi_scale_13"
    config.train.eval_every_epochs = 1
    config.test.crops = "ten"
    config.optim.update(learning_rate=0.02, clip_norm=20.0, multipliers=MULTIPLIERS)
    config.optim.update(warmup_epochs=5.0, warmup_by="epoch")


# The first matching row's factors of learning rate and weight decay: norms, the classifier's
# weight and bias, other biases. What matches none has (1, 1).
MULTIPLIERS = (
    (r".*/bn/(scale|bias)", 1.0, 0.0),
    (r"cls_head/fc_cls/kernel", 5.0, 1.0),
    (r"cls_head/fc_cls/bias", 10.0, 0.0),
    (r".*/bias", 2.0, 0.0),
)

VARIANTS = {"r50-1x1x8-k400": r50_1x1x8}
