"""Accuracy of a model on a source of videos, each counted exactly once."""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from jaxaction import data
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.evaluation import metrics, scoring
from jaxaction.models.heads import view_logits

SECONDS_BETWEEN_LINES = 30.0


class Settings(NamedTuple):
    """What a test needs beside its protocol; pixel values on the scale 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int  # videos of all processes
    num_threads: int
    max_bad_share: float  # of the videos; 0 allows none, more allows at least one
    multi_label: bool = False  # each class has a probability of its own


def settings(config: ConfigDict) -> Settings:
    """The `Settings` of a run's config."""
    section = config.data
    return Settings(
        tuple(section.mean),
        tuple(section.std),
        config.test.batch_size,
        section.num_threads,
        section.max_bad_share,
        section.multi_label,
    )


def about(config: ConfigDict, step: int) -> dict:
    """What a result depends on beside its protocol, as JSON values: the videos, step, precision."""
    section = config.data
    kept = ("name", "test_split") if section.source == "tfds" else ("test_file", "root")
    dataset = {key: section[key] for key in ("source", *kept)}
    return {"dataset": dataset, "step": step, "compute": config.compute}


@dataclass(frozen=True)
class Evaluation:
    """What a test found: one row for every readable video, in the source's order.

    Labels of two axes are those of a multi-label data set, 1 for the classes of a video.
    """

    protocol: Any
    ids: tuple[str, ...]
    labels: Int[np.ndarray, " n"] | Float[np.ndarray, "n k"]
    scores: Float[np.ndarray, "n k"]
    probs: Float[np.ndarray, "n k"]
    unreadable: tuple[str, ...]

    @property
    def num_videos(self) -> int:
        return len(self.ids)

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def figures(self) -> dict[str, float]:
        """What sums up the test, by its names in files; shares of 1, and the number of videos."""
        if self.multi_label:
            names = ("mean_average_precision", "mmit_mean_average_precision", "num_videos")
        else:
            names = ("top1", "top5", "mean_class_accuracy", "num_videos")
        return {name: getattr(self, name) for name in names}

    @property
    def mean_average_precision(self) -> float:
        """Of multi-label videos, the mean over classes."""
        return metrics.mean_average_precision(self.scores, self.labels > 0)

    @property
    def mmit_mean_average_precision(self) -> float:
        """Of multi-label videos, the mean over videos."""
        return metrics.mmit_mean_average_precision(self.scores, self.labels > 0)

    @property
    def confusion(self) -> Int[np.ndarray, "k k"]:
        """How many videos of class i (first axis) scored highest for class j."""
        best = self.scores.argmax(axis=1)
        return metrics.confusion_matrix(best, self.labels, self.scores.shape[1])

    @property
    def top1(self) -> float:
        return metrics.top_k_accuracy(self.scores, self.labels, 1)

    @property
    def top5(self) -> float:
        """Of fewer than five classes all count."""
        return metrics.top_k_accuracy(self.scores, self.labels, 5)

    @property
    def mean_class_accuracy(self) -> float:
        return metrics.mean_class_accuracy(self.scores, self.labels)


def run(
    model: Any,
    variables: Any,
    source: Any,
    protocol: Any,
    settings: Settings,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Evaluation:
    """Scores every video of `source` once; on several hosts each takes its share, all get the rows.

    `watch` hands the batches on, and may end the test by an exception.

    Unreadable videos are left out and named. `InputError` for a clip that the model can't take, a
    label outside its classes, an empty source, and more unreadable videos than `max_bad_share`.
    """
    if len(source) == 0:
        raise InputError("the test split holds no video; set data.test_split or data.test_file")
    num_classes = check_clip(model, variables, protocol, len(settings.mean))
    shard = (jax.process_index(), jax.process_count())
    batches = data.test_loader(source, protocol, settings.batch_size, settings.num_threads, shard)
    table = _Table.empty(len(source), num_classes, settings.multi_label)
    score = scorer(model, variables, protocol, settings)
    table = _gather(_fill(table, score, watch(batches), source, settings.max_bad_share))
    _check_bad(source, table.bad, settings.max_bad_share)
    return _evaluation(table, source, protocol)


def scorer(model: Any, variables: Any, protocol: Any, settings: Settings) -> scoring.Scorer:
    """The `Scorer` of a test and of predictions, so that both compute the same."""
    local = max(1, settings.batch_size // jax.process_count())
    pixels = (settings.mean, settings.std)
    found = scoring.make_scorer(model, variables, protocol, *pixels, local)
    return replace(found, multi_label=settings.multi_label)


def check_clip(model: Any, variables: Any, protocol: Any, channels: int) -> int:
    """The number of classes; `InputError` if the model can't take the protocol's clip."""
    shape = (1, protocol.clip_len, *protocol.size, channels)
    clip = jax.ShapeDtypeStruct(shape, np.float32)
    try:
        logits = jax.eval_shape(
            lambda v, x: view_logits(model, v, x, protocol.window), variables, clip
        )
    except ValueError as error:
        height, width = protocol.size
        test = f"a test clip of {protocol.clip_len} frames of {height}x{width}"
        raise InputError(f"the model can't take {test}: {error}") from error
    return logits.shape[-1]


def check_fits(variables: Any, wanted: Any) -> None:
    """`InputError` if a checkpoint's variables are not those of the model that is configured."""
    have, want = _shapes(variables), _shapes(wanted)
    differing = sorted(name for name in have | want if have.get(name) != want.get(name))
    if differing:
        first = differing[0]
        raise InputError(
            f"the checkpoint does not fit config.model in {len(differing)} arrays, first {first}: "
            f"{have.get(first, 'absent')} there, {want.get(first, 'absent')} in the model; "
            "leave out the --config.model flags that change the network"
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves
    }


def allowed_bad(num_videos: int, max_bad_share: float) -> int:
    """How many unreadable videos pass: none for a share of 0, else the share but at least one."""
    return max(1, int(max_bad_share * num_videos)) if max_bad_share else 0


class _Table(NamedTuple):
    """A row for every video of the source, filled where this process has read it."""

    labels: Int[np.ndarray, " n"] | Float[np.ndarray, "n k"]
    scores: Float[np.ndarray, "n k"]
    probs: Float[np.ndarray, "n k"]
    scored: Int[np.ndarray, " n"]  # how often
    bad: Int[np.ndarray, " n"]

    @classmethod
    def empty(cls, n: int, k: int, multi_label: bool) -> "_Table":
        ints, rows = (lambda: np.zeros(n, np.int32)), (lambda: np.zeros((n, k), np.float32))
        return cls(rows() if multi_label else ints(), rows(), rows(), ints(), ints())


def _fill(
    table: _Table, score: scoring.Scorer, batches: Iterable, source: Any, max_bad_share: float
) -> _Table:
    """The table with this process's rows; stops early once too many videos were unreadable."""
    started = said = time.monotonic()
    of = f" of the first of {jax.process_count()} shares" if jax.process_count() > 1 else ""
    for batch in batches:
        rows, keep = batch["index"][batch["mask"]], batch["mask"]
        labels.check_labels(source, rows, batch["label"][keep], table.scores.shape[1])
        if keep.any():
            found = score(batch["views"])
            table.scores[rows], table.probs[rows] = found.scores[keep], found.probs[keep]
        table.labels[rows] = batch["label"][keep]
        np.add.at(table.scored, rows, 1)
        np.add.at(table.bad, batch["bad"][batch["bad"] >= 0], 1)
        if table.bad.sum() > allowed_bad(len(source), max_bad_share):
            break
        if time.monotonic() - said > SECONDS_BETWEEN_LINES and jax.process_index() == 0:
            said = time.monotonic()
            rate = table.scored.sum() / (said - started)
            print(f"scored {table.scored.sum()} videos{of}, {rate:.2f} a second", file=sys.stderr)
    return table


def _gather(table: _Table) -> _Table:
    """All processes' rows: each filled its own and left zeros, so that the sum is the whole."""
    if jax.process_count() == 1:
        return table
    return _Table(*(np.asarray(multihost_utils.process_allgather(x)).sum(0) for x in table))


def _evaluation(table: _Table, source: Any, protocol: Any) -> Evaluation:
    wrong = np.flatnonzero(table.scored + table.bad != 1)
    if len(wrong):
        raise RuntimeError(f"{len(wrong)} videos were not read exactly once, first {wrong[0]}")
    rows = np.flatnonzero(table.scored)
    return Evaluation(
        protocol=protocol,
        ids=tuple(source.id(int(i)) for i in rows),
        labels=table.labels[rows],
        scores=table.scores[rows],
        probs=table.probs[rows],
        unreadable=tuple(source.id(int(i)) for i in np.flatnonzero(table.bad)),
    )


def _check_bad(source: Any, bad: np.ndarray, max_bad_share: float) -> None:
    rows = np.flatnonzero(bad)
    if len(rows) > allowed_bad(len(source), max_bad_share):
        names = ", ".join(source.id(int(i)) for i in rows[:3]) + (", ..." if len(rows) > 3 else "")
        raise InputError(
            f"at least {len(rows)} of {len(source)} videos can't be read ({names}), more than "
            f"data.max_bad_share {max_bad_share} allows; mend or remove them, or raise it"
        )
