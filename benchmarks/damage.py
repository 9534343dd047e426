"""Damages each file of a run's newest checkpoint in turn, and looks at what is restored then."""

import random
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxaction.errors import InputError
from jaxaction.storage import checkpoint


def everything(workdir: Path, step: int = 0) -> dict:
    """All that a run's checkpoint holds: arrays and `meta`, but for the run's own directory.

    A `step` of 0 is the newest good checkpoint.
    """
    step = step or checkpoint.newest_good(str(workdir), str)
    items = {name: ocp.args.StandardRestore() for name in ("variables", "optimizer")}
    with ocp.CheckpointManager(workdir / "checkpoints") as manager:
        args = ocp.args.Composite(meta=ocp.args.JsonRestore(), **items)
        restored = manager.restore(step, args=args)
    del restored.meta["config"]["written"]  # names the directory
    return {"step": step, **dict(restored.items())}


def same(first: dict, second: dict) -> bool:
    """Whether both are the same to the last bit."""
    leaves, tree = jax.tree.flatten(first)
    others, other_tree = jax.tree.flatten(second)
    return tree == other_tree and all(map(np.array_equal, leaves, others))


def matrix(run: Path, rng: random.Random) -> dict[str, dict[str, int]]:
    """For each damage, how often it was named, was harmless, or was wrong.

    "named": an error named it, and an older checkpoint was used. "harmless": the same bits were
    restored. "wrong": other bits were restored without an error.
    """
    step = checkpoint.newest_good(str(run), str)
    folder, good = run / "checkpoints" / str(step), everything(run)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    table = {}
    for how, harm in damages(rng).items():
        table[how] = {"files": len(files), "named": 0, "harmless": 0, "wrong": 0}
        for path in files:
            content = path.read_bytes()
            harm(path)
            table[how][outcome(run, step, good)] += 1
            path.write_bytes(content)
    table["all checkpoints"] = all_damaged(run)
    return table


def damages(rng: random.Random) -> dict[str, Callable[[Path], None]]:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)

    return {"truncated": cut, "deleted": Path.unlink, "a bit flipped": flip}


def outcome(run: Path, step: int, good: dict) -> str:
    lines = []
    used = checkpoint.newest_good(str(run), lines.append)
    if used < step:
        return (
            "named"
            if any(f"checkpoints/{step} is not used: " in line for line in lines)
            else "wrong"
        )
    return "harmless" if same(everything(run, used), good) else "wrong"


def all_damaged(run: Path) -> dict[str, int]:
    """Empties a file of every checkpoint; the run must end in one line."""
    folders = [run / "checkpoints" / str(step) for step in checkpoint.steps(str(run))]
    for folder in folders:
        (folder / "variables" / "_METADATA").write_bytes(b"")
    try:
        checkpoint.newest_good(str(run), str)
    except InputError:
        return {"files": len(folders), "named": len(folders), "harmless": 0, "wrong": 0}
    return {"files": len(folders), "named": 0, "harmless": 0, "wrong": len(folders)}
