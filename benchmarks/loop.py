"""Times what a user of `train.py` waits for: the first step, and the loop around the steps.

    python -m benchmarks.loop [--config configs/slowfast.py] [--turns 6] [--steps 10]

Starts `train.py` with an empty compilation cache and again with a full one, until its first step is
done. Then trains the same config, once with its data and once with a single batch that is read
before, so that data are not the limit; at each progress line it takes as many steps of the same
program on one batch, so that both meet the same noise. The data set is made before all that. The
defaults take about 3 minutes on two CPU cores.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

import jaxaction
from benchmarks import ours
from benchmarks.command_line import Parser, at_least
from benchmarks.machine import describe, settings
from jaxaction import train_state
from jaxaction.commands import entry
from jaxaction.config import build, flags
from jaxaction.training import loop, setup, train_step
from jaxaction.training.setup import prepare

ROOT = Path(__file__).parent.parent
LINE = re.compile(r"^step (\d+)/.* ([\d.]+) clips/s  data (\d+) %")


def main(argv: list[str]) -> None:
    args = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(args, Path(folder))
    print(json.dumps(measured, indent=1))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    circumstances = {"machine": describe(), "jax": jax.__version__, "arguments": settings(args)}
    args.out.write_text(json.dumps(circumstances | measured, indent=1) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("loop", __doc__)
    parser.add_argument("--config", default="configs/slowfast.py", help="FILE[:VARIANT]")
    text = "of the loop and of the bare steps; the first does not count"
    parser.add_argument("--turns", type=at_least(2), default=6, help=text)
    parser.add_argument("--steps", type=at_least(1), default=10, help="a turn")
    path = Path("runs/benchmarks/loop.json")
    parser.add_argument("--out", type=Path, default=path, help="the JSON file")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """Seconds to the first step; clips/s of the loop and of the bare steps, and their ratio."""
    config, _, _ = flags.parse_train(["--config", args.config])
    say("the data set")
    training = prepare(config)  # makes the data set if it is not there yet
    say("the first step with an empty cache, then with a full one")
    cache = folder / "cache"
    cold, warm = (first_step(args.config, cache, folder / name) for name in ("cold", "warm"))
    say("the loop and bare steps, without data and with them")
    config.train.log_every_steps = args.steps
    config.train.epochs = args.turns * args.steps / training.steps_per_epoch
    with mock.patch.object(setup, "train_loader", one_batch(setup.train_loader)):
        without_data = side_by_side(config, args.steps, folder / "without data")
    return {
        "config": args.config,
        "first_step_s": {"cold cache": cold, "warm cache": warm},
        "with data": side_by_side(config, args.steps, folder / "with data"),
        "with one batch": without_data,
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def one_batch(make_loader):
    """A loader, as `make_loader`'s, of that one's first batch again and again."""

    def loader(config, videos, first_step=0):
        batch = next(iter(make_loader(config, videos)))
        return grain.MapDataset.source([batch]).repeat().to_iter_dataset()

    return loader


def first_step(config: str, cache: Path, workdir: Path) -> float:
    """Seconds from the command line until `train.py` says that a step is done."""
    command = [sys.executable, "train.py", "--config", config, "--workdir", str(workdir)]
    command.append("--config.train.log_every_steps=1")
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    begin = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if LINE.match(line):
                seconds = time.monotonic() - begin
                process.kill()
                return seconds
    raise SystemExit(f"{' '.join(command)} ended before its first step")


def side_by_side(config: ConfigDict, count: int, workdir: Path) -> dict:
    """Clips/s of the loop and of the bare steps after each of its lines; its waits for data.

    The ratio is that of the medians without the first turn, in which the caches are filled.
    """
    step = bare_step(config)
    looped, bare, waited = [], [], []

    def log(text: str) -> None:
        if match := LINE.match(text):
            looped.append(float(match.group(2)))
            waited.append(int(match.group(3)))
            begin = time.perf_counter()
            for _ in range(count):
                step()
            bare.append(config.train.batch_size * count / (time.perf_counter() - begin))

    loop.train(config, str(workdir), log)
    return {
        "loop_clips_per_second": looped,
        "bare_clips_per_second": bare,
        "data_percent": waited,
        "loop_over_bare": statistics.median(looped[1:]) / statistics.median(bare[1:]),
    }


def bare_step(config: ConfigDict):
    """The config's training step on a batch that stays on the device; it waits for each."""
    training = prepare(config)
    shape = build.clip_shape(config)
    variables = jaxaction.init(training.model, shape, jax.random.key(0))
    rng, batch_size = np.random.default_rng(0), config.train.batch_size
    clips = rng.integers(0, 256, (batch_size, *shape[1:]), np.uint8)
    labels = rng.integers(0, config.model.num_classes, batch_size).astype(np.int32)
    batch = jax.device_put({"clip": clips, "label": labels})
    optimizer, recipe = training.optimizer, training.recipe
    state = train_state.create(variables, optimizer, bool(recipe.ema_decay))
    pixels, seed = (config.data.mean, config.data.std), config.train.seed
    step = train_step.make_train_step(training.model, optimizer, *pixels, seed, recipe)
    return ours.training(ours.compile_training(step, state, batch), state, batch)


if __name__ == "__main__":
    entry.run_main(main)
