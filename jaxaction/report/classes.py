"""How well each class was recognised, the worst first, in a table that a click sorts."""

import math
from typing import NamedTuple

import numpy as np

from jaxaction.evaluation import metrics
from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, percent, table


class Cell(NamedTuple):
    """A table cell: its text, and the key by which it is sorted."""

    text: str
    key: float | str
    bar: float = math.nan  # a share of 1, drawn beside the text


def section(contents: Contents) -> Element:
    """The table of accuracies, or of average precisions if videos have several labels."""
    if contents.test.multi_label:
        titles, rows = ("Class", "Videos", "Average precision"), _precisions(contents)
    else:
        titles = ("Class", "Videos", "Accuracy", "Precision", "Most often taken for")
        rows = _accuracies(contents)
    rows = sorted(rows, key=lambda cells: (math.isnan(cells[2].bar), cells[2].bar))
    head = [
        element("th", {"scope": "col"}, element("button", {"type": "button"}, title))
        for title in titles
    ]
    head[2].set("aria-sort", "ascending")
    made = [element("tr", {}, *map(_drawn, cells)) for cells in rows]
    return table({"class": "sortable", "aria-label": titles[2] + " of each class"}, head, made)


def _accuracies(contents: Contents) -> list[list[Cell]]:
    matrix, rows = contents.test.confusion, []
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


def _precisions(contents: Contents) -> list[list[Cell]]:
    targets, rows = contents.test.labels > 0, []
    for i, (scores, hits) in enumerate(zip(contents.test.scores.T, targets.T, strict=True)):
        precision = metrics.average_precision(scores, hits) if hits.any() else math.nan
        name, videos = contents.label(i), int(hits.sum())
        cells = [Cell(name, name), Cell(str(videos), videos)]
        rows.append([*cells, Cell(percent(precision), _key(precision), precision)])
    return rows


def _share(part: np.integer, total: int) -> Cell:
    share = float(part / total) if total else math.nan
    return Cell(percent(share), _key(share), share)


def _key(share: float) -> float:
    """Unknown shares come last."""
    return 2 if math.isnan(share) else round(share, 6)


def _drawn(cell: Cell) -> Element:
    attributes = {"data-key": cell.key}
    if math.isnan(cell.bar):
        return element("td", attributes, cell.text)
    bar = {"min": 0, "max": 1, "value": f"{cell.bar:.4f}", "aria-hidden": "true"}
    return element("td", attributes, element("meter", bar), " " + cell.text)
