"""The videos with the worst mistakes of a test, with some of their frames."""

import base64
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, percent
from jaxaction.report.thumbnails import ThumbnailError, Thumbnails

MOST = 12  # videos
MOST_LABELS = 4  # true ones, and as many others, of a multi-label video


class Word(NamedTuple):
    """A line about a video: a class's role ("true", "taken for"), number and probability."""

    role: str
    number: int
    share: float | np.floating


def section(contents: Contents, test: Evaluation, thumbnails: Thumbnails) -> list[Element]:
    """Returns a sentence about the order of the videos, and a card for each of the worst ones."""
    rows, say = (by_loss(test), _several) if test.multi_label else (by_confidence(test), _one)
    if not len(rows):
        return [element("p", {}, "Every video was right.")]
    order = "the largest loss" if test.multi_label else "the highest probability of a wrong class"
    cards = []
    for row in map(int, rows):
        shown = _frames(thumbnails, row, test.ids[row])
        cards.append(_card(contents, test.ids[row], shown, say(test, row)))
    why = f" No frames: {thumbnails.problem}" if thumbnails.problem else ""
    return [
        element("p", {}, f"Videos with {order} come first.{why}"),
        element("ul", {"class": "cards"}, *cards),
    ]


def by_confidence(test: Evaluation) -> Int[np.ndarray, " n"]:
    """Returns the rows of at most `MOST` wrong videos, the most confident mistake first."""
    predicted = test.scores.argmax(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    surest = -test.probs[wrong, predicted[wrong]]
    return wrong[np.argsort(surest, kind="stable")][:MOST]


def by_loss(test: Evaluation) -> Int[np.ndarray, " n"]:
    """Returns the rows of at most `MOST` multi-label videos, the largest of `losses` first."""
    return np.argsort(-losses(test), kind="stable")[:MOST]


def losses(test: Evaluation) -> Float[np.ndarray, " n"]:
    """Returns the mean binary cross-entropy over classes for every multi-label video."""
    # A probability of exactly 0 or 1 in float32 would make the loss infinite.
    probs = np.clip(test.probs.astype(np.float64), 1e-7, 1 - 1e-7)
    hits = test.labels > 0
    return -np.where(hits, np.log(probs), np.log1p(-probs)).mean(axis=1)


def _one(test: Evaluation, row: int) -> list[Word]:
    true, taken = int(test.labels[row]), int(test.scores[row].argmax())
    probs = test.probs[row]
    return [Word("true", true, probs[true]), Word("taken for", taken, probs[taken])]


def _several(test: Evaluation, row: int) -> list[Word]:
    """Returns the true classes, least probable first, then the most probable of the others."""
    probs, hits = test.probs[row], test.labels[row] > 0
    order = np.argsort(probs, kind="stable")
    true = [i for i in order if hits[i]][:MOST_LABELS]
    others = [i for i in order[::-1] if not hits[i]][:MOST_LABELS]
    words = [Word("true", int(i), probs[i]) for i in true]
    return words + [Word("not true", int(i), probs[i]) for i in others]


def _card(contents: Contents, name: str, shown: list[Element], words: list[Word]) -> Element:
    lines = []
    for word in words:
        lines += [
            element("dt", {}, word.role),
            element("dd", {"class": "number"}, percent(float(word.share))),
            element("dd", {}, contents.label(word.number)),
        ]
    return element("li", {}, *shown, element("p", {"class": "id"}, name), element("dl", {}, *lines))


def _frames(thumbnails: Thumbnails, row: int, name: str) -> list[Element]:
    """Returns the pictures, or the reason for having none; nothing if no video has any."""
    if thumbnails.problem:
        return []  # `section` says so once
    try:
        pictures = thumbnails.of(row, name)
    except ThumbnailError as error:
        return [element("p", {"class": "missing"}, f"no frames: {error}")]
    return [element("div", {"class": "frames"}, *_images(pictures, name))]


def _images(pictures: list[bytes], name: str) -> list[Element]:
    count = len(pictures)
    return [
        element(
            "img",
            {
                "src": f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
                "alt": f"frame {i} of {count} of {name}",
            },
        )
        for i, picture in enumerate(pictures, 1)
    ]
