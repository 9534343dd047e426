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

from jaxaction import data
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.evaluation import metrics, scoring
from jaxaction.evaluation.settings import EvalSettings
from jaxaction.models.heads import view_logits

SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class Evaluation:
    """The result of a test: one row for every readable video, in the source's order.

    With several labels a video, `labels` has two axes and is 1 for the classes of a video.
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
        """The metrics by their names in files, from 0 to 1, and the number of videos."""
        if self.multi_label:
            names = ("mean_average_precision", "mmit_mean_average_precision", "num_videos")
        else:
            names = ("top1", "top5", "mean_class_accuracy", "num_videos")
        return {name: getattr(self, name) for name in names}

    @property
    def mean_average_precision(self) -> float:
        """The mean over classes, for multi-label videos."""
        return metrics.mean_average_precision(self.scores, self.labels > 0)

    @property
    def mmit_mean_average_precision(self) -> float:
        """The mean over videos, for multi-label videos."""
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
        """The top-5 accuracy; with fewer than five classes all of them count."""
        return metrics.top_k_accuracy(self.scores, self.labels, 5)

    @property
    def mean_class_accuracy(self) -> float:
        return metrics.mean_class_accuracy(self.scores, self.labels)


def run(
    model: Any,
    variables: Any,
    source: Any,
    protocol: Any,
    settings: EvalSettings,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Evaluation:
    """Scores every video of `source` once. Several processes share the work; all get all rows.

    `watch` hands the batches on, and may end the test by an exception. Unreadable videos are left
    out and named. `InputError` for a clip that the model can't take, a label outside its classes,
    an empty source, and more unreadable videos than `max_bad_share`.
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


def scorer(model: Any, variables: Any, protocol: Any, settings: EvalSettings) -> scoring.Scorer:
    """The `Scorer` of tests and of predictions, so that both compute the same."""
    local_batch = max(1, settings.batch_size // jax.process_count())
    pixels = (settings.mean, settings.std)
    made = scoring.make_scorer(model, variables, protocol, *pixels, local_batch)
    return replace(made, multi_label=settings.multi_label)


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
    """How many videos may be unreadable: none for a share of 0, otherwise at least one."""
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
    started = printed = time.monotonic()
    of = f" of the first of {jax.process_count()} shares" if jax.process_count() > 1 else ""
    for batch in batches:
        rows, keep = batch["index"][batch["mask"]], batch["mask"]
        labels.check_labels(source, rows, batch["label"][keep], table.scores.shape[1])
        if keep.any():
            result = score(batch["views"])
            table.scores[rows], table.probs[rows] = result.scores[keep], result.probs[keep]
        table.labels[rows] = batch["label"][keep]
        np.add.at(table.scored, rows, 1)
        np.add.at(table.bad, batch["bad"][batch["bad"] >= 0], 1)
        if table.bad.sum() > allowed_bad(len(source), max_bad_share):
            break
        if time.monotonic() - printed > SECONDS_BETWEEN_LINES and jax.process_index() == 0:
            printed = time.monotonic()
            rate = table.scored.sum() / (printed - started)
            print(f"scored {table.scored.sum()} videos{of}, {rate:.2f} a second", file=sys.stderr)
    return table


def _gather(table: _Table) -> _Table:
    """The rows of all processes: each filled its own and left zeros, so they can be summed."""
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
