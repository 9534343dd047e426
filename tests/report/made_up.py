"""Directories of runs that were never trained: real files and clips, made-up figures."""

import math
from pathlib import Path

import numpy as np

from jaxaction.config import build
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.evaluation.settings import result_conditions
from jaxaction.storage import workdir
from jaxaction.storage.history import History
from tests import tiny_run

NASTY = ("<script>alert(1)</script>", "tea & \"cake\" 'hot'", "</td></table><!-- \u202e\x00\ud83d")


def run(folder: Path, names: tuple[str, ...], test: Evaluation, steps: int = 90) -> str:
    """A run's directory in `folder`, next to the clips of `tiny_run`."""
    if not (folder / "test.txt").exists():
        tiny_run.write_clips(folder)
    config = tiny_run.config(folder)
    config.model.num_classes = test.scores.shape[1]
    config.data.multi_label = test.multi_label
    directory = str(folder / "run")
    workdir.claim(directory, config)
    write_history(History(directory, 0), steps)
    results.write(directory, "test", test, names, result_conditions(config, steps))
    return directory


def write_history(written: History, steps: int) -> None:
    """Writes the lines of a run that learns."""
    for step in range(3, steps + 1, 3):
        done = step / steps
        loss = 1.1 * math.exp(-3 * done) + 0.05 * math.sin(step)
        values = {
            "loss/cross_entropy": loss,
            "loss": loss,
            "accuracy": 1 - 0.6 * math.exp(-4 * done),
            "grad_norm": 2 + loss,
        }
        values |= {"clips_per_second": 50.0 + step % 7, "seconds_per_step": 0.1, "data_share": 0.1}
        values["learning_rate"] = 0.004 * (1 + math.cos(math.pi * done)) / 2
        written.add(step, {f"train/{name}": value for name, value in values.items()})
        if step % 15 == 0 and step < steps:
            written.add(step, {"val/top1": 0.9 * done, "val/top5": 1.0})
    written.add(steps, {"test/top1": 0.83, "test/top5": 1.0, "test/mean_class_accuracy": 0.81})


def evaluation(config_protocol, ids, labels, probs, unreadable=()) -> Evaluation:
    probs = np.asarray(probs, np.float32)
    return Evaluation(config_protocol, tuple(ids), np.asarray(labels), probs, probs, unreadable)


def few(folder: Path) -> Evaluation:
    """Returns a test of the six clips of `tiny_run`, the second and the sixth wrong."""
    protocol = build.protocol(tiny_run.config(folder).test)
    probs = [
        [0.8, 0.1, 0.1],
        [0.7, 0.2, 0.1],
        [0.0, 0.1, 0.9],
        [0.9, 0.1, 0.0],
        [0.1, 0.8, 0.1],
        [0.2, 0.5, 0.3],
    ]
    ids = [f"test{i}.mp4" for i in range(6)]
    return evaluation(protocol, ids, np.arange(6, dtype=np.int32) % 3, probs)


def many(folder: Path, classes: int = 400, videos: int = 20000) -> Evaluation:
    """Returns made-up scores of many classes; some videos are taken for a neighbour class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, videos).astype(np.int32)
    skill = rng.uniform(0.5, 3.5, classes)
    scores = rng.gumbel(size=(videos, classes)).astype(np.float32)
    rows = np.arange(videos)
    scores[rows, labels] += (2 + skill[labels] * 2).astype(np.float32)
    scores[rows, (labels + rng.integers(1, 4, videos)) % classes] += 4
    probs = np.exp(scores - scores.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    protocol = build.protocol(tiny_run.config(folder).test)
    ids = [f"class {label}/clip number {i}.mp4" for i, label in enumerate(labels)]
    return evaluation(protocol, ids, labels, probs)


def several_labels(folder: Path) -> Evaluation:
    """Returns a test of the six clips with several of four classes each; the last has no clip."""
    rng = np.random.default_rng(1)
    labels = np.zeros((6, 4), np.float32)
    labels[np.arange(6), np.arange(6) % 3] = labels[::2, 1] = 1
    probs = np.clip(0.8 * labels + rng.uniform(0, 0.5, labels.shape), 0, 1)
    probs[4] = [0.99, 0.02, 0.9, 0.7]
    protocol = build.protocol(tiny_run.config(folder).test)
    return evaluation(protocol, [f"test{i}.mp4" for i in range(6)], labels, probs)
