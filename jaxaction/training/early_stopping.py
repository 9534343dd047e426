"""The best validation of a run: its weights are kept, and too many worse ones end the run."""

from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.errors import InputError

ONE_LABEL = ("top1", "top5", "mean_class_accuracy")
MULTI_LABEL = ("mean_average_precision", "mmit_mean_average_precision")


class BestValidation(NamedTuple):
    """The highest value of `train.best_by`, and how many validations came after it."""

    value: float = 0.0
    step: int = 0  # of the weights that had it; 0: no validation yet
    since: int = 0  # validations

    def after(self, value: float, step: int) -> "BestValidation":
        """The best one after another validation; an equal value is not better."""
        if not self.step or value > self.value:
            return BestValidation(value, step)
        return self._replace(since=self.since + 1)


def followed_metric(config: ConfigDict) -> str:
    """The name of the metric that `train.best_by` means; empty if none is followed."""
    known = MULTI_LABEL if config.data.multi_label else ONE_LABEL
    return known[0] if config.train.best_by == "auto" else config.train.best_by


def check_early_stopping(config: ConfigDict) -> None:
    """Raises InputError if validations don't compute `train.best_by`, or if `train.patience` has
    no validations to count."""
    train = config.train
    known = MULTI_LABEL if config.data.multi_label else ONE_LABEL
    if train.best_by and followed_metric(config) not in known:
        raise InputError(
            f"train.best_by {train.best_by!r} is not found by validations; set it to auto,"
            f" {', '.join(known)}, or to an empty string to keep none"
        )
    if train.patience and not (train.best_by and train.eval_every_epochs):
        raise InputError(
            f"train.patience {train.patience} counts validations; set train.best_by and"
            " train.eval_every_epochs, or train.patience to 0"
        )


def is_out_of_patience(best: BestValidation, patience: int) -> bool:
    """Whether the last `patience` validations were no better than `best` (patience 0: never)."""
    return patience > 0 and best.since >= patience
