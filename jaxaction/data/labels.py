"""Labels and the names of classes."""

from importlib import resources

import numpy as np
from jaxtyping import Int, Num

from jaxaction.data.records import Source
from jaxaction.errors import InputError

KINETICS_400 = resources.files("jaxaction.data") / "class_names" / "kinetics400.txt"


def kinetics_labels() -> tuple[str, ...]:
    """Returns the 400 class names of Kinetics-400, in the order of its labels."""
    text = KINETICS_400.read_text("utf-8")
    return tuple(text.splitlines())


def check_labels(
    source: Source, rows: Int[np.ndarray, " n"], labels: Num[np.ndarray, "n *k"], num_classes: int
) -> None:
    """Raises `InputError` for a label outside the model's classes, and names its video.

    `rows` are the numbers of the videos in the source. `labels` are their classes, or with several
    labels per video rows of zeros and ones.
    """
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
                "classes, which count from 0; set model.num_classes or correct the label"
            )


def differing_labels(trained: tuple[str, ...], tested: tuple[str, ...]) -> str:
    """Returns a line on the first label that a run and a data set call differently, or "".

    Only letters and digits are compared. A label whose name is its number agrees with any name.
    """
    for i, (ours, theirs) in enumerate(zip(trained, tested, strict=False)):
        if str(i) not in (ours, theirs) and _letters(ours) != _letters(theirs):
            return f"label {i} is {ours!r} in the run and {theirs!r} in the data set"
    return ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
