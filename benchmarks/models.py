"""Times the six networks against MMAction2 and pytorchvideo, inference and training step.

    python -m benchmarks.models [--batch 2] [--peer-python PYTHON] [--families slowfast,i3d] ...

Every network of every side is a process of its own; they take their steps in turn, so that what
else the machine does hits all alike. Random data. Prints medians and ratios as a Markdown table,
and writes every sample to a JSON file. Peers that are not installed are left out, with a word.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.families import FAMILIES
from benchmarks.machine import describe, settings

SIDES = ("jaxaction", "mmaction2", "mmaction2-compile", "pytorchvideo", "pytorchvideo-compile")
MODES = ("inference", "training")
COLUMNS = ("network", "batch", "side", "clips/s", "ours / theirs", "of the rate")
COLUMNS += ("first step, s", "peak, GiB")


class Worker:
    """A process of `benchmarks.worker`; `missing` says why it can't take steps, if it can't."""

    def __init__(self, python: str, arguments: list[str]):
        begin = time.monotonic()
        command = [python, "-m", "benchmarks.worker", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        first = self._read()
        self.first_step_s = time.monotonic() - begin
        self.missing, self.versions = first.get("missing", ""), first.get("versions", {})
        self.seconds: list[float] = []
        self.peak_bytes = 0
        self.yardstick: dict[str, float] = {}
        if not self.missing:
            self.yardstick = self._read()
            self.missing = self.yardstick.get("missing", "")

    def take(self, steps: int) -> None:
        """Takes one step that does not count, to have the caches its own, and `steps` that do."""
        self.process.stdin.write(f"{steps + 1}\n")
        self.process.stdin.flush()
        found = self._read()
        self.seconds += found["seconds"][1:]
        self.peak_bytes = found["peak_bytes"]

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> dict:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return {"missing": f"failed with exit code {self.process.wait()}, see above"}


def main(argv: list[str]) -> None:
    args = parse(argv)
    rows = []
    for batch in args.batch:
        for family in args.families:
            for mode in args.modes:
                rows += compare(args, family, mode, batch)
                write(args, rows)
    print("\n" + table(rows))


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.models", description=__doc__.split("\n")[0])
    listed = {"type": lambda text: text.split(",")}
    parser.add_argument("--batch", type=lambda t: [int(b) for b in t.split(",")], default=[2])
    parser.add_argument("--families", **listed, default=list(FAMILIES))
    parser.add_argument("--modes", **listed, default=list(MODES))
    parser.add_argument("--sides", **listed, default=list(SIDES))
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every side")
    parser.add_argument("--steps", type=int, default=2, help="counted steps a turn")
    parser.add_argument("--peer-python", default=sys.executable, help="the peers' interpreter")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/models.json"))
    args = parser.parse_args(argv)
    for name, known in (("families", FAMILIES), ("modes", MODES), ("sides", SIDES)):
        unknown = [value for value in getattr(args, name) if value not in known]
        if unknown:
            parser.error(f"--{name} {unknown[0]} is none of {', '.join(known)}")
    return args


def compare(args: argparse.Namespace, family: str, mode: str, batch: int) -> list[dict]:
    """One row a side: its samples, time to the first step and peak memory."""
    workers: dict[str, Worker] = {}
    for side in args.sides:
        python = sys.executable if side == "jaxaction" else args.peer_python
        arguments = [side, family, mode, str(batch), str(args.size), args.dtype]
        worker = Worker(python, arguments)
        if worker.missing:
            print(f"{family} {mode}: {side} left out: {worker.missing}", file=sys.stderr)
            worker.end()
        else:
            workers[side] = worker
    for _ in range(args.rounds):
        for worker in workers.values():
            worker.take(args.steps)
    for worker in workers.values():
        worker.end()
    about = {"family": family, "mode": mode, "batch": batch, "size": args.size}
    about |= workers["jaxaction"].yardstick if "jaxaction" in workers else {}
    return [about | {"dtype": args.dtype} | row(side, worker) for side, worker in workers.items()]


def row(side: str, worker: Worker) -> dict:
    return {
        "side": side,
        "versions": worker.versions,
        "seconds": worker.seconds,
        "first_step_s": worker.first_step_s,
        "peak_bytes": worker.peak_bytes,
    }


def write(args: argparse.Namespace, rows: list[dict]) -> None:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    whole = {"machine": describe(), "arguments": settings(args), "rows": rows}
    args.out.write_text(json.dumps(whole, indent=1) + "\n")


def clips_per_second(row: dict) -> float:
    return row["batch"] / statistics.median(row["seconds"])


def utilisation(row: dict, rate: float) -> str:
    """The model's FLOPs over what matrix products would do in the time; empty if not measured.

    Above 100 % where an algorithm takes fewer than the model counts.
    """
    return f"{row['flops'] / statistics.median(row['seconds']) / rate:.0%}" if rate else ""


def table(rows: list[dict]) -> str:
    """Markdown: a line for each network and side, with this project's speed over the side's."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    rate = max(r.get("flops_per_second", 0) for r in rows)  # the others were disturbed
    ours = {key(r): clips_per_second(r) for r in rows if r["side"] == "jaxaction"}
    ratios: dict[tuple[str, str], list[float]] = {}
    for r in rows:
        speed, ratio = clips_per_second(r), ""
        if r["side"] != "jaxaction" and key(r) in ours:
            ratios.setdefault((r["mode"], r["side"]), []).append(ours[key(r)] / speed)
            ratio = f"{ours[key(r)] / speed:.2f}"
        lines.append(
            f"| {r['family']} {r['mode']} | {r['batch']} | {r['side']} | {speed:.2f} | {ratio}"
            f" | {utilisation(r, rate)} | {r['first_step_s']:.1f} | {r['peak_bytes'] / 2**30:.2f} |"
        )
    means = [
        f"geometric mean, {mode} against {side}: {statistics.geometric_mean(values):.2f}"
        for (mode, side), values in ratios.items()
    ]
    return "\n".join([*lines, "", *means])


def key(row: dict) -> tuple:
    return row["family"], row["mode"], row["batch"], row["size"]


if __name__ == "__main__":
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # sides share the GPU
    main(sys.argv[1:])
