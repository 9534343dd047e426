"""Shows what a network knows of time: its accuracy on `motions`, and on the same clips backwards.

    python -m benchmarks.motion runs/tsn runs/tsm ...

A clip played backwards shows the opposite motion. A network that looks at order should then say
the opposite of what it said; one that does not (TSN) can't say anything else than before.
"""

from typing import NamedTuple

import jax
import numpy as np

from benchmarks.command_line import Parser
from jaxaction import data
from jaxaction.commands import entry
from jaxaction.config import build
from jaxaction.data.builders.motions import OPPOSITE
from jaxaction.errors import InputError
from jaxaction.models.pixels import normalize
from jaxaction.storage import checkpoint

BATCH = 16


class Contrast(NamedTuple):
    """Shares from 0 to 1; `change` is the largest change of a logit when the clip is reversed."""

    accuracy: float
    reversed_to_opposite: float  # of the clips that were right
    change: float


def contrast(workdir: str) -> Contrast:
    """Returns what the newest checkpoint of a run says about the test clips, both ways round."""
    run = checkpoint.load_run(workdir)
    build.set_precision(run.config)
    if run.config.data.name.partition("/")[0] != "motions":
        raise InputError(f"{workdir} was trained on {run.config.data.name}, not on motions")
    model = build.model(run.config)
    mean, std = np.float32(run.config.data.mean), np.float32(run.config.data.std)

    @jax.jit
    def logits(clips):
        return model.apply(run.variables, normalize(clips, mean, std), False)

    source = build.source(run.config, "test")
    loader = data.test_loader(source, run.protocol, BATCH, num_threads=2)
    rows = [both_ways(logits, batch) for batch in loader]
    forward, backward, labels = (np.concatenate(column) for column in zip(*rows, strict=True))
    right = forward.argmax(1) == labels
    opposite = np.array([OPPOSITE[label] for label in labels])
    turned = backward.argmax(1)[right] == opposite[right]
    return Contrast(right.mean(), turned.mean(), np.abs(forward - backward).max())


def both_ways(logits, batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the logits of a batch's first views, those of them reversed, and the labels."""
    clips, kept = batch["views"][:, 0], batch["mask"]
    ways = (np.asarray(logits(way))[kept] for way in (clips, clips[:, ::-1]))
    return *ways, batch["label"][kept]


def main(argv: list[str]) -> None:
    parser = Parser("motion", __doc__)
    parser.add_argument("workdir", nargs="+", help="a run's directory")
    workdirs = parser.parse_args(argv).workdir
    print("| run | top-1 | of these, opposite when reversed | largest change of a logit |")
    print("|---|---|---|---|")
    for workdir in workdirs:
        result = contrast(workdir)
        shares = f"{100 * result.accuracy:.1f} % | {100 * result.reversed_to_opposite:.1f} %"
        print(f"| {workdir} | {shares} | {result.change:.1g} |")


if __name__ == "__main__":
    entry.run_main(main)
