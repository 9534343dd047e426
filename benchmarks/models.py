"""Times the six networks against MMAction2 and pytorchvideo, inference and training step.

    python -m benchmarks.models [--batch 2] [--peer-python PYTHON] [--families slowfast,i3d] ...

Every network of every side is a process of its own; they take their steps in turn, so that what
else the machine does hits all alike. Random data. Prints medians and ratios as a Markdown table,
and writes every sample to a JSON file. Peers that are not installed are left out, with a word; a
side that crashes is left out too, and makes the exit code 1. With its defaults and all peers it
takes about 40 minutes on two CPU cores, a quarter of them for inference.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.command_line import (
    Parser,
    add_list,
    add_network_arguments,
    at_least,
    program,
    several,
)
from benchmarks.families import FAMILIES
from benchmarks.machine import describe, settings
from jaxaction.commands import entry

SIDES = ("jaxaction", "mmaction2", "mmaction2-compile", "pytorchvideo", "pytorchvideo-compile")
MODES = ("inference", "training")
COLUMNS = ("network", "frames", "GFLOPs / clip", "batch", "side", "clips/s", "ours / theirs")
COLUMNS += ("of the rate", "first step, s", "peak, GiB")


class Worker:
    """A process of `benchmarks.worker`, which takes its first step in `begin`.

    `left_out` has the reason and the details where it takes no more steps.
    """

    def __init__(self, python: str, arguments: list[str]):
        self.started = time.monotonic()
        command = [python, "-m", "benchmarks.worker", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.left_out: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.yardstick: dict[str, float] = {}
        self.seconds: list[float] = []
        self.first_step_s, self.peak_bytes = 0.0, 0

    def begin(self) -> None:
        self.versions = self._read().get("versions", {})
        self.first_step_s = time.monotonic() - self.started
        self.yardstick = self._read()

    def take(self, steps: int) -> None:
        """Takes one step that does not count, to have the caches its own, and `steps` that do."""
        if self.left_out:
            return
        with contextlib.suppress(BrokenPipeError):  # it has ended, as `_read` sees
            self.process.stdin.write(f"{steps + 1}\n")
            self.process.stdin.flush()
        message = self._read()
        self.seconds += message.get("seconds", [])[1:]
        self.peak_bytes = message.get("peak_bytes", 0)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _read(self) -> dict:
        """The next message; an empty one where the worker is left out, from now on or before."""
        if self.left_out:
            return {}
        lines = (json.loads(line) for line in self.process.stdout if line.startswith("{"))
        message = next(lines, None)
        if message is None:
            message = {"reason": "crashed", "details": f"exit code {self.process.wait()}"}
        if "reason" in message:
            self.left_out, message = message, {}
        return message


def main(argv: list[str]) -> int:
    """The exit code is 1 after a crash of a side, and where nothing was timed."""
    args = parse(argv)
    rows, left_out = [], []
    try:
        for batch, family, mode in itertools.product(args.batch, args.families, args.modes):
            compare(args, batch, family, mode, rows, left_out)
            write(args, rows, left_out)
    finally:  # also of what was done before Ctrl-C
        print("\n" + table(rows))
    return 1 if not rows or any(failure["reason"] == "crashed" for failure in left_out) else 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("models", __doc__)
    add_network_arguments(parser, "float32")
    add_list(parser, "--modes", MODES)
    add_list(parser, "--sides", SIDES)
    help_text = "clips a step; several with commas between"
    parser.add_argument("--batch", type=several(at_least(1)), default="2", help=help_text)
    parser.add_argument("--rounds", type=at_least(1), default=5, help="turns of every side")
    parser.add_argument("--steps", type=at_least(1), default=2, help="counted steps a turn")
    help_text = "the peers' interpreter"
    parser.add_argument("--peer-python", type=program, default=sys.executable, help=help_text)
    path = Path("runs/benchmarks/models.json")
    parser.add_argument("--out", type=Path, default=path, help="the JSON file with every sample")
    return parser.parse_args(argv)


def compare(
    args: argparse.Namespace,
    batch: int,
    family: str,
    mode: str,
    rows: list[dict],
    left_out: list[dict],
) -> None:
    """Adds a row for each side: its samples, time to the first step and peak memory.

    Sides that took no steps go to `left_out` instead; one that is not installed isn't tried twice.
    """
    setting = {"family": family, "mode": mode, "batch": batch, "size": args.size}
    absent = {
        failure["side"]: failure for failure in left_out if failure["reason"] == "not installed"
    }
    workers: dict[str, Worker] = {}
    try:
        for side in args.sides:
            if side in absent:
                left_out.append(absent[side] | setting)
                continue
            say(f"{family} {mode}: {side}, batch {batch}")
            python = sys.executable if side == "jaxaction" else args.peer_python
            arguments = [side, family, mode, str(batch), str(args.size), args.dtype]
            workers[side] = Worker(python, arguments)
            workers[side].begin()
        for _ in range(args.rounds):
            for worker in workers.values():
                worker.take(args.steps)
    finally:
        for worker in workers.values():
            worker.end()
    yardstick = workers["jaxaction"].yardstick if "jaxaction" in workers else {}
    for side, worker in workers.items():
        if reason := worker.left_out:
            left_out.append(setting | {"side": side} | reason)
            say(f"{family} {mode}: {side} left out: {reason['reason']} ({reason['details']})")
        else:
            rows.append(setting | yardstick | {"dtype": args.dtype} | row(side, worker))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def row(side: str, worker: Worker) -> dict:
    return {
        "side": side,
        "versions": worker.versions,
        "seconds": worker.seconds,
        "first_step_s": worker.first_step_s,
        "peak_bytes": worker.peak_bytes,
    }


def write(args: argparse.Namespace, rows: list[dict], left_out: list[dict]) -> None:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    run = {"machine": describe(), "arguments": settings(args)}
    content = run | {"left_out": left_out, "rows": rows}
    args.out.write_text(json.dumps(content, indent=1) + "\n")


def clips_per_second(row: dict) -> float:
    return row["batch"] / statistics.median(row["seconds"])


def work(row: dict, rate: float) -> tuple[str, str]:
    """The model's GFLOPs a clip, and the FLOPs over what matrix products would do in the time.

    Empty where they were not measured. Above 100 % where an algorithm takes fewer than the model
    counts.
    """
    if "flops" not in row:
        return "", ""
    share = row["flops"] / statistics.median(row["seconds"]) / rate
    return f"{row['flops'] / row['batch'] / 1e9:.0f}", f"{share:.0%}"


def table(rows: list[dict]) -> str:
    """Markdown: a line for each network and side, with this project's speed over the side's."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    rate = max((r.get("flops_per_second", 0) for r in rows), default=0)  # others were disturbed
    ours = {key(r): clips_per_second(r) for r in rows if r["side"] == "jaxaction"}
    ratios: dict[tuple[str, str], list[float]] = {}
    for r in rows:
        speed, ratio = clips_per_second(r), ""
        if r["side"] != "jaxaction" and key(r) in ours:
            ratios.setdefault((r["mode"], r["side"]), []).append(ours[key(r)] / speed)
            ratio = f"{ours[key(r)] / speed:.2f}"
        gflops, share = work(r, rate)
        network = f"{r['family']} {r['mode']} | {FAMILIES[r['family']].frames} | {gflops}"
        lines.append(
            f"| {network} | {r['batch']} | {r['side']} | {speed:.2f} | {ratio}"
            f" | {share} | {r['first_step_s']:.1f} | {r['peak_bytes'] / 2**30:.2f} |"
        )
    means = [
        f"geometric mean, {mode} against {side}: {statistics.geometric_mean(values):.2f}"
        for (mode, side), values in ratios.items()
    ]
    return "\n".join([*lines, "", notes(rate), "", *means])


def notes(rate: float) -> str:
    """What the columns of the table mean."""
    lines = [
        "Ours / theirs: clips/s of jaxaction over that side's; above 1, jaxaction is faster.",
        "First step: from the start of the process; imports, building and compiling included.",
    ]
    if rate:
        lines += [
            "Column \"of the rate\": the model's FLOPs (training: three times inference's) in the"
            " time, over "
            f"{rate / 1e9:.0f} GFLOP/s,",
            "the highest that a product of large matrices reached in these runs.",
        ]
    return "\n".join(lines)


def key(row: dict) -> tuple:
    return row["family"], row["mode"], row["batch"], row["size"]


if __name__ == "__main__":
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # sides share the GPU
    entry.run_main(main)
