"""`jaxaction fuse`: averages the test results of several runs, such as RGB and optical flow.

Late fusion of two streams (Simonyan and Zisserman 2014): the weighted mean of the runs'
probabilities for every video. It reads the files that `eval.py` wrote, `DIR/eval/SPLIT.npz`.
"""

import argparse
import math
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.evaluation.results import Result, read

# The flow of a.mp4 lies in a folder a, so its id has no ending.
ENDING = re.compile(r"\.[A-Za-z]\w{1,3}$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxaction fuse`."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's directory, or a .npz file")
    parser.add_argument(
        "--weights",
        nargs="+",
        type=float,
        metavar="W",
        help="the weight of each run in the mean, 0 or more, in the order of the runs (default: 1)",
    )
    parser.add_argument(
        "--split",
        default="test",
        help="read DIR/eval/SPLIT.npz from each run's directory (default: test)",
    )
    parser.add_argument(
        "--common",
        action="store_true",
        help="leave out videos that not all runs have (default: stop at the first one)",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.npz",
        help="write the fused result to a new file, in the format of eval.py (default: print only)",
    )


def main(args: argparse.Namespace) -> int:
    """Prints the accuracy of each run and of their mean; returns the exit code.

    InputError for results that can't be read or don't match.
    """
    if len(args.runs) < 2:
        raise InputError(f"{args.runs[0]} alone can't be fused; give two runs or more")
    weights = check_weights(args.weights or [1.0] * len(args.runs), len(args.runs))
    if args.out:
        check_out(Path(args.out))
    matched, num_left_out = match_videos([read(run, args.split) for run in args.runs], args.common)
    fused = fuse(matched, weights)
    for result, weight in zip(matched, weights, strict=True):
        # A summary ends with the mean over classes (or mAP over videos) and the accuracies.
        *_, class_mean, accuracy = results.summary(args.split, result.test).splitlines()
        print(f"{result.name}, weight {weight:g}: {accuracy}, {class_mean}")
    if num_left_out:
        print(f"left out: {num_left_out} videos that not all runs have")
    if args.out:
        results.write_npz(Path(args.out), fused.test, fused.label_names)
        print(f"fused: {args.out}")
    print(results.summary(args.split, fused.test, fused.label_names))
    return 0


def check_weights(weights: list[float], count: int) -> list[float]:
    """Returns the weights; InputError unless there is one for each run and their sum is above 0."""
    if len(weights) != count:
        raise InputError(f"--weights gives {len(weights)} numbers for {count} runs; give {count}")
    if not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
        given = " ".join(f"{weight:g}" for weight in weights)
        raise InputError(f"--weights {given}: give numbers from 0 on, not all of them 0")
    return weights


def check_out(path: Path) -> None:
    """Raises InputError for a file that can't be written, before the results are read."""
    if path.suffix != ".npz":
        raise InputError(f"--out {path}: the result is a .npz file; name it {path}.npz")
    if path.exists():
        raise InputError(f"--out {path}: the file exists; give another name, or move it away")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: its folder does not exist; make it, or name another")


def match_videos(runs: list[Result], common: bool) -> tuple[list[Result], int]:
    """Returns the results with the same videos in the first run's order, and how many it left out.

    Videos match by their ids. If the runs share no id, they match by ids without a file's ending.
    InputError names the first video that not all runs have (unless `common`), that is in a run
    twice, or that has different labels.
    """
    for result in runs[1:]:
        _check_classes(runs[0], result)
    keys = [result.test.ids for result in runs]
    # Endings count as long as any id matches: a.mp4 and a.avi may be two videos.
    if not set.intersection(*map(set, keys)):
        keys = [tuple(ENDING.sub("", id) for id in ids) for ids in keys]
    rows_by_key = [_rows_by_key(result, ids) for result, ids in zip(runs, keys, strict=True)]
    shared = [key for key in keys[0] if all(key in rows for rows in rows_by_key)]
    if not shared:
        raise InputError(
            f"{runs[0].name} and the others have no video in common: ids are like {keys[0][0]!r}"
            f" there and {keys[1][0]!r} in {runs[1].name}; test the runs on the same videos"
        )
    num_left_out = len(set().union(*keys)) - len(shared)
    if num_left_out and not common:
        raise InputError(_missing_message(runs, keys, shared, num_left_out))
    matched = [
        result.take([rows[key] for key in shared])
        for result, rows in zip(runs, rows_by_key, strict=True)
    ]
    for result in matched[1:]:
        _check_labels(matched[0], result)
    return matched, num_left_out


def fuse(runs: list[Result], weights: list[float]) -> Result:
    """Returns the weighted mean of the probabilities of matched results, as `scores` and `probs`.

    `weights` has a number from 0 on for each run.
    """
    # In float64, so that the mean is rounded only once.
    rows = np.average([result.test.probs.astype(np.float64) for result in runs], 0, weights)
    rows = rows.astype(np.float32)
    names = [f"{result.name} x {weight:g}" for result, weight in zip(runs, weights, strict=True)]
    test = Evaluation(
        protocol=f"mean of the probabilities of {', '.join(names)}",
        ids=runs[0].test.ids,
        labels=runs[0].test.labels,
        scores=rows,
        probs=rows,
        unreadable=tuple(dict.fromkeys(id for result in runs for id in result.test.unreadable)),
    )
    # A list without names has numbers for names, so the run with the most other names wins.
    return Result("", test, max((result.label_names for result in runs), key=_count_spoken_names))


def _rows_by_key(result: Result, keys: tuple[str, ...]) -> dict[str, int]:
    rows = {}
    for row, key in enumerate(keys):
        if key in rows:
            raise InputError(
                f"{result.name} has {key} twice, in rows {rows[key]} and {row}; "
                "take one out of the list of videos and test again"
            )
        rows[key] = row
    return rows


def _missing_message(
    runs: list[Result], keys: list[tuple[str, ...]], shared: list[str], num_left_out: int
) -> str:
    in_all = set(shared)
    has, key = next(
        (result.name, key)
        for result, ids in zip(runs, keys, strict=True)
        for key in ids
        if key not in in_all
    )
    lacks = next(result.name for result, ids in zip(runs, keys, strict=True) if key not in ids)
    return (
        f"{num_left_out} videos are not in all runs, first {key}, which {has} has and {lacks} has"
        f" not; --common fuses the {len(shared)} that all have"
    )


def _check_classes(first: Result, second: Result) -> None:
    classes_of = []
    for name, test, _ in (first, second):
        several = ", several a video" if test.multi_label else ""
        classes_of.append((name, f"{test.probs.shape[1]} classes{several}"))
    if classes_of[0][1] != classes_of[1][1]:
        both = ", ".join(f"{name} has {classes}" for name, classes in classes_of)
        raise InputError(f"{both}; fuse runs on the same classes")
    names = (first.label_names, second.label_names)
    if labels.differing_labels(*names):
        # The first prefix that differs ends with the label to name.
        where = next(
            i for i in range(len(names[0])) if labels.differing_labels(*(n[: i + 1] for n in names))
        )
        raise InputError(
            f"label {where} is {names[0][where]!r} in {first.name} and {names[1][where]!r} in "
            f"{second.name}; fuse runs on the same classes"
        )


def _check_labels(first: Result, second: Result) -> None:
    differ = first.test.labels != second.test.labels
    rows = np.flatnonzero(differ.any(axis=1) if first.test.multi_label else differ)
    if len(rows):
        theirs, ours = (_label(result.test.labels[rows[0]]) for result in (second, first))
        raise InputError(
            f"{len(rows)} videos have other labels in {second.name} than in {first.name}, first "
            f"{first.test.ids[rows[0]]}: {theirs} and {ours}; test both on the same list"
        )


def _label(label: np.integer | Float[np.ndarray, " k"]) -> str:
    """Returns a label's number, or the numbers of all classes of a multi-label video."""
    return str(label) if label.ndim == 0 else " ".join(map(str, np.flatnonzero(label)))


def _count_spoken_names(names: tuple[str, ...]) -> int:
    """Returns how many labels have a name that is not their number."""
    return sum(name != str(i) for i, name in enumerate(names))
