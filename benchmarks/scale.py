"""How long a training step takes on more machines: what it sends, measured, and a formula.

    python -m benchmarks.scale --config FILE[:VARIANT] [--step-ms 400] [--config.key=value ...]

Compiles the config's training step for several devices and sums what its all-reduces carry. The
devices are the CPU's, the program is in the form that GPUs run, and it isn't run here. The table is
computed from that, from the time that a step takes on one device, and from links' speeds, all of
which are the user's to give:

    ring(n, speed) = 2 (n - 1) / n * bytes / speed + 2 (n - 1) * latency * all-reduces
    step(hosts)    = step on one device + ring(devices a host, its own links) + ring(hosts, network)

That is without overlap: where gradients of the last layers are sent while those of the first are
computed, a step lies between this and the largest of the three.
"""

import argparse
import os
import re
import sys
from functools import partial
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.command_line import Parser, at_least, duration
from jaxaction.commands import entry
from jaxaction.config import build, flags
from jaxaction.runtime import sharding
from jaxaction.training import setup
from jaxaction.training.setup import TrainingSetup, compile_step, create_state

# The results of an all-reduce, as `f32[64]{0}` or `(f32[64]{0}, bf16[3,4])`; GPUs have -start.
ALL_REDUCE = re.compile(r"= (\([^()]*(?:\([^()]*\)[^()]*)*\)|\S+) all-reduce(?:-start)?\(")
ARRAY = re.compile(r"([a-z]+\d+)\[([\d,]*)\]")


class Sent(NamedTuple):
    """What a training step's all-reduces carry, in bytes of one device."""

    total: int
    number: int
    gradients: int  # what float32 gradients take by themselves


class Links(NamedTuple):
    """Bytes a second of a device's links inside a host and of a host's network, and the seconds
    until the messages of one turn are there."""

    inside: float
    network: float
    latency: float


def main(argv: list[str]) -> None:
    rest, overrides = flags.take_overrides(argv)
    args = parse(rest)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", args.devices)
    # What is sent doesn't depend on how well the rest is compiled.
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
    )
    config = flags.load_config(*flags.split_variant(args.config))
    flags.apply_overrides(config, overrides)
    sent = measure(config)
    print(f"{args.config}, batch {config.train.batch_size} on {args.devices} devices")
    print(
        f"{sent.number} all-reduces carry {sent.total / 1e6:.2f} MB a step: gradients of the"
        f" parameters {sent.gradients / 1e6:.2f} MB, all else"
        f" {(sent.total - sent.gradients) / 1e6:.2f} MB"
    )
    latency = sent.number * args.latency_us / 1e6
    links = Links(args.inside * 1e9, args.network * 1e9, latency)
    print(table(sent.total, args.step_ms / 1e3, args.devices_per_host, links))


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("scale", __doc__)
    parser.add_argument("--config", default="configs/slowfast.py", help="FILE[:VARIANT]")
    parser.add_argument("--devices", type=at_least(2), default=4, help="to compile for")
    text = "milliseconds of a step on one device, with its share of the batch (an example)"
    parser.add_argument("--step-ms", type=duration, default=400.0, help=text)
    parser.add_argument("--devices-per-host", type=at_least(1), default=8, help="GPUs a machine")
    text = "GB/s of a device's links inside a host (an example)"
    parser.add_argument("--inside", type=duration, default=200.0, help=text)
    text = "GB/s of a host's network (an example: 100 Gbit/s)"
    parser.add_argument("--network", type=duration, default=12.5, help=text)
    text = "microseconds until a message is there (an example)"
    parser.add_argument("--latency-us", type=duration, default=20.0, help=text)
    return parser.parse_args(argv)


def measure(config: ConfigDict) -> Sent:
    """What the config's training step sends where it is compiled for all devices here."""
    build.set_precision(config)
    optimizer, schedule = setup.build_optimizer(config, steps_per_epoch=1000)
    mesh = sharding.device_mesh()
    sharding.check_batch(config.train.batch_size, mesh)
    fields = {"config": config, "model": build.model(config), "mesh": mesh}
    fields |= {"optimizer": optimizer, "schedule": schedule}
    fields["recipe"] = setup.build_recipe(config, mesh.size)
    without_data = TrainingSetup(**dict.fromkeys(TrainingSetup._fields) | fields)
    state = jax.eval_shape(partial(create_state, without_data))
    # CPUs have forms of convolutions of their own, whose gradients are summed part by part.
    with mock.patch.object(jax, "default_backend", lambda: "gpu"):
        step = compile_step(without_data, state, lambda text: print(text, file=sys.stderr))
    sizes = all_reduces(step.as_text())
    gradients = sum(4 * leaf.size for leaf in jax.tree.leaves(state.params))
    return Sent(sum(sizes), len(sizes), gradients)


def all_reduces(text: str) -> list[int]:
    """The bytes that each all-reduce of optimised HLO gives back."""
    return [sum(map(_bytes, ARRAY.findall(result))) for result in ALL_REDUCE.findall(text)]


def _bytes(array: tuple[str, str]) -> int:
    kind, shape = array
    bits = int(re.sub(r"\D", "", kind))
    return bits // 8 * int(np.prod([int(size) for size in shape.split(",") if size]))


def ring(count: int, size: int, speed: float, latency: float) -> float:
    """Seconds until `count` peers in a ring all have the sum of their `size` bytes.

    >>> ring(2, 100, 100.0, 0.25), ring(1, 100, 100.0, 0.25)
    (1.5, 0.0)
    """
    return 2 * (count - 1) / count * size / speed + 2 * (count - 1) * latency


def table(size: int, step: float, devices: int, links: Links) -> str:
    """Markdown: seconds of a step and the share of it that is computing, against hosts."""
    inside = ring(devices, size, links.inside, links.latency)
    lines = ["| hosts | devices | all-reduce, ms | step, ms | computing |", "|---|---|---|---|---|"]
    for hosts in (1, 2, 4, 8, 16, 32):
        sending = inside + ring(hosts, size, links.network, links.latency)
        lines.append(
            f"| {hosts} | {hosts * devices} | {1e3 * sending:.1f} | {1e3 * (step + sending):.1f}"
            f" | {100 * step / (step + sending):.1f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    entry.run_main(main)
