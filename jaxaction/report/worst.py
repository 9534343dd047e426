"""The videos that a run got most wrong, with some of their frames."""

import base64
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, percent
from jaxaction.report.thumbnails import ThumbnailError, Thumbnails

MOST = 12
MOST_LABELS = 4  # of a multi-label video, shown of each kind


class Word(NamedTuple):
    """A line about a video: a class's role ("true", "taken for"), its number and probability."""

    role: str
    number: int
    share: float


def section(contents: Contents, thumbnails: Thumbnails) -> list[Element]:
    """The order of the videos, and a card for each of the worst ones."""
    test = contents.test
    rows, say = (by_loss(test), _several) if test.multi_label else (by_confidence(test), _one)
    if not len(rows):
        return [element("p", {}, "Every video was right.")]
    order = "the largest loss" if test.multi_label else "the highest probability of a wrong class"
    cards = [_card(contents, thumbnails, int(row), say(test, int(row))) for row in rows]
    why = f" No frames: {thumbnails.problem}" if thumbnails.problem else ""
    return [
        element("p", {}, f"Those with {order} first.{why}"),
        element("ul", {"class": "cards"}, *cards),
    ]


def by_confidence(test: Evaluation) -> np.ndarray:
    """Rows of videos that were wrong, the surest first."""
    predicted = test.scores.argmax(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    surest = -test.probs[wrong, predicted[wrong]]
    return wrong[np.argsort(surest, kind="stable")][:MOST]


def by_loss(test: Evaluation) -> np.ndarray:
    """Rows of multi-label videos by their mean binary cross-entropy, the largest first."""
    return np.argsort(-losses(test), kind="stable")[:MOST]


def losses(test: Evaluation) -> Float[np.ndarray, " n"]:
    """The mean binary cross-entropy of every video; probabilities of 0 count as 1e-7."""
    probs = np.clip(test.probs.astype(np.float64), 1e-7, 1 - 1e-7)
    hits = test.labels > 0
    return -np.where(hits, np.log(probs), np.log1p(-probs)).mean(axis=1)


def _one(test: Evaluation, row: int) -> list[Word]:
    true, taken = int(test.labels[row]), int(test.scores[row].argmax())
    probs = test.probs[row]
    return [Word("true", true, probs[true]), Word("taken for", taken, probs[taken])]


def _several(test: Evaluation, row: int) -> list[Word]:
    """The true classes, the least probable first, and the most probable of the others."""
    probs, hits = test.probs[row], test.labels[row] > 0
    order = np.argsort(probs, kind="stable")
    true = [i for i in order if hits[i]][:MOST_LABELS]
    others = [i for i in order[::-1] if not hits[i]][:MOST_LABELS]
    words = [Word("true", int(i), probs[i]) for i in true]
    return words + [Word("not true", int(i), probs[i]) for i in others]


def _card(contents: Contents, thumbnails: Thumbnails, row: int, words: list[Word]) -> Element:
    name = contents.test.ids[row]
    lines = []
    for word in words:
        lines += [
            element("dt", {}, word.role),
            element("dd", {"class": "number"}, percent(float(word.share))),
            element("dd", {}, contents.label(word.number)),
        ]
    shown = _frames(thumbnails, row, name)
    return element("li", {}, *shown, element("p", {"class": "id"}, name), element("dl", {}, *lines))


def _frames(thumbnails: Thumbnails, row: int, name: str) -> list[Element]:
    """The pictures, or why there are none; nothing where no video has any."""
    if thumbnails.problem:
        return []
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
