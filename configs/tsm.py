r"""TSM: segments that exchange channels with their neighbours. Lin et al. 2019.

    python train.py --config configs/tsm.py

reaches 100.0 % held-out top-1 on `motions`, in minutes on two CPU cores.

    python train.py --config configs/tsm.py:r50-1x1x8-k400 --config.init_from=DIR \
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR

is MMAction2's recipe for Kinetics-400, which reached 73.18 % top-1 there from ImageNet weights
(`jaxaction convert resnet50.pth` makes a DIR of torchvision's). `VARIANTS` has the others.
"""

from ml_collections import ConfigDict

from jaxaction.config import recipes
from jaxaction.config.defaults import TRAINING, motions
from jaxaction.config.recipes import Variant


def get_config(variant: str = "") -> ConfigDict:
    """Returns the config of a smaller network on `motions`, or of the recipe `variant`."""
    config = motions(
        {"name": "tsm", "depth": 50, "stage_blocks": (1, 2, 2, 1), "width": 16}
        | {"num_segments": 8, "shift_div": 8, "dropout": 0.2, "bn_group": 0, "partial_bn": False}
    )
    config.data.update(sampling="segments", clip_len=8)
    # The network has to know the number of segments, so it follows the clips.
    config.model.num_segments = config.data.get_oneway_ref("clip_len")
    recipes.apply(VARIANTS, variant, config)
    return config


def r50_1x1x8(config: ConfigDict) -> None:
    recipes.kinetics(config, clips_per_gpu=16, epochs=50)
    recipes.warmup(config, epochs=5.0)
    recipes.steps(config, (25.0, 45.0))
    config.data.crop = "multi_scale_13"
    config.train.eval_every_epochs = 1
    config.test.crops = "ten"
    config.optim.update(learning_rate=0.02, clip_norm=20.0, multipliers=MULTIPLIERS)


def r50_1x1x8_100e(config: ConfigDict) -> None:
    r50_1x1x8(config)
    recipes.warmup(config, epochs=10.0)
    recipes.steps(config, (50.0, 90.0))
    config.train.epochs = 100


def r50_1x1x16(config: ConfigDict) -> None:
    r50_1x1x8(config)
    config.data.clip_len = 16


def r50_dense_1x1x8(config: ConfigDict) -> None:
    r50_1x1x8(config)
    recipes.dense(config)


def r50_nl_dot_product_1x1x8(config: ConfigDict) -> None:
    r50_1x1x8(config)
    recipes.non_local(config, "dot_product", NON_LOCAL, use_scale=False)


def r50_nl_gaussian_1x1x8(config: ConfigDict) -> None:
    r50_1x1x8(config)
    recipes.non_local(config, "gaussian", NON_LOCAL, use_scale=False)


def r50_nl_embedded_gaussian_1x1x8(config: ConfigDict) -> None:
    r50_1x1x8(config)
    recipes.non_local(config, "embedded_gaussian", NON_LOCAL, use_scale=False)


def mobilenetv2_1x1x8(config: ConfigDict) -> None:
    fields = {"name": "tsm_mobilenetv2", "num_segments": 8, "shift_div": 8}
    config.model = ConfigDict(fields | TRAINING)
    config.model.num_segments = config.data.get_oneway_ref("clip_len")
    r50_1x1x8(config)
    recipes.steps(config, (40.0, 80.0))
    config.train.epochs = 100
    config.optim.update(warmup_epochs=0.0, weight_decay=2e-5)
    config.test.update(crops="three", size=(256, 256))


def r50_1x1x8_sthv2(config: ConfigDict) -> None:
    """Tests with two views: the middle frame and the first frame of each segment."""
    r50_1x1x8(config)
    recipes.something_something(config)
    config.train.eval_every_epochs = 1
    config.optim.weight_decay = 5e-4
    config.test.update(num_clips=2, crops="three", size=(256, 256))


def r50_1x1x16_sthv2(config: ConfigDict) -> None:
    r50_1x1x8_sthv2(config)
    config.data.clip_len = 16


def r101_1x1x8_sthv2(config: ConfigDict) -> None:
    r50_1x1x8_sthv2(config)
    config.model.depth = 101


def r50_augmented_1x1x8_sthv2(config: ConfigDict) -> None:
    """Adds strong augmentation, for smaller data sets. This recipe is not MMAction2's."""
    r50_1x1x8_sthv2(config)
    config.data.update(rand_augment=(2, 9), random_erasing=0.25)
    config.train.update(mixup=0.8, cutmix=1.0)


def r50_directions_1x1x8_sthv2(config: ConfigDict) -> None:
    """Counts the six classes that name a direction twice. This recipe is not MMAction2's."""
    r50_1x1x8_sthv2(config)
    named = {label for pair in config.data.flip_labels for label in pair}
    weights = (2.0 if label in named else 1.0 for label in range(config.model.num_classes))
    config.train.class_weights = tuple(weights)


def r50_repeatable_1x1x8_sthv2(config: ConfigDict) -> None:
    """Gives the same bits in each run on GPUs, more slowly. This recipe is not MMAction2's."""
    r50_1x1x8_sthv2(config)
    config.train.deterministic = True


# Non-local blocks after every second block of the second and third stage.
NON_LOCAL = ((0, 0, 0), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 0, 0))

# Factors of learning rate and weight decay for norms, the classifier's weight and bias, and other
# biases, as MMAction2's TSMOptimWrapperConstructor sets them. The first row that matches counts.
MULTIPLIERS = (
    (r".*/bn/(scale|bias)", 1.0, 0.0),
    (r"cls_head/fc_cls/kernel", 5.0, 1.0),
    (r"cls_head/fc_cls/bias", 10.0, 0.0),
    (r".*/bias", 2.0, 0.0),
)

OTHER_HEAD = "the README says 23.87 M parameters, those of 174 classes"
VARIANTS = {
    "r50-1x1x8-k400": Variant(
        r50_1x1x8,
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb",
        "20220831-64d69186",
        73.18,
        90.56,
        OTHER_HEAD,
    ),
    "r50-1x1x8-100e-k400": Variant(
        r50_1x1x8_100e,
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-100e_kinetics400-rgb",
        "20220831-a6db1e5d",
        73.22,
        90.22,
        OTHER_HEAD,
    ),
    "r50-1x1x16-k400": Variant(
        r50_1x1x16,
        "tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_kinetics400-rgb",
        "20220831-042b1748",
        75.12,
        91.55,
        OTHER_HEAD,
    ),
    "r50-dense-1x1x8-k400": Variant(
        r50_dense_1x1x8,
        "tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb",
        "20220831-f55d3c2b",
        73.38,
        90.78,
        OTHER_HEAD,
    ),
    "r50-nl-dot-1x1x8-k400": Variant(
        r50_nl_dot_product_1x1x8,
        "tsm_imagenet-pretrained-r50-nl-dot-product_8xb16-1x1x8-50e_kinetics400-rgb",
        "20220831-108bfde5",
        74.49,
        91.15,
    ),
    "r50-nl-gaussian-1x1x8-k400": Variant(
        r50_nl_gaussian_1x1x8,
        "tsm_imagenet-pretrained-r50-nl-gaussian_8xb16-1x1x8-50e_kinetics400-rgb",
        "20220831-7e54dacf",
        73.66,
        90.99,
    ),
    "r50-nl-embedded-gaussian-1x1x8-k400": Variant(
        r50_nl_embedded_gaussian_1x1x8,
        "tsm_imagenet-pretrained-r50-nl-embedded-gaussian_8xb16-1x1x8-50e_kinetics400-rgb",
        "20220831-35eddb57",
        74.34,
        91.23,
    ),
    "mobilenetv2-1x1x8-k400": Variant(
        mobilenetv2_1x1x8,
        "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb",
        "20230414-401127fd",
        68.71,
        88.32,
    ),
    "r50-1x1x8-sthv2": Variant(
        r50_1x1x8_sthv2,
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb",
        "20230317-be0fc26e",
        62.72,
        87.70,
        "the README says 8 clips; the config samples twice, 16 frames in all",
    ),
    "r50-1x1x16-sthv2": Variant(
        r50_1x1x16_sthv2,
        "tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_sthv2-rgb",
        "20230317-ec6696ad",
        64.16,
        88.61,
        "the test of the config can't run (8 frames, no dataset key); here it has twice 16 frames",
    ),
    "r101-1x1x8-sthv2": Variant(
        r101_1x1x8_sthv2,
        "tsm_imagenet-pretrained-r101_8xb16-1x1x8-50e_sthv2-rgb",
        "20230320-efcc0d1b",
        63.70,
        88.28,
        "the README says 8 clips; the config samples twice, 16 frames in all",
    ),
    "r50-augmented-1x1x8-sthv2": Variant(
        r50_augmented_1x1x8_sthv2,
        note="RandAugment, random erasing, mixup and cutmix; not measured",
    ),
    "r50-directions-1x1x8-sthv2": Variant(
        r50_directions_1x1x8_sthv2,
        note="class weights; not measured",
    ),
    "r50-repeatable-1x1x8-sthv2": Variant(
        r50_repeatable_1x1x8_sthv2,
        note="the same bits in each run, also on a GPU; not measured",
    ),
}
