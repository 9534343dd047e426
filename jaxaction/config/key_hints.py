"""The key that a user probably meant who gave one that the config does not have."""

import difflib
from collections.abc import Mapping, Sequence

# Names of our keys in other libraries: PyTorch's and timm's scripts, Lightning, Hugging Face,
# MMAction2 and PySlowFast.
ALIASES = {
    "lr": "optim.learning_rate",
    "base_lr": "optim.learning_rate",
    "wd": "optim.weight_decay",
    "optimizer": "optim.name",
    "opt": "optim.name",
    "scheduler": "optim.decay",
    "sched": "optim.decay",
    "lr_scheduler": "optim.decay",
    "lr_policy": "optim.decay",
    "warmup": "optim.warmup_epochs",
    "grad_clip": "optim.clip_norm",
    "clip_grad": "optim.clip_norm",
    "max_norm": "optim.clip_norm",
    "max_grad_norm": "optim.clip_norm",
    "gradient_clip_val": "optim.clip_norm",
    "bs": "train.batch_size",
    "num_epochs": "train.epochs",
    "max_epochs": "train.epochs",
    "max_epoch": "train.epochs",
    "total_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "smoothing": "train.label_smoothing",
    "label_smooth_eps": "train.label_smoothing",
    "class_weight": "train.class_weights",
    "ema": "train.ema_decay",
    "accum_iter": "train.accumulate",
    "grad_accum": "train.accumulate",
    "accumulate_grad_batches": "train.accumulate",
    "gradient_accumulation_steps": "train.accumulate",
    "accumulative_counts": "train.accumulate",
    "log_interval": "train.log_every_steps",
    "print_freq": "train.log_every_steps",
    "val_interval": "train.eval_every_epochs",
    "eval_period": "train.eval_every_epochs",
    "workers": "data.num_threads",
    "num_workers": "data.num_threads",
    "num_frames": "data.clip_len",
    "num_segments": "data.clip_len",
    "sampling_rate": "data.frame_interval",
    "crop_size": "data.size",
    "img_size": "data.size",
    "image_size": "data.size",
    "input_size": "data.size",
    "resolution": "data.size",
    "flip_ratio": "data.flip",
    "hflip": "data.flip",
    "dataset": "data.name",
    "data_root": "data.root",
    "data_prefix": "data.root",
    "ann_file": "data.train_file",
    "arch": "model.name",
    "backbone": "model.name",
    "nb_classes": "model.num_classes",
    "n_classes": "model.num_classes",
    "dropout_ratio": "model.dropout",
    "dropout_rate": "model.dropout",
    "drop_rate": "model.dropout",
    "with_cp": "model.remat",
    "average_clips": "test.average",
    "num_views": "test.num_clips",
    "amp": "compute",
    "fp16": "compute",
    "bf16": "compute",
    "dtype": "compute",
    "precision": "compute",
    "load_from": "init_from",
    "pretrained": "init_from",
    "finetune": "init_from",
    "weights": "init_from",
}


def hint(key: str, paths: Sequence[str]) -> str:
    """Returns the end of a message about an unknown `key`: the one of `paths` that it likely means.

    If none is near, it lists the keys of the section, or the sections where that is unknown too.
    """
    likely = nearest(key, paths)
    if likely:
        return f"; did you mean --config.{likely}?"
    section, dot, _ = key.partition(".")
    inside = [path.removeprefix(f"{section}.") for path in paths if path.startswith(f"{section}.")]
    if dot and inside:
        more = "; a config file can set the network's other fields" if section == "model" else ""
        return f"; {section} has {', '.join(inside)}{more}"
    return f"; its sections are {', '.join(dict.fromkeys(path.split('.')[0] for path in paths))}"


def nearest(key: str, paths: Sequence[str]) -> str:
    """Returns the one of `paths` that `key` probably means; empty if none is near."""
    section, _, name = key.rpartition(".")
    inside = {path.rpartition(".")[2]: path for path in paths if path.rpartition(".")[0] == section}
    # `data` and `train` come last and so take a name that `val` and `test` have too.
    by_section = sorted(paths, key=lambda path: not path.startswith(("val.", "test.")))
    everywhere = {path.rpartition(".")[2]: path for path in by_section}
    alias = ALIASES.get(name.lower(), "")
    # `val.num_frames` means `val.clip_len`, although the table says `data.clip_len`.
    same_section = inside.get(alias.rpartition(".")[2], "")
    return (
        same_section
        or (alias if alias in paths else "")
        or _close(
            name, inside, 0.85
        )  # `test.crop` means `test.crops`, although there is `data.crop`
        or everywhere.get(name, "")
        or _close(name, inside, 0.6)
        or _close(key, {path: path for path in paths}, 0.75)
        or _close(name, everywhere, 0.7)
    )


def _close(name: str, known: Mapping[str, str], cutoff: float) -> str:
    """Returns the value of the key that is spelt like `name`, at least as near as `cutoff`."""
    return next((known[k] for k in difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), "")
