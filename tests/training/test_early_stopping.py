import pytest

from jaxaction.errors import InputError
from jaxaction.training import early_stopping
from jaxaction.training.early_stopping import BestValidation


def test_the_first_validation_is_the_best_so_far_whatever_its_value():
    assert BestValidation().after(0.0, step=10) == BestValidation(0.0, 10, 0)


def test_an_equal_value_is_no_better_one():
    best = BestValidation().after(0.5, 10).after(0.5, 20).after(0.4, 30)
    assert best == BestValidation(0.5, 10, 2)
    assert best.after(0.6, 40) == BestValidation(0.6, 40, 0)


@pytest.mark.parametrize(("patience", "stops"), [(0, False), (1, True), (2, True), (3, False)])
def test_a_run_stops_after_as_many_validations_as_its_patience(patience, stops):
    assert early_stopping.is_out_of_patience(BestValidation(0.5, 10, since=2), patience) == stops


def test_the_metric_of_several_labels_is_another():
    assert early_stopping.followed_metric("auto", multi_label=False) == "top1"
    assert early_stopping.followed_metric("auto", multi_label=True) == "mean_average_precision"
    assert early_stopping.followed_metric("", multi_label=True) == ""


@pytest.mark.parametrize(
    ("best_by", "patience", "eval_every_epochs", "message"),
    [
        ("top2", 0, 1, "train.best_by 'top2' is not found .* auto, top1, top5"),
        ("", 1, 1, "train.patience 1 counts validations"),
        ("auto", 1, 0, "train.patience 1 counts validations"),
    ],
)
def test_a_figure_that_no_validation_has_is_refused(best_by, patience, eval_every_epochs, message):
    with pytest.raises(InputError, match=message):
        early_stopping.check_early_stopping(best_by, patience, eval_every_epochs, False)
