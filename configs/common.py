"""The pieces that the configs share: the defaults on `motions`, and a recipe on clip files."""

from ml_collections import ConfigDict

from jaxaction.errors import InputError


def motions(model: dict) -> ConfigDict:
    """`model` trained on `motions` in minutes on a CPU: 12 classes of motion, 64x64 pixels.

    Keys of `val` and `test` that are the same number as one of `data` follow it when it is set;
    setting them leaves `data` as it is. `optim.decay_epochs` follows `train.epochs` likewise.
    """
    data = ConfigDict(_data())
    train = ConfigDict(_train())
    optim = ConfigDict(_optim() | {"decay_epochs": train.get_oneway_ref("epochs")})
    return ConfigDict(
        {
            "model": model | {"num_classes": 12},
            "data": data,
            "optim": optim,
            "train": train,
            "val": _view(data),
            "test": _view(data) | {"batch_size": 8},
            "compute": "float32",
        }
    )


def pick(variants: dict, variant: str):
    """The recipe of that name; an unknown name is an InputError that lists the known ones."""
    if variant not in variants:
        raise InputError(f"unknown variant {variant!r}; there is {', '.join(variants)}")
    return variants[variant]


def kinetics(config: ConfigDict, clips_per_gpu: int, epochs: int) -> None:
    """Turns the defaults into what MMAction2's Kinetics-400 recipes share, on 8 GPUs.

    224x224 crops of a short side of 256, flips, SGD, gradient norms clipped at 40, batch norm over
    `clips_per_gpu` clips, TF32 as PyTorch's convolutions. The lists of clips, `data.train_file`,
    `data.test_file` and `data.root`, are the command line's.
    """
    batch = 8 * clips_per_gpu
    config.model.update(num_classes=400, stage_blocks=(), width=64, bn_group=clips_per_gpu)
    config.model.dropout = 0.5
    config.data.update(source="annotations", name="", train_split="", test_split="")
    config.data.update(crop="random_resized", short_side=256, size=(224, 224), flip=0.5)
    config.data.num_threads = 16
    config.train.update(batch_size=batch, epochs=epochs, eval_every_epochs=5)
    config.train.update(log_every_steps=20, checkpoint_every_steps=1000)
    config.optim.update(name="sgd", reference_batch=batch, weight_decay=1e-4, clip_norm=40.0)
    config.optim.update(warmup_epochs=0.0, decay_by="epoch")
    config.compute = "tf32"


def steps(config: ConfigDict, milestones: tuple[float, ...]) -> None:
    """A tenth of the learning rate from each of these epochs on."""
    config.optim.update(decay="steps", milestones=milestones, decay_epochs=0.0)


def thirty_views(config: ConfigDict) -> None:
    """The test of the 3D families: ten clips along the video, each in three crops of 256x256."""
    config.test.update(num_clips=10, crops="three", size=(256, 256))


def _data() -> dict:
    return {
        "source": "tfds",
        "name": "motions",
        "train_split": "train",
        "test_split": "test",
        "data_dir": "",
        "video_feature": "",
        "label_feature": "",
        "train_file": "",
        "test_file": "",
        "root": "",
        "sampling": "clips",
        "clip_len": 16,
        "frame_interval": 1,
        "short_side": 72,
        "crop": "random",
        "size": (64, 64),
        "flip": 0.0,
        "flip_labels": (),
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
        "num_threads": 2,
        "max_bad_share": 0.1,
    }


def _train() -> dict:
    return {
        "batch_size": 16,
        "epochs": 6.0,
        "seed": 0,
        "log_every_steps": 10,
        "eval_every_epochs": 2,
        "checkpoint_every_steps": 50,
        "keep": 2,
    }


def _optim() -> dict:
    return {
        "name": "adam",
        "learning_rate": 4e-3,
        "reference_batch": 0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
        "multipliers": (),
        "warmup_epochs": 0.5,
        "warmup_start": 0.1,
        "warmup_by": "step",
        "decay": "cosine",
        "decay_begin_epochs": 0.0,
        "decay_by": "step",
        "milestones": (),
        "gamma": 0.1,
    }


def _view(data: ConfigDict) -> dict:
    same = ("sampling", "clip_len", "frame_interval", "short_side", "size")
    view = {key: data.get_oneway_ref(key) for key in same}
    return view | {"num_clips": 1, "crops": "center", "average": "prob"}
