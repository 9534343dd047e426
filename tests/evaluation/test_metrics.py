"""Metrics: they agree with MMAction2, and what they give at their edges."""

import gzip
import json
import zlib

import numpy as np
import pytest

from jaxaction.evaluation import metrics
from tests.paths import PARITY

with gzip.open(PARITY / "pipeline.json.gz") as file:
    ROWS = json.load(file)["metrics"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["seed"])
def test_metrics_are_those_of_mmaction2(row):
    r = np.random.Generator(np.random.PCG64(zlib.crc32(row["seed"].encode())))
    n, k = row["n"], row["classes"]
    scores, labels = r.standard_normal((n, k)), r.integers(0, k, n)
    scores[np.arange(n), labels] += 1.5
    targets = np.eye(k, dtype=bool)[labels]
    confusion = metrics.confusion_matrix(scores.argmax(axis=1), labels, k)
    computed = {
        "top1": metrics.top_k_accuracy(scores, labels, 1),
        "top5": metrics.top_k_accuracy(scores, labels, 5),
        "mean_class_accuracy": metrics.mean_class_accuracy(scores, labels),
        "mean_average_precision": metrics.mean_average_precision(scores, targets),
        "mmit_mean_average_precision": metrics.mmit_mean_average_precision(scores, targets),
        "confusion_trace": float(np.trace(confusion)),
    }
    # The same sums in another order: float64 noise.
    assert computed == pytest.approx({name: row[name] for name in computed}, rel=1e-14)


def test_top_5_of_three_classes_counts_all():
    assert metrics.top_k_accuracy(np.eye(3), np.array([0, 0, 0]), 5) == 1.0


def test_confusion_matrix_has_labels_as_rows():
    confusion = metrics.confusion_matrix(np.array([1, 1, 0]), np.array([0, 1, 0]), 2)
    assert confusion.tolist() == [[1, 1], [0, 1]]


def test_mean_class_accuracy_leaves_out_a_class_nobody_names():
    scores = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert metrics.mean_class_accuracy(scores, np.array([0, 1, 1])) == 0.75


def test_mean_class_accuracy_counts_a_class_that_was_only_predicted_as_0():
    scores = np.array([[1.0, 0, 0], [0, 0, 1]])
    assert metrics.mean_class_accuracy(scores, np.array([0, 0])) == 0.25


def test_mean_average_precision_leaves_out_classes_without_rows():
    targets = np.array([[True, False], [True, False]])
    assert metrics.mean_average_precision(np.ones((2, 2)), targets) == 1.0


def test_equal_scores_are_one_threshold():
    assert metrics.average_precision(np.zeros(4), np.array([True, False, False, False])) == 0.25


def test_without_rows_there_is_no_accuracy():
    scores, labels = np.zeros((0, 3)), np.zeros(0, int)
    assert np.isnan(metrics.top_k_accuracy(scores, labels, 1))
    assert np.isnan(metrics.mean_class_accuracy(scores, labels))
    assert np.isnan(metrics.mean_average_precision(scores, np.zeros((0, 3), bool)))
