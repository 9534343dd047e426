"""Labels and the names of classes."""

from importlib import resources
from typing import Any

import numpy as np

from jaxaction.errors import InputError

KINETICS_400 = resources.files("jaxaction.data") / "class_names" / "kinetics400.txt"


def kinetics_labels() -> tuple[str, ...]:
    """The 400 class names of Kinetics-400, in the order of its labels."""
    text = KINETICS_400.read_text("utf-8")
    return tuple(text.splitlines())


def check_labels(source: Any, rows: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """`InputError`, naming the video, for a label outside the model's classes."""
    if labels.ndim == 2:
        if labels.shape[1] != num_classes:
            raise InputError(
                f"the data set has {labels.shape[1]} classes and the model {num_classes}; set "
                f"model.num_classes to {labels.shape[1]}"
            )
        return
    for row, label in zip(rows, labels, strict=True):
        if not 0 <= label < num_classes:
            raise InputError(
                f"{source.id(int(row))}: label {label} is outside the model's {num_classes} "
                "classes, which count from 0; set model.num_classes or mend the annotation"
            )


def differing_labels(trained: tuple[str, ...], tested: tuple[str, ...]) -> str:
    """A line that names the first label that a run and a data set call differently, else "".

    Case, spaces and signs don't count, nor do labels that only have a number for a name.
    """
    for i, (ours, theirs) in enumerate(zip(trained, tested, strict=False)):
        if str(i) not in (ours, theirs) and _letters(ours) != _letters(theirs):
            return f"label {i} is {ours!r} in the run and {theirs!r} in the data set"
    return ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
