"""The table of classes: how well the test recognised each, worst first. A click sorts it."""

import math
from typing import NamedTuple

import numpy as np

from jaxaction.evaluation import metrics
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, percent, table


class Cell(NamedTuple):
    """A table cell: its text, and the key that page.js sorts by."""

    text: str
    key: float | str
    bar: float = math.nan  # from 0 to 1, drawn as a bar before the text; NaN: no bar


def section(contents: Contents, test: Evaluation) -> Element:
    """Returns the table of accuracies, or of average precisions if videos have several labels."""
    if test.multi_label:
        titles, rows = ("Class", "Videos", "Average precision"), _precisions(contents, test)
    else:
        titles = ("Class", "Videos", "Accuracy", "Precision", "Most often taken for")
        rows = _accuracies(contents, test)
    # Classes without a video have no accuracy, and come last.
    rows = sorted(rows, key=lambda cells: (math.isnan(cells[2].bar), cells[2].bar))
    head = [
        element("th", {"scope": "col"}, element("button", {"type": "button"}, title))
        for title in titles
    ]
    # page.css marks the sorted column, and page.js reverses its order at the first click.
    head[2].set("aria-sort", "ascending")
    made = [element("tr", {}, *map(_drawn, cells)) for cells in rows]
    return table({"class": "sortable", "aria-label": titles[2] + " of each class"}, head, made)


def _accuracies(contents: Contents, test: Evaluation) -> list[list[Cell]]:
    matrix, rows = test.confusion, []
    for i, counts in enumerate(matrix):
        videos, taken = int(counts.sum()), int(matrix[:, i].sum())
        wrong = counts.copy()
        wrong[i] = 0
        other = int(wrong.argmax())
        mistake = f"{contents.label(other)} ({wrong[other]})" if wrong[other] else ""
        cells = [Cell(contents.label(i), contents.label(i)), Cell(str(videos), videos)]
        cells += [_share(counts[i], videos), _share(counts[i], taken), Cell(mistake, wrong[other])]
        rows.append(cells)
    return rows


def _precisions(contents: Contents, test: Evaluation) -> list[list[Cell]]:
    targets, rows = test.labels > 0, []
    for i, (scores, hits) in enumerate(zip(test.scores.T, targets.T, strict=True)):
        precision = metrics.average_precision(scores, hits) if hits.any() else math.nan
        name, videos = contents.label(i), int(hits.sum())
        cells = [Cell(name, name), Cell(str(videos), videos)]
        rows.append([*cells, Cell(percent(precision), _key(precision), precision)])
    return rows


def _share(part: np.integer | int, total: int) -> Cell:
    share = float(part / total) if total else math.nan
    return Cell(percent(share), _key(share), share)


def _key(share: float) -> float:
    """Returns a sort key that puts unknown shares last; the best share is 1."""
    return 2 if math.isnan(share) else round(share, 6)


def _drawn(cell: Cell) -> Element:
    attributes = {"data-key": cell.key}
    if math.isnan(cell.bar):
        is_name = isinstance(cell.key, str)
        return element("td", attributes | ({"class": "name"} if is_name else {}), cell.text)
    bar = {"min": 0, "max": 1, "value": f"{cell.bar:.4f}", "aria-hidden": "true"}
    return element("td", attributes, element("meter", bar), " " + cell.text)
