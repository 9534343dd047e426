"""`jaxaction predict`: labels of single videos, from the same views and scores as in a test."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from jaxaction import data
from jaxaction.config import build, flags
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate
from jaxaction.evaluation.settings import eval_settings
from jaxaction.files import write_atomically
from jaxaction.storage import checkpoint

# A path of a file or of a folder of frames, a file's bytes, or encoded frames in their order.
Video: TypeAlias = str | os.PathLike[str] | bytes | Sequence[bytes] | data.FrameFolder


class Prediction(NamedTuple):
    """One video's result, with a value for each class.

    `scores` are means over the views: of probabilities or of logits, as the run's protocol says.
    `probs` are from 0 to 1. They sum to 1, except in a multi-label run, where each class has a
    probability of its own. `labels` are the names of the classes, or their numbers if the run has
    no names.
    """

    scores: Float[np.ndarray, " k"]
    probs: Float[np.ndarray, " k"]
    labels: tuple[str, ...]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the `count` most probable labels with their probabilities, best first."""
        # Stable: among equal probabilities the lower class number comes first.
        best = np.argsort(-self.probs, kind="stable")[:count]
        return [(self.labels[i], float(self.probs[i])) for i in best]


class Predictor:
    """The newest checkpoint of a run, ready for videos: `Predictor(workdir)("clip.mp4").top()`.

    Its scores agree within 1e-5 with those that `eval.py` writes for the same video and protocol.
    `overrides`, such as {"test.crops": "center"}, change the stored config in the way of
    `eval.py --config.test.crops=center`. Creating a predictor sets JAX's matmul precision to the
    run's `compute`. InputError for a directory without a checkpoint and for a video that can't be
    read.
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

    def __call__(self, video: Video) -> Prediction:
        result = self._scorer(self._views(video))
        return Prediction(result.scores[0], result.probs[0], self.labels)

    def features(self, video: Video) -> Float[np.ndarray, " c"]:
        """Returns the backbone's output, averaged over space, time and views."""
        return self._scorer.features(self._views(video))[0]

    def _views(self, video: Video) -> UInt8[np.ndarray, "1 v t h w c"]:
        # Only the run knows whether the pictures in a folder are frames or flow.
        if isinstance(video, str | os.PathLike) and os.path.isdir(video):
            video = data.FrameFolder(str(video), modality=self.protocol.modality)
        return data.read_views(video, self.protocol)[None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxaction predict`."""
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="a video file, or a folder of frames"
    )
    parser.add_argument(
        "--workdir", required=True, metavar="DIR", help="the directory of a training run"
    )
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="print the N most probable labels of a video (default: 5)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a line with a JSON object for each video"
    )
    parser.add_argument(
        "--features",
        metavar="FILE.npy",
        help="print no labels; write the pooled features of all videos to a new file, float32"
        " [videos, channels]",
    )


def main(args: argparse.Namespace) -> int:
    """Predicts every video; returns 2 if a video could not be read, otherwise 0.

    Prints labels of all readable videos. Writes features only if all videos are readable.
    InputError for a mistake in the flags and for a directory without a checkpoint.
    """
    if args.top < 1:
        raise InputError(f"--top {args.top}: give 1 or more")
    if args.features:
        _check_writable(Path(args.features))
    predictor = Predictor(args.workdir, args.overrides)
    return _features(predictor, args) if args.features else _labels(predictor, args)


def _check_writable(path: Path) -> None:
    """Raises InputError if the features can't be written there; called before any work is done."""
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
        # np.save appends .npy to a path, but not to an open file.
        write_atomically(Path(args.features), lambda file: np.save(file, table))
        print(f"{args.features}: features {table.shape[0]} x {table.shape[1]}")
    return code


def _as_text(video: str, top: list[tuple[str, float]]) -> str:
    return "\n".join([video] + [f"  {prob:.4f}  {label}" for label, prob in top])


def _as_json(video: str, top: list[tuple[str, float]], protocol: data.Protocol) -> str:
    rows = [{"label": label, "prob": prob} for label, prob in top]
    return json.dumps({"video": video, "top": rows, "protocol": str(protocol)})


def _print_error(error: InputError) -> int:
    # Decoders' messages may have several lines; scripts expect one for each bad video.
    print(f"jaxaction: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
