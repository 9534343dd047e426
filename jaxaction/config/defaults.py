"""All config keys but most of the model's, with defaults that train on `motions` on a CPU."""

from ml_collections import ConfigDict

# Model fields that only training uses. By default nothing is frozen, every activation is kept.
TRAINING = {"frozen_stages": -1, "norm_eval": False, "remat": ()}


def motions(model: dict) -> ConfigDict:
    """`model` trained on `motions` in minutes on a CPU: 12 classes of motion, 64x64 pixels.

    Keys that `val` and `test` share with `data`, such as `size`, follow `data` until they are set;
    setting them leaves `data` as it is. `optim.decay_epochs` follows `train.epochs` likewise.
    """
    data = ConfigDict(_data())
    train = ConfigDict(_train())
    optim = ConfigDict(_optim() | {"decay_epochs": train.get_oneway_ref("epochs")})
    return ConfigDict(
        {
            "model": model | TRAINING | {"num_classes": 12},
            "data": data,
            "optim": optim,
            "train": train,
            "val": _view(data),
            "test": _view(data) | {"batch_size": 8},
            "compute": "float32",
            "init_from": "",
        }
    )


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
        "multi_label": False,
        "modality": "rgb",
        "sampling": "clips",
        "clip_len": 16,
        "frame_interval": 1,
        "stack": 1,
        "past_end": "loop",
        "target_fps": 0.0,
        "short_side": 72,
        "crop": "random",
        "size": (64, 64),
        "flip": 0.0,
        "flip_labels": (),
        "color_jitter": (),
        "rand_augment": (),
        "random_erasing": 0.0,
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
        "mixup": 0.0,
        "cutmix": 0.0,
        "label_smoothing": 0.0,
        "class_weights": (),
        "ema_decay": 0.0,
        "accumulate": 1,
        "precise_bn_clips": 0,
        "log_every_steps": 10,
        "eval_every_epochs": 2,
        "checkpoint_every_steps": 50,
        "keep": 2,
        "best_by": "auto",
        "patience": 0,
        "hang_seconds": 600.0,
        "max_loss_factor": 50.0,
        "deterministic": False,
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
        "warmup_samples": 0,
        "warmup_start": 0.1,
        "warmup_by": "step",
        "decay": "cosine",
        "decay_begin_epochs": 0.0,
        "decay_by": "step",
        "milestones": (),
        "gamma": 0.1,
    }


def _view(data: ConfigDict) -> dict:
    frames = ("modality", "sampling", "clip_len", "frame_interval", "stack")
    same = (*frames, "past_end", "target_fps", "short_side", "size")
    view = {key: data.get_oneway_ref(key) for key in same}
    fixed = {"num_clips": 1, "placement": "ends", "crops": "center"}
    return view | fixed | {"average": "prob", "window": ()}
