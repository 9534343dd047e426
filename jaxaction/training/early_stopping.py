"""The best validation of a run so far: whose weights are kept, and when a run stops early."""

from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.errors import InputError

ONE_LABEL = ("top1", "top5", "mean_class_accuracy")
MULTI_LABEL = ("mean_average_precision", "mmit_mean_average_precision")


class Best(NamedTuple):
    """The highest value of `train.best_by`, and how many validations came after it."""

    value: float = 0.0
    step: int = 0  # whose weights had it; 0: no validation yet
    since: int = 0

    def after(self, value: float, step: int) -> "Best":
        """Counts a validation; an equal value is no better one."""
        if not self.step or value > self.value:
            return Best(value, step)
        return self._replace(since=self.since + 1)


def metric(config: ConfigDict) -> str:
    """The name of the figure that `train.best_by` means; empty where none is followed."""
    known = MULTI_LABEL if config.data.multi_label else ONE_LABEL
    return known[0] if config.train.best_by == "auto" else config.train.best_by


def check(config: ConfigDict) -> None:
    """Raises InputError for a `train.best_by` that no validation finds, and for a patience that
    nothing can try."""
    train = config.train
    known = MULTI_LABEL if config.data.multi_label else ONE_LABEL
    if train.best_by and metric(config) not in known:
        raise InputError(
            f"train.best_by {train.best_by!r} is not found by validations; set it to auto,"
            f" {', '.join(known)}, or to an empty string to keep none"
        )
    if train.patience and not (train.best_by and train.eval_every_epochs):
        raise InputError(
            f"train.patience {train.patience} counts validations; set train.best_by and"
            " train.eval_every_epochs, or train.patience to 0"
        )


def is_enough(best: Best, patience: int) -> bool:
    """Whether the run stops: `patience` validations in a row were no better (0: never)."""
    return patience > 0 and best.since >= patience
