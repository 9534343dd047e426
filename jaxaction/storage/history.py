"""`metrics.jsonl` in a run's directory: what the run has measured, one JSON object a line.

    {"step": 30, "wall_time": 1760000000.5, "train/loss": 0.41, "train/accuracy": 0.87}

A step may have several lines (progress, validation, test), but each value only once. A value that
is not finite is stored as null, since JSON has no number for it.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxaction.errors import InputError
from jaxaction.files import write_atomically

NAME = "metrics.jsonl"
Row = dict[str, float | None]


class History:
    """The file, open for the lines of a run that goes on after `first_step`.

    Lines that an interrupted run has put there for later steps are dropped, and so is one that a
    crash cut off. InputError where the file can't be written.
    """

    def __init__(self, workdir: str, first_step: int) -> None:
        self._path = Path(workdir) / NAME
        self._first_step = first_step
        _keep_lines(self._path, lambda row: row["step"] <= first_step)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Writes a line, through to the file."""
        if step == self._first_step:  # a finished run that is tested again
            _keep_lines(
                self._path, lambda row: row["step"] != step or not row.keys() & values.keys()
            )
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = json.dumps({"step": step, "wall_time": time.time()} | finite)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise InputError(
                f"{self._path} can't be written ({error.strerror}); make room for it, and the same"
                " command goes on from the newest checkpoint"
            ) from error


def curves(workdir: str) -> dict[str, dict[int, float]]:
    """Every value that a run has measured, `{name: {step: value}}`, steps rising.

    What is not finite is left out; empty without a `metrics.jsonl`.
    """
    values_by_name = {}
    rows = [row for _, row in _complete_rows(Path(workdir) / NAME)]
    for row in sorted(rows, key=lambda row: row["step"]):
        for name, value in row.items():
            if name not in ("step", "wall_time") and isinstance(value, int | float):
                values_by_name.setdefault(name, {})[row["step"]] = value
    return values_by_name


def _keep_lines(path: Path, wanted: Callable[[Row], bool]) -> None:
    """Rewrites the file with the complete lines that are wanted; leaves it if nothing changes."""
    text = "".join(line + "\n" for line, row in _complete_rows(path) if wanted(row)).encode()
    if path.exists() and path.read_bytes() != text:
        write_atomically(path, lambda file: file.write(text))


def _complete_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The complete lines, each with the object that it holds."""
    if not path.exists():
        return
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield line, row
