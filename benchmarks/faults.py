"""Disturbs a training run, and says what was lost: steps, checkpoints, bits.

    python -m benchmarks.faults [--disturbances 20] [--steps 1500] [--seed 0]

Trains a tiny network once without disturbance and once with `kill -9` at random moments, inside
saves too, SIGTERM and a full disk, each time going on by the same command; in the end compares all
that the last checkpoints hold. Then damages each file of a checkpoint in turn. The disk is a small
one where this process may mount it (as root), and elsewhere a limit for the size of files. The
defaults take about 7 minutes on two CPU cores.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks import damage
from benchmarks.command_line import Parser, at_least
from benchmarks.machine import describe, settings
from jaxaction.commands import entry
from jaxaction.storage import checkpoint
from tests import tiny_run

ROOT = Path(__file__).parent.parent
KINDS = ("kill -9", "kill -9 in a save", "SIGTERM", "full disk")
SHARES = (0.35, 0.25, 0.3, 0.1)
STEP = re.compile(r"^step (\d+)/", re.MULTILINE)
RULE = "|---|---|---|---|---|"
CONFIG = """
from pathlib import Path
from tests import tiny_run

def get_config():
    return tiny_run.config(Path(__file__).parent)
"""


class Disturbance(NamedTuple):
    """One disturbance and its effect."""

    kind: str
    moment_s: float  # since the process was started
    exit_code: int
    exit_s: float  # from the disturbance until the process was gone
    reached: int  # the last step that it told of; 0: none
    kept: int  # the step of the newest good checkpoint; 0: none
    lost: int  # steps to take again


def main(argv: list[str]) -> None:
    args = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(args, Path(folder))
    print(table(measured))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    circumstances = {"machine": describe(), "jax": jax.__version__, "arguments": settings(args)}
    args.out.write_text(json.dumps(circumstances | measured, indent=1) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("faults", __doc__)
    parser.add_argument("--disturbances", type=at_least(1), default=20, help="how many")
    parser.add_argument("--steps", type=at_least(30), default=1500, help="of the run")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the random moments")
    path = Path("runs/benchmarks/faults.json")
    parser.add_argument("--out", type=Path, default=path, help="the JSON file")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """Each disturbance, whether the parameters are the undisturbed ones, and the damages."""
    tiny_run.write_clips(folder)
    (folder / "tiny.py").write_text(CONFIG)
    rng = random.Random(args.seed)
    shares = (round(args.disturbances * share) for share in SHARES)
    kinds = [kind for kind, count in zip(KINDS, shares, strict=True) for _ in range(count)]
    rng.shuffle(kinds)
    undisturbed = folder / "undisturbed"
    say("the undisturbed run")
    finish(start(folder, undisturbed, args.steps))
    with small_disk(folder / "disk") as full:
        run, disturbances = folder / "disk" / "run", []
        for kind in kinds:
            say(f"{len(disturbances) + 1} of {len(kinds)}: {kind}")
            begin = partial(start, folder, run, args.steps)
            disturbances.append(disturb(kind, begin, run, full, rng))
        finish(start(folder, run, args.steps))
        same = damage.same(damage.everything(undisturbed), damage.everything(run))
        return {
            "disturbances": [each._asdict() for each in disturbances],
            "same_bits_in_the_end": same,
            "disk": "mounted" if full is fill else "limited file size",
            "damages": damage.matrix(run, rng),
        }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def start(folder: Path, workdir: Path, steps: int) -> subprocess.Popen:
    """`train.py` on the tiny config, with a line for every step and a save every tenth."""
    overrides = {"epochs": steps / 3, "log_every_steps": 1, "checkpoint_every_steps": 10}
    overrides |= {"eval_every_epochs": 5}
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(folder / "tiny.py")]
    command += ["--workdir", str(workdir)]
    command += [f"--config.train.{key}={value}" for key, value in overrides.items()]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": f"{folder}/xla"}
    env |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    # Into a file: a pipe that nobody reads would stop the process.
    with open(folder / "out.txt", "w") as out, open(folder / "err.txt", "w") as err:
        return subprocess.Popen(command, env=env, stdout=out, stderr=err)


def finish(process: subprocess.Popen) -> None:
    if process.wait():
        raise SystemExit(f"{' '.join(process.args)} ended with {process.returncode}")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable]:
    """Makes `folder` a disk of 8 MB; gives the way to fill it, or one that does as if."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        yield limit
        return
    try:
        yield fill
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(process: subprocess.Popen, run: Path) -> None:
    """Leaves no room on the run's disk until the process has ended."""
    ballast = run.parent / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while process.poll() is None:
            file.write(bytes(4096))
    process.wait()
    ballast.unlink()


def limit(process: subprocess.Popen, run: Path) -> None:
    """No file may grow beyond 9 kB, which a checkpoint has."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (9000, 9000))
    process.wait()


def disturb(
    kind: str, begin: Callable, run: Path, full: Callable, rng: random.Random
) -> Disturbance:
    """One process, disturbed in its first seconds, a quarter of them before its first step."""
    told, process, begun = run.parent.parent / "out.txt", begin(), time.monotonic()
    if kind == "kill -9 in a save" or rng.random() > 0.25:
        wait_for(lambda: STEP.search(told.read_text()), process)
    time.sleep(rng.uniform(0, 3))
    if kind == "kill -9 in a save":  # while Orbax writes, the directory has another name
        wait_for(lambda: list(run.glob("checkpoints/*tmp")), process)
        time.sleep(rng.uniform(0, 0.1))
    moment = time.monotonic()
    if kind == "full disk":
        full(process, run)
    else:
        process.send_signal(signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL)
    code, ended = process.wait(), time.monotonic()
    if code == 0:
        raise SystemExit("the run ended before it was disturbed; give more --steps")
    reached = max(map(int, STEP.findall(told.read_text())), default=0)
    kept = checkpoint.newest_good(str(run), lambda line: None) or 0
    times = (round(moment - begun, 2), code, round(ended - moment, 2))
    return Disturbance(kind, *times, reached, kept, max(0, reached - kept))


def wait_for(what: Callable, process: subprocess.Popen) -> None:
    while not what() and process.poll() is None:
        time.sleep(0.001)


def table(measured: dict) -> str:
    """What was lost, kind by kind, and what became of the damages."""
    rows = ["| disturbance | times | exit codes | seconds to the exit | steps lost |", RULE]
    for kind in KINDS:
        these = [each for each in measured["disturbances"] if each["kind"] == kind]
        if these:
            codes = ", ".join(sorted({str(each["exit_code"]) for each in these}))
            exits, lost = ([each[key] for each in these] for key in ("exit_s", "lost"))
            spread = f"{min(exits):.1f} to {max(exits):.1f}"
            rows.append(
                f"| {kind} | {len(these)} | {codes} | {spread} | {min(lost)} to {max(lost)} |"
            )
    same = "the same" if measured["same_bits_in_the_end"] else "OTHER"
    rows += ["", f"in the end: {same} bits as without disturbance", ""]
    rows += ["| damage to a file | files | named | harmless, same bits | wrong |", RULE]
    for how, counts in measured["damages"].items():
        rows.append("| " + " | ".join([how, *map(str, counts.values())]) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    entry.run_main(main)
