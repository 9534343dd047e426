"""`jaxaction predict`: labels for single videos, by the same views and scores as in a test."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxaction import data
from jaxaction.config import build, flags
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate
from jaxaction.evaluation.settings import eval_settings
from jaxaction.files import write_atomically
from jaxaction.storage import checkpoint


class Prediction(NamedTuple):
    """One video's result, a value for each class.

    `scores` are averaged over the views as the run's protocol says (mean probabilities or mean
    logits); `probs` always sum to 1, but of multi-label runs each is a probability of its own.
    `labels` are the class names, numbers where there are none.
    """

    scores: Float[np.ndarray, " k"]
    probs: Float[np.ndarray, " k"]
    labels: tuple[str, ...]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The `count` most probable labels with their probabilities, the first one first."""
        best = np.argsort(-self.probs, kind="stable")[:count]
        return [(self.labels[i], float(self.probs[i])) for i in best]


class Predictor:
    """A run's newest checkpoint, ready for videos: `Predictor(workdir)("clip.mp4").top()`.

    A video is a path (of a folder of frames, too), a file's bytes, or a list of encoded frames.
    What `eval.py` wrote for the same video and protocol comes out within 1e-5. `overrides`, such as
    {"test.crops": "center"}, change the stored config as `eval.py --config.test.crops=center` does.
    Making one sets JAX's matmul precision to what the run's `compute` says. `InputError` for a
    directory without a checkpoint and for a video that can't be read.
    """

    def __init__(self, workdir: str, overrides: Mapping[str, str] = MappingProxyType({})):
        run = checkpoint.load_run(workdir)
        flags.apply_overrides(run.config, dict(overrides))
        build.set_precision(run.config)
        settings = eval_settings(run.config)
        self.protocol = build.protocol(run.config.test) if overrides else run.protocol
        self.labels = tuple(run.label_names) or tuple(map(str, range(run.config.model.num_classes)))
        self._scorer = evaluate.scorer(
            build.model(run.config), run.variables, self.protocol, settings
        )

    def __call__(self, video: Any) -> Prediction:
        result = self._scorer(self._views(video))
        return Prediction(result.scores[0], result.probs[0], self.labels)

    def features(self, video: Any) -> Float[np.ndarray, " c"]:
        """The backbone's output averaged over space, time and views."""
        return self._scorer.features(self._views(video))[0]

    def _views(self, video: Any) -> UInt8[np.ndarray, "1 v t h w c"]:
        if isinstance(video, str | os.PathLike) and os.path.isdir(video):
            video = data.FrameFolder(str(video), modality=self.protocol.modality)
        return data.read_views(video, self.protocol)[None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction predict`."""
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a video, or a folder of frames")
    parser.add_argument("--workdir", required=True, help="the directory of a training run")
    parser.add_argument("--top", type=int, default=5, help="how many labels to print (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object a video and line")
    parser.add_argument(
        "--features",
        metavar="FILE.npy",
        help="write pooled features, float32 [videos, channels], instead of printing labels",
    )


def main(args: argparse.Namespace) -> int:
    """Predicts every video; the exit code is 2 if one of them could not be read.

    The others' labels are printed all the same; features are written for all videos or not at all.
    """
    if args.top < 1:
        raise InputError(f"--top {args.top}: give 1 or more")
    if args.features:
        _check_writable(Path(args.features))
    predictor = Predictor(args.workdir, args.overrides)
    return _features(predictor, args) if args.features else _labels(predictor, args)


def _check_writable(path: Path) -> None:
    """Raises InputError if the features can't be written there, before any work is done."""
    if path.is_dir():
        raise InputError(f"--features {path}: a folder; give the name of a file")
    if path.exists():
        raise InputError(f"--features {path}: the file exists; give another name, or move it away")
    if not path.parent.is_dir():
        raise InputError(f"--features {path}: its folder does not exist; make it, or name another")


def _labels(predictor: Predictor, args: argparse.Namespace) -> int:
    code = 0
    for video in args.videos:
        try:
            top = predictor(video).top(args.top)
        except InputError as error:
            code = _print_error(error)
            continue
        print(_as_json(video, top, predictor.protocol) if args.json else _as_text(video, top))
    return code


def _features(predictor: Predictor, args: argparse.Namespace) -> int:
    rows, code = [], 0
    for video in args.videos:
        try:
            rows.append(predictor.features(video))
        except InputError as error:
            code = _print_error(error)
    if not code:
        table = np.stack(rows).astype(np.float32)
        write_atomically(Path(args.features), lambda file: np.save(file, table))
        print(f"{args.features}: features {table.shape[0]} x {table.shape[1]}")
    return code


def _as_text(video: str, top: list[tuple[str, float]]) -> str:
    return "\n".join([video] + [f"  {prob:.4f}  {label}" for label, prob in top])


def _as_json(video: str, top: list[tuple[str, float]], protocol: Any) -> str:
    rows = [{"label": label, "prob": prob} for label, prob in top]
    return json.dumps({"video": video, "top": rows, "protocol": str(protocol)})


def _print_error(error: InputError) -> int:
    print(f"jaxaction: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
