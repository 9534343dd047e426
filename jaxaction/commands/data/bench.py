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
    """The measured rates in clips per second; `stages` has seconds."""

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
    init_from.load(config, _log)
    init_from.set_classes(config, _log)
    parts = prepare(config)
    cores, threads, platform = _usable_cores(), config.data.num_threads, jax.default_backend()
    print(
        f"{config.model.name} ({args.config}) on {len(parts.videos)} videos, batch"
        f" {config.train.batch_size}; {cores} cores, {len(jax.devices())} x {platform}"
    )
    rates = measure(parts, thread_counts(cores, threads), args.seconds)
    print(f"\n{table(rates, threads)}\n")
    if platform == "cpu":
        fastest = max(rates.loader.values())
        together = 1 / (1 / rates.model + 1 / fastest)
        rate = f"{together:.1f} clips/s"
        print(f"on a CPU threads and model share the cores: both at once {rate} or so")
    print(verdict(rates, threads, cores))
    return 0


def measure(parts: TrainingSetup, threads: list[int], seconds: float) -> Rates:
    """Takes about `seconds` for each figure, and the time to compile the step."""
    config, videos = parts.config, parts.videos
    _log("one thread, stage by stage")
    stages = bench_rates.measure_stages(videos, setup.train_transform(config), seconds)
    loader = {}
    for count in threads:
        _log(f"the loader with {_threads_text(count)}")
        loader[count] = bench_rates.loader_rate(config, videos, count, seconds)
    return Rates(stages, loader, bench_rates.step_rate(parts, seconds, _log))


def thread_counts(cores: int, configured: int) -> list[int]:
    """1, 2, 4 and so on as far as there are cores, all cores, and what the config says."""
    return sorted({*(2**i for i in range(cores.bit_length())), cores, configured})


def table(rates: Rates, configured: int) -> str:
    """The figures as lines."""
    stages = rates.stages
    rows = [
        ("one thread, files cached", "ms a clip", "clips/s"),
        *(_stage_row(name, stages._asdict()[name]) for name in stages._fields),
        _stage_row("total", stages.total),
        ("", "", ""),
        ("loader", "", "clips/s"),
    ]
    for count, clips_per_second in rates.loader.items():
        mark = " (data.num_threads)" if count == configured else ""
        rows.append((f"{_threads_text(count)}{mark}", "", f"{clips_per_second:.1f}"))
    return flops.align_columns([*rows, ("", "", ""), ("training step", "", f"{rates.model:.1f}")])


def verdict(rates: Rates, configured: int, cores: int) -> str:
    """One line: the bottleneck, and how many threads there should be."""
    loaded, model = rates.loader[configured], rates.model
    enough = [threads for threads, rate in sorted(rates.loader.items()) if rate >= model]
    both = f"{loaded:.1f} clips/s come from {_threads_text(configured)}, the step takes {model:.1f}"
    if loaded >= model:
        fewer = f"; {_threads_text(enough[0])} would do" if enough[0] < configured else ""
        return f"the model is the bottleneck: {both}{fewer}"
    if enough:
        better = f"{enough[0]}, from which come {rates.loader[enough[0]]:.1f}"
        return f"data are the bottleneck: {both}; set data.num_threads to {better}"
    fastest = max(rates.loader, key=rates.loader.get)
    needed = math.ceil(model * max(fastest, 1) / rates.loader[fastest])
    shares = {name: value / rates.stages.total for name, value in rates.stages._asdict().items()}
    slowest = max(shares, key=shares.get)
    advice = ""
    if slowest == "decode":
        advice = "; `jaxaction data prepare --short-side` re-encodes videos"
    return (
        f"data are the bottleneck: {both}; about {needed} threads on as many cores would be needed"
        f" (there are {cores}), {100 * shares[slowest]:.0f} % of a thread's time is {slowest}"
        f"{advice}"
    )


def _stage_row(name: str, seconds: float) -> tuple[str, str, str]:
    return name, f"{1000 * seconds:.2f}", f"{1 / seconds:.1f}" if seconds else "-"


def _threads_text(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _usable_cores() -> int:
    """Returns the number of cores that this process may use, or of all if that is unknown."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
