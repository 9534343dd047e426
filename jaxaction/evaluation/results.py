"""The result of a test: lines to print, and files in the run's directory."""

import dataclasses
import functools
import itertools
import json
import platform
import re
import shutil
import zipfile
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax
import numpy as np

from jaxaction.errors import InputError
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.files import check_writable, write_together

PACKAGES = ("jaxaction", "jax", "jaxlib", "flax", "numpy", "av", "opencv-python-headless")


_NOT_IN_FILE_NAMES = re.compile(r"[^\w.-]+")  # replaced in the name of a split


class Result(NamedTuple):
    """A run's test as read from its files, which don't hold its `protocol`."""

    name: str
    test: Evaluation
    label_names: tuple[str, ...]

    def take(self, rows: list[int]) -> "Result":
        """The result for these rows alone, in this order."""
        arrays = {key: getattr(self.test, key)[rows] for key in ("labels", "scores", "probs")}
        ids = tuple(self.test.ids[row] for row in rows)
        return self._replace(test=dataclasses.replace(self.test, ids=ids, **arrays))


def result_line(split: str, evaluation: Evaluation) -> str:
    """`test top-1 98.8 %, top-5 100.0 % (96 videos)`, a line that scripts may rely on.

    With several labels a video: `test mAP 45.2 % (96 videos)`.
    """
    if evaluation.multi_label:
        share = 100 * evaluation.mean_average_precision
        return f"{split} mAP {share:.1f} % ({evaluation.num_videos} videos)"
    top1, top5 = 100 * evaluation.top1, 100 * evaluation.top5
    return f"{split} top-1 {top1:.1f} %, top-5 {top5:.1f} % ({evaluation.num_videos} videos)"


def summary(split: str, evaluation: Evaluation, label_names: tuple[str, ...] = ()) -> str:
    """Several lines for the user: the protocol, unreadable videos if any, the accuracies.

    With `label_names` also the classes that were most often taken for another.
    """
    lines = [f"protocol: {evaluation.protocol}"]
    if evaluation.unreadable:
        names = ", ".join(evaluation.unreadable)
        lines.append(f"unreadable, left out: {len(evaluation.unreadable)} ({names})")
    if evaluation.multi_label:
        share = 100 * evaluation.mmit_mean_average_precision
        lines.append(f"{split} mAP over videos {share:.1f} %")
    else:
        lines += _most_confused(evaluation.confusion, label_names)
        lines.append(f"{split} mean class accuracy {100 * evaluation.mean_class_accuracy:.1f} %")
    return "\n".join([*lines, result_line(split, evaluation)])


def _most_confused(confusion: np.ndarray, label_names: tuple[str, ...], most: int = 3) -> list[str]:
    """Up to `most` pairs of classes in a line, if there are any and they have names."""
    wrong = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(i), len(wrong)) for i in order if wrong.flat[i]]
    if not pairs or not label_names:
        return []
    phrases = [
        f'"{label_names[i]}" predicted as "{label_names[j]}"'
        f" ({wrong[i, j]} of {confusion[i].sum()})"
        for i, j in pairs
    ]
    return [f"most frequent mistakes: {', '.join(phrases)}"]


def write(
    workdir: str,
    split: str,
    evaluation: Evaluation,
    label_names: tuple[str, ...],
    conditions: dict,
    out: Path | None = None,
) -> Path:
    """Writes `eval/SPLIT.json` (metrics, protocol, conditions) and `eval/SPLIT.npz` (every video).

    The npz holds `ids`, `labels`, `scores`, `probs`, `label_names`, `unreadable`; rows agree; and
    `confusion` (true classes along the first axis), unless videos have several labels.
    `conditions` are JSON values that the metrics depend on (data set, step of the checkpoint); the
    file has them as "about". An earlier result with another protocol or other conditions is kept as
    `SPLIT.1.json` and so on. Returns the path of the JSON. It is written last, so that it never
    stands for half a result. Both files are complete before any earlier file is touched. `out` is a
    folder to write to in place of the run's `eval`.
    """
    folder = out or folder_of(workdir)
    check_can_write(folder)
    name = _NOT_IN_FILE_NAMES.sub("_", split) or "test"
    record = _record(split, evaluation, conditions)
    text = json.dumps(record, indent=2).encode() + b"\n"
    path = folder / f"{name}.json"
    files = {
        folder / f"{name}.npz": functools.partial(_fill_npz, evaluation, label_names),
        path: lambda file: file.write(text),
    }
    write_together(files, before=functools.partial(_keep_other, folder, name, record))
    return path


def folder_of(workdir: str) -> Path:
    """Where the results of a run's tests are."""
    return Path(workdir) / "eval"


def check_can_write(folder: Path) -> None:
    """Raises InputError if no result can be written to `folder`; a test may take hours."""
    check_writable(folder, "give eval.py --out DIR, or make room for it")


def read(run: str, split: str) -> Result:
    """The result in a run's directory, or in a file; InputError if there is none, or if it is
    incomplete."""
    path = Path(run)
    if path.is_dir():
        path = path / "eval" / f"{_NOT_IN_FILE_NAMES.sub('_', split)}.npz"
    if not path.is_file():
        raise InputError(f"{path} does not exist; eval.py --workdir DIR writes DIR/eval/test.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("labels", "scores", "probs")}
            names = {key: tuple(file[key].tolist()) for key in ("ids", "unreadable", "label_names")}
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a result that eval.py wrote: {error}") from None
    label_names = names.pop("label_names")
    test = Evaluation("", **arrays, **names)
    _check_complete(test, path)
    return Result(run, test, label_names)


def _check_complete(test: Evaluation, path: Path) -> None:
    rows, classes = test.probs.shape if test.probs.ndim == 2 else (0, 0)
    shapes = [array.shape for array in (test.labels, test.scores, test.probs)]
    if not rows or shapes[1] != shapes[2] or shapes[0] not in ((rows,), (rows, classes)):
        raise InputError(f"{path} is not whole: labels, scores and probs are {shapes}; test again")
    if test.num_videos != rows:
        raise InputError(f"{path} has {rows} rows for {test.num_videos} videos; test again")


def versions() -> dict[str, str]:
    """The versions of Python and of the installed packages that decode and compute."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _record(split: str, evaluation: Evaluation, conditions: dict) -> dict:
    return {
        "split": split,
        "metrics": evaluation.figures,
        "protocol": dataclasses.asdict(evaluation.protocol),
        "protocol_line": str(evaluation.protocol),
        "about": conditions,
        "unreadable": list(evaluation.unreadable),
        "versions": versions(),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def _keep_other(folder: Path, name: str, record: dict) -> None:
    """Gives the result of another test than `record` the next free number as a second name."""
    path = folder / f"{name}.json"
    if not path.exists() or _identity(_load(path)) == _identity(record):
        return
    number = next(i for i in itertools.count(1) if not (folder / f"{name}.{i}.json").exists())
    for old in (folder / f"{name}.npz", path):
        if old.exists():
            _link(old, folder / f"{name}.{number}{old.suffix}")


def _link(path: Path, name: Path) -> None:
    try:
        name.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, name)


def _identity(record: dict) -> Any:
    """The values by which two results are of the same test, as JSON gives them back."""
    return json.loads(json.dumps([record.get("protocol"), record.get("about")]))


def _load(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return {}


def write_npz(path: Path, evaluation: Evaluation, label_names: tuple[str, ...]) -> None:
    """Writes the part of `write` that holds every video's row."""
    write_together({path: functools.partial(_fill_npz, evaluation, label_names)})


def _fill_npz(evaluation: Evaluation, label_names: tuple[str, ...], file: IO[bytes]) -> None:
    arrays = {
        "ids": np.array(evaluation.ids, dtype=np.str_),
        "labels": evaluation.labels,
        "scores": evaluation.scores,
        "probs": evaluation.probs,
        "label_names": np.array(label_names, dtype=np.str_),
        "unreadable": np.array(evaluation.unreadable, dtype=np.str_),
    }
    if not evaluation.multi_label:
        arrays["confusion"] = evaluation.confusion
    np.savez(file, **arrays)
