"""Whether the data keep up with the model on this machine: `jaxaction data bench`."""

import argparse
import math
import os
import sys
from typing import NamedTuple

import jax

from jaxaction.commands import flops
from jaxaction.commands.data import bench_rates
from jaxaction.commands.data.bench_rates import Stages
from jaxaction.config import flags
from jaxaction.errors import InputError
from jaxaction.training import init_from, setup
from jaxaction.training.setup import TrainingSetup, prepare


class Rates(NamedTuple):
    """What was measured: clips a second, but for the stages."""

    stages: Stages
    loader: dict[int, float]  # by the number of threads
    model: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction data bench`, without the config's keys."""
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure (10)")


def main(args: argparse.Namespace) -> int:
    """Prints the figures, medians over rounds, and which of them is the bottleneck."""
    if not 0 < args.seconds < math.inf:
        raise InputError(f"--seconds {args.seconds:g}: give a number above 0")
    config = flags.apply_overrides(
        flags.load_config(*flags.split_variant(args.config)), args.overrides
    )
    init_from.load(config, _say)
    init_from.set_classes(config, _say)
    parts = prepare(config)
    cores, threads, platform = _cores(), config.data.num_threads, jax.default_backend()
    print(
        f"{config.model.name} ({args.config}) on {len(parts.videos)} videos, batch"
        f" {config.train.batch_size}; {cores} cores, {len(jax.devices())} x {platform}"
    )
    rates = measure(parts, thread_counts(cores, threads), args.seconds)
    print(f"\n{table(rates, threads)}\n")
    if platform == "cpu":
        best = max(rates.loader.values())
        both = 1 / (1 / rates.model + 1 / best)
        print(f"on a CPU threads and model share the cores: both at once {both:.1f} clips/s or so")
    print(verdict(rates, threads, cores))
    return 0


def measure(parts: TrainingSetup, threads: list[int], seconds: float) -> Rates:
    """Takes about `seconds` for each figure, and the time to compile the step."""
    config, videos = parts.config, parts.videos
    _say("one thread, stage by stage")
    stages = bench_rates.stages(videos, setup.train_transform(config), seconds)
    loader = {}
    for count in threads:
        _say(f"the loader with {_threads(count)}")
        loader[count] = bench_rates.loader_rate(config, videos, count, seconds)
    return Rates(stages, loader, bench_rates.step_rate(parts, seconds, _say))


def thread_counts(cores: int, configured: int) -> list[int]:
    """1, 2, 4 and so on as far as there are cores, all cores, and what the config says."""
    return sorted({*(2**i for i in range(cores.bit_length())), cores, configured})


def table(rates: Rates, configured: int) -> str:
    """The figures as lines."""
    stages = rates.stages
    rows = [
        ("one thread, files cached", "ms a clip", "clips/s"),
        *(_row(name, stages._asdict()[name]) for name in stages._fields),
        _row("whole", stages.whole),
        ("", "", ""),
        ("loader", "", "clips/s"),
    ]
    for count, found in rates.loader.items():
        mark = " (data.num_threads)" if count == configured else ""
        rows.append((f"{_threads(count)}{mark}", "", f"{found:.1f}"))
    return flops.columns([*rows, ("", "", ""), ("training step", "", f"{rates.model:.1f}")])


def verdict(rates: Rates, configured: int, cores: int) -> str:
    """One line: the bottleneck, and how many threads there should be."""
    have, model = rates.loader[configured], rates.model
    enough = [count for count, found in sorted(rates.loader.items()) if found >= model]
    found = f"{have:.1f} clips/s come from {_threads(configured)}, the step takes {model:.1f}"
    if have >= model:
        fewer = f"; {_threads(enough[0])} would do" if enough[0] < configured else ""
        return f"the model is the bottleneck: {found}{fewer}"
    if enough:
        better = f"{enough[0]}, from which come {rates.loader[enough[0]]:.1f}"
        return f"data are the bottleneck: {found}; set data.num_threads to {better}"
    best = max(rates.loader, key=rates.loader.get)
    needed = math.ceil(model * max(best, 1) / rates.loader[best])
    share = {name: value / rates.stages.whole for name, value in rates.stages._asdict().items()}
    worst = max(share, key=share.get)
    faster = (
        "; `jaxaction data prepare --short-side` re-encodes videos" if worst == "decode" else ""
    )
    return (
        f"data are the bottleneck: {found}; about {needed} threads on as many cores would be needed"
        f" (there are {cores}), {100 * share[worst]:.0f} % of a thread's time is {worst}{faster}"
    )


def _row(name: str, seconds: float) -> tuple[str, str, str]:
    return name, f"{1000 * seconds:.2f}", f"{1 / seconds:.1f}" if seconds else "-"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
