r"""TSN: segments seen one by one, their features averaged. Wang et al. 2016.

    python train.py --config configs/tsn.py

reaches 23.3 % held-out top-1 on `motions`, in minutes on two CPU cores. It can't tell a motion
from its reverse, since the average loses the order of the segments.

    python train.py --config configs/tsn.py:r50-1x1x3-k400 --config.init_from=DIR \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400, which reached 72.83 % top-1 there from ImageNet weights
(`jaxaction convert resnet50.pth` makes a DIR of torchvision's). `VARIANTS` has the others.
"""

from ml_collections import ConfigDict

from jaxaction.config import recipes
from jaxaction.config.defaults import motions
from jaxaction.config.recipes import Variant


def get_config(variant: str = "") -> ConfigDict:
    """Returns the config of a smaller network on `motions`, or of the recipe `variant`."""
    config = motions(
        {"name": "tsn", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"dropout": 0.2, "bn_group": 0, "partial_bn": False}
    )
    config.data.update(sampling="segments", clip_len=8)
    recipes.apply(VARIANTS, variant, config)
    return config


def r50_1x1x3(config: ConfigDict) -> None:
    """Tests ten crops of 25 segments; the mean of the crops' logits is their score."""
    # MMAction2 averages the features of all crops before the classifier. The classifier is linear,
    # so the mean of the logits ("score") is the same.
    recipes.kinetics(config, clips_per_gpu=32, epochs=100)
    recipes.steps(config, (40.0, 80.0))
    config.model.dropout = 0.4
    config.data.update(clip_len=3, crop="multi_scale")
    config.train.eval_every_epochs = 1
    config.test.update(clip_len=25, crops="ten", average="score")
    config.optim.learning_rate = 0.01


def r50_1x1x5(config: ConfigDict) -> None:
    r50_1x1x3(config)
    config.data.clip_len = 5


def r50_1x1x8(config: ConfigDict) -> None:
    r50_1x1x3(config)
    config.data.clip_len = 8


def r101_1x1x8(config: ConfigDict) -> None:
    r50_1x1x8(config)
    config.model.depth = 101


def r50_dense_1x1x5(config: ConfigDict) -> None:
    r50_1x1x5(config)
    recipes.dense(config, test_len=25)
    config.model.update(dropout=0.5, init_std=0.001)
    config.data.crop = "multi_scale_13"
    config.test.crops = "center"
    config.optim.learning_rate = 0.06


def r50_5x1x3_flow(config: ConfigDict) -> None:
    """Reads five frames of flow, x and y, as the ten channels of each segment."""
    r50_1x1x3(config)
    recipes.flow(config, channels=10)
    recipes.steps(config, (70.0, 100.0))
    config.data.crop = "random_resized"
    config.train.update(epochs=110, eval_every_epochs=5)
    config.optim.learning_rate = 0.005


def r50_1x1x8_sthv2(config: ConfigDict) -> None:
    r50_1x1x8(config)
    recipes.something_something(config)
    recipes.steps(config, (20.0, 40.0))
    config.model.dropout = 0.5
    config.train.update(epochs=50, eval_every_epochs=5)


def r50_1x1x16_sthv2(config: ConfigDict) -> None:
    r50_1x1x8_sthv2(config)
    config.data.update(clip_len=16, crop="multi_scale_13")


def r50_partial_bn_1x1x8(config: ConfigDict) -> None:
    """Fine-tunes with all norms except the first one frozen (Wang et al. 2016, section 3.2).

    This recipe is not MMAction2's.
    """
    r50_1x1x8(config)
    recipes.finetune(config, learning_rate=0.001)
    config.model.update(partial_bn=True, dropout=0.8)


VARIANTS = {
    "r50-1x1x3-k400": Variant(
        r50_1x1x3,
        "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb",
        "20220906-cd10898e",
        72.83,
        90.65,
    ),
    "r50-1x1x5-k400": Variant(
        r50_1x1x5,
        "tsn_imagenet-pretrained-r50_8xb32-1x1x5-100e_kinetics400-rgb",
        "20220906-65d68713",
        73.80,
        91.21,
    ),
    "r50-1x1x8-k400": Variant(
        r50_1x1x8,
        "tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb",
        "20220906-2692d16c",
        74.12,
        91.34,
    ),
    "r50-dense-1x1x5-k400": Variant(
        r50_dense_1x1x5,
        "tsn_imagenet-pretrained-r50_8xb32-dense-1x1x5-100e_kinetics400-rgb",
        "20220906-dcbc6e01",
        71.37,
        89.67,
        "the README says ten crops; the config, and this recipe, has one at each of ten places",
    ),
    "r101-1x1x8-k400": Variant(
        r101_1x1x8,
        "tsn_imagenet-pretrained-r101_8xb32-1x1x8-100e_kinetics400-rgb",
        "20220906-23cff032",
        75.89,
        92.07,
    ),
    "r50-5x1x3-k400-flow": Variant(
        r50_5x1x3_flow,
        "tsn_imagenet-pretrained-r50_8xb32_5x1x3-110e_kinetics400-flow",
        note="no weights published",
    ),
    "r50-1x1x8-sthv2": Variant(
        r50_1x1x8_sthv2,
        "tsn_imagenet-pretrained-r50_8xb32-1x1x8-50e_sthv2-rgb",
        "20230313-06ad7d03",
        35.51,
        67.09,
        "the README says 24.33 M parameters, those of 400 classes",
    ),
    "r50-1x1x16-sthv2": Variant(
        r50_1x1x16_sthv2,
        "tsn_imagenet-pretrained-r50_8xb32-1x1x16-50e_sthv2-rgb",
        "20230221-85bcc1c3",
        36.91,
        68.77,
        "the README says 24.33 M parameters, those of 400 classes",
    ),
    "r50-partial-bn-1x1x8-finetune": Variant(
        r50_partial_bn_1x1x8,
        note="for your own videos and their classes, with init_from; not measured",
    ),
}
