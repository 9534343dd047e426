"""The confusion matrix: numbers for a few classes, a heat map and the largest for many."""

import base64

import cv2
import numpy as np
from jaxtyping import Int

from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, percent, table

MOST_NUMBERS = 20  # classes of a matrix that is written out
MOST_PIXELS = 640  # of a heat map's side; classes are put together beyond
MOST_PAIRS = 30
SHADES = 10

Matrix = Int[np.ndarray, "k k"]


def section(contents: Contents) -> list[Element]:
    """The matrix as a table, or as a heat map with the most confused pairs."""
    matrix = contents.test.confusion
    if len(matrix) <= MOST_NUMBERS:
        note = "Rows are the true classes, columns what they were taken for; numbers are videos."
        return [element("p", {}, note), _written(matrix, contents)]
    return [_heat_map(matrix), *_pairs(matrix, contents)]


def _written(matrix: Matrix, contents: Contents) -> Element:
    names = [contents.label(i) for i in range(len(matrix))]
    head = [element("td", {}, "")]
    head += [element("th", {"scope": "col"}, element("span", {}, name)) for name in names]
    rows = []
    for name, counts in zip(names, matrix, strict=True):
        cells = [element("th", {"scope": "row"}, name)]
        for count in counts:
            shade = int(np.ceil(SHADES * count / max(1, counts.sum())))
            cells.append(element("td", {"class": f"q{shade}"}, str(count)))
        rows.append(element("tr", {}, *cells))
    return table({"class": "matrix", "aria-label": "Confusion matrix"}, head, rows)


def _heat_map(matrix: Matrix) -> Element:
    note = (
        "Each row is a true class, each column one that it was taken for, both in the order of"
        " their numbers; the brighter, the more of the row's videos (its square root)."
    )
    picture = base64.b64encode(png(matrix)).decode()
    alt = f"Confusion matrix of {len(matrix)} classes as a heat map; the largest are listed below."
    image = {"src": f"data:image/png;base64,{picture}", "alt": alt, "class": "heat"}
    return element("figure", {}, element("img", image), element("figcaption", {}, note))


def png(matrix: Matrix) -> bytes:
    """The heat map as a PNG, a pixel a class, at most `MOST_PIXELS` on a side."""
    counts = matrix.astype(np.float32)
    if len(matrix) > MOST_PIXELS:
        counts = cv2.resize(counts, (MOST_PIXELS, MOST_PIXELS), interpolation=cv2.INTER_AREA)
    total = counts.sum(axis=1, keepdims=True)
    share = np.sqrt(counts / np.where(total > 0, total, 1))
    grey = np.round(255 * share).astype(np.uint8)
    return cv2.imencode(".png", cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS))[1].tobytes()


def _pairs(matrix: Matrix, contents: Contents) -> list[Element]:
    """The pairs of classes that were confused most often."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    rows = []
    for i, j in (divmod(int(cell), len(wrong)) for cell in order if wrong.flat[cell]):
        share = percent(wrong[i, j] / matrix[i].sum())
        words = (contents.label(i), contents.label(j), str(wrong[i, j]), share)
        rows.append(element("tr", {}, *(element("td", {}, word) for word in words)))
    if not rows:
        return []
    titles = ("class", "taken for", "videos", "of the class")
    head = [element("th", {"scope": "col"}, title) for title in titles]
    return [
        element("h3", {}, "Most often confused"),
        table({"aria-label": "Pairs of classes that were confused"}, head, rows),
    ]
