"""The best validation of a run: its weights are kept, and too many without a gain end the run."""

from typing import NamedTuple

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


def followed_metric(best_by: str, multi_label: bool) -> str:
    """The name of the metric that `train.best_by` means; empty if none is followed."""
    if best_by == "auto":
        return MULTI_LABEL[0] if multi_label else ONE_LABEL[0]
    return best_by


def check_early_stopping(
    best_by: str, patience: int, eval_every_epochs: float, multi_label: bool
) -> None:
    """Raises InputError if validations don't compute `train.best_by`, or if `train.patience` has
    no validations to count."""
    known = MULTI_LABEL if multi_label else ONE_LABEL
    if best_by and followed_metric(best_by, multi_label) not in known:
        raise InputError(
            f"train.best_by {best_by!r} is not found by validations; set it to auto,"
            f" {', '.join(known)}, or to an empty string to keep none"
        )
    if patience and not (best_by and eval_every_epochs):
        raise InputError(
            f"train.patience {patience} counts validations; set train.best_by and"
            " train.eval_every_epochs, or train.patience to 0"
        )


def is_out_of_patience(best: BestValidation, patience: int) -> bool:
    """Whether the last `patience` validations were no better than `best` (patience 0: never)."""
    return patience > 0 and best.since >= patience
