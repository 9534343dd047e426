"""The range of every number in a config, checked before anything is built from it."""

import math
from collections.abc import Iterator

from ml_collections import ConfigDict

from jaxaction.errors import InputError

_COUNT = 1_000_000  # more videos, epochs or classes than any data set has
_PIXELS = 8192
_FRAMES = 4096
_SECONDS = 10_000_000.0  # four months; a thread's timer takes no more than 292 years

# The lowest and the highest value of each number, both allowed; for a tuple, of its elements. A
# lowest value without a point stands for whole numbers. jax.random.key takes a seed of 32 bits. An
# average with a decay of 1 would never leave the initial weights.
_VIEW = {
    "clip_len": (1, _FRAMES),
    "frame_interval": (1, _FRAMES),
    "stack": (1, 64),
    "target_fps": (0.0, 1000),
    "short_side": (1, _PIXELS),
    "size": (1, _PIXELS),
}
_TEST = _VIEW | {"num_clips": (1, 1000), "window": (1, _PIXELS)}
RANGES = {
    "data": _VIEW
    | {
        "flip": (0.0, 1),
        "random_erasing": (0.0, 1),
        "max_bad_share": (0.0, 1),
        "num_threads": (0, 512),  # each reads clips ahead, which takes memory
        "mean": (-1e6, 1e6),
        "std": (1e-6, 1e6),
    },
    "val": _TEST,
    "test": _TEST | {"batch_size": (1, _COUNT)},
    "train": {
        "batch_size": (1, _COUNT),
        "epochs": (0.0, _COUNT),
        "seed": (0, 2**32 - 1),
        "mixup": (0.0, 1000),
        "cutmix": (0.0, 1000),
        "label_smoothing": (0.0, 1),
        "class_weights": (0.0, 1e6),
        "ema_decay": (0.0, 0.999999),
        "accumulate": (1, _COUNT),
        "precise_bn_clips": (0, 100 * _COUNT),
        "log_every_steps": (1, 1000 * _COUNT),
        "eval_every_epochs": (0, _COUNT),
        "checkpoint_every_steps": (1, 1000 * _COUNT),
        "keep": (1, _COUNT),
        "patience": (0, _COUNT),
        "hang_seconds": (0.0, _SECONDS),
        "max_loss_factor": (0.0, 1e30),
    },
    "optim": {
        "learning_rate": (0.0, 1e6),
        "reference_batch": (0, 1000 * _COUNT),
        "momentum": (0.0, 1),
        "weight_decay": (0.0, 1e6),
        "clip_norm": (0.0, 1e30),
        "warmup_epochs": (0.0, _COUNT),
        "warmup_samples": (0, 1e15),
        "warmup_start": (0.0, 1),
        "decay_begin_epochs": (0.0, _COUNT),
        "decay_epochs": (0.0, _COUNT),
        "milestones": (0.0, _COUNT),
        "gamma": (0.0, 1),  # above 1 the rate would grow, below 0 it would be negative
    },
    "model": {
        "num_classes": (1, _COUNT),
        "in_channels": (1, 1024),
        "width": (1, 65536),
        "depth": (10, 152),
        "dropout": (0.0, 1),
        "init_std": (0.0, 1000),
        "norm_eps": (0.0, 1),
        "norm_momentum": (0.0, 1),
        "frozen_stages": (-1, 4),
        "bn_group": (0, _COUNT),
        "remat": (0, 4),
        "stage_blocks": (1, 1000),
        "num_segments": (1, _FRAMES),
        "shift_div": (1, 65536),
        "resample_rate": (1, _FRAMES),
        "speed_ratio": (1, _FRAMES),
        "channel_ratio": (1, 65536),
        "fusion_kernel": (1, 255),
    },
}


def check_ranges(config: ConfigDict) -> None:
    """Raises InputError for a number out of its range, or one of another type than it should be."""
    for section, ranges in RANGES.items():
        for name, (low, high) in ranges.items():
            if name not in config[section]:
                continue
            for value in _numbers(config[section][name]):
                _check(f"{section}.{name}", value, low, high)
    _check_milestones(tuple(config.optim.milestones))


def _numbers(value: object) -> Iterator[object]:
    if isinstance(value, (tuple, list)):
        for element in value:
            yield from _numbers(element)
    else:
        yield value


def _check(key: str, value: object, low: float, high: float) -> None:
    if isinstance(low, int) and isinstance(value, float):
        raise InputError(f"{key} {value}: not a whole number; round it")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise InputError(
            f"{key} {value!r} is not a number; set it to one from {_text(low)} to {_text(high)}"
        )
    if value < low:
        raise InputError(f"{key} {value} is below {_text(low)}; set it to {_text(low)} or more")
    if value > high:
        raise InputError(f"{key} {value} is above {_text(high)}; set it to {_text(high)} or less")


def _check_milestones(milestones: tuple[float, ...]) -> None:
    if list(milestones) != sorted(milestones):
        raise InputError(
            f"optim.milestones {milestones} do not rise; give the epochs in their order,"
            f" {tuple(sorted(milestones))}"
        )


def _text(bound: float) -> str:
    """A bound in digits; very large ones as 1e+30."""
    return str(int(bound)) if bound == int(bound) and abs(bound) < 1e16 else f"{bound:g}"
