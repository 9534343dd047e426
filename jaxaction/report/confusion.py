"""The confusion matrix: a table for a few classes, a heat map and the worst pairs for many."""

import base64

import cv2
import numpy as np
from jaxtyping import Int

from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, percent, table

MOST_NUMBERS = 20  # classes of a matrix that is a table
MOST_PIXELS = 640  # of a heat map's side; with more classes a pixel is the mean of several
MOST_PAIRS = 30
SHADES = 10  # page.css has the classes q0 to q10

Matrix = Int[np.ndarray, "k k"]


def section(contents: Contents, test: Evaluation) -> list[Element]:
    """Returns the matrix as a table, or as a heat map with the most confused pairs.

    `test` has one label a video.
    """
    matrix = test.confusion
    if len(matrix) <= MOST_NUMBERS:
        note = "Rows are the true classes, columns the predicted ones; numbers are videos."
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
            # Rounded up, so that a single video among thousands has a colour.
            shade = int(np.ceil(SHADES * count / max(1, counts.sum())))
            cells.append(element("td", {"class": f"q{shade}"}, str(count)))
        rows.append(element("tr", {}, *cells))
    return table({"class": "matrix", "aria-label": "Confusion matrix"}, head, rows)


def _heat_map(matrix: Matrix) -> Element:
    note = (
        "Rows are the true classes, columns the predicted ones, in the order of their numbers."
        " Brightness is the square root of a cell's share of the row's videos."
    )
    picture = base64.b64encode(png(matrix)).decode()
    alt = f"Confusion matrix of {len(matrix)} classes as a heat map; the largest are listed below."
    image = {"src": f"data:image/png;base64,{picture}", "alt": alt, "class": "heat"}
    return element("figure", {}, element("img", image), element("figcaption", {}, note))


def png(matrix: Matrix) -> bytes:
    """Returns the heat map as a PNG: a pixel for each class, at most `MOST_PIXELS` on a side."""
    counts = matrix.astype(np.float32)
    if len(matrix) > MOST_PIXELS:
        # INTER_AREA averages the cells that share a pixel.
        counts = cv2.resize(counts, (MOST_PIXELS, MOST_PIXELS), interpolation=cv2.INTER_AREA)
    total = counts.sum(axis=1, keepdims=True)
    # The square root makes rare mistakes visible. Rows without a video stay dark.
    share = np.sqrt(counts / np.where(total > 0, total, 1))
    grey = np.round(255 * share).astype(np.uint8)
    return cv2.imencode(".png", cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS))[1].tobytes()


def _pairs(matrix: Matrix, contents: Contents) -> list[Element]:
    """Returns a heading and a table of the most confused classes; nothing without mistakes."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    # Stable, so that a report of the same test lists equal counts in the same order.
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    rows = []
    for i, j in (divmod(int(cell), len(wrong)) for cell in order if wrong.flat[cell]):
        share = percent(wrong[i, j] / matrix[i].sum())
        cells = [element("td", {"class": "name"}, contents.label(number)) for number in (i, j)]
        cells += [element("td", {"class": "short"}, word) for word in (str(wrong[i, j]), share)]
        rows.append(element("tr", {}, *cells))
    if not rows:
        return []
    titles = ("class", "taken for", "videos", "of the class")
    head = [element("th", {"scope": "col"}, title) for title in titles]
    return [
        element("h3", {}, "Most often confused"),
        table({"aria-label": "Pairs of classes that were confused"}, head, rows),
    ]
