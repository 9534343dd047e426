"""Accuracies from scores, on the host in float64; they agree with MMAction2's `accuracy.py`."""

import numpy as np
from jaxtyping import Bool, Float, Int

Scores = Float[np.ndarray, "n k"]
Labels = Int[np.ndarray, " n"]


def top_k_accuracy(scores: Scores, labels: Labels, top: int) -> float:
    """Share of rows whose label is among the `top` highest scores; at most all classes count.

    If scores are equal, the higher class comes first, as in MMAction2. NaN without rows.
    """
    if len(labels) == 0:
        return float("nan")
    best = np.argsort(scores, axis=1, kind="stable")[:, -min(top, scores.shape[1]) :]
    return float(np.mean((best == labels[:, None]).any(axis=1)))


def confusion_matrix(predicted: Labels, labels: Labels, num_classes: int) -> Int[np.ndarray, "k k"]:
    """How many rows of class i (first axis) were taken for class j."""
    pairs = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def mean_class_accuracy(scores: Scores, labels: Labels) -> float:
    """Mean over classes of the share of its rows that have the highest score there.

    A class counts if it is some row's label or some row's prediction; one that was only predicted
    counts as 0, as in MMAction2. NaN without rows.
    """
    confusion = confusion_matrix(scores.argmax(axis=1), labels, scores.shape[1])
    rows = confusion.sum(axis=1)
    counted = (rows > 0) | (confusion.sum(axis=0) > 0)
    if not counted.any():
        return float("nan")
    return float(np.mean(np.diag(confusion)[counted] / np.maximum(rows[counted], 1)))


def mean_average_precision(scores: Scores, targets: Bool[np.ndarray, "n k"]) -> float:
    """Mean over classes of the area under precision and recall; classes with no row are left out.

    NaN if no class has a row.
    """
    classes = zip(scores.T, targets.T, strict=True)
    precisions = [average_precision(s, t) for s, t in classes if t.any()]
    return float(np.mean(precisions)) if precisions else float("nan")


def mmit_mean_average_precision(scores: Scores, targets: Bool[np.ndarray, "n k"]) -> float:
    """Mean over rows, not classes, of average precision: the metric of Multi-Moments in Time."""
    return mean_average_precision(scores.T, targets.T)


def average_precision(scores: Float[np.ndarray, " n"], targets: Bool[np.ndarray, " n"]) -> float:
    """Sum over the thresholds of precision times the gain in recall; equal scores are one step.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True]))
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(targets[order])[last_of_equals]
    precision = hits / (np.flatnonzero(last_of_equals) + 1)
    gain = np.diff(hits, prepend=0) / max(targets.sum(), 1)
    return float(np.sum(precision * gain))
