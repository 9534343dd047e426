"""Reads and writes `metrics.jsonl` in a run's directory, the run's metrics.

Each line is a JSON object:

    {"step": 30, "wall_time": 1760000000.5, "train/loss": 0.41, "train/accuracy": 0.87}

A step may have several lines (progress, validation, test), but each metric only once. A value that
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
    """Appends lines to the file of a run that starts or continues after `first_step`.

    Lines of later steps, which an interrupted run has written, are removed first, and so is a line
    that a crash cut off. InputError if the file can't be written.
    """

    def __init__(self, workdir: str, first_step: int) -> None:
        self._path = Path(workdir) / NAME
        self._first_step = first_step
        _keep_lines(self._path, lambda step, row: step <= first_step)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Writes a line, and closes the file, so that a crash loses nothing."""
        if step == self._first_step:  # a finished run that is tested again
            _keep_lines(
                self._path, lambda other, row: other != step or not row.keys() & values.keys()
            )
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = json.dumps({"step": step, "wall_time": time.time()} | finite)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise InputError(
                f"{self._path} can't be written ({error.strerror}); check the disk and its free"
                " space, then repeat the command, which continues from the newest checkpoint"
            ) from error


def curves(workdir: str) -> dict[str, dict[int, float]]:
    """Returns the metrics of a run, `{name: {step: value}}`, in the order of the steps.

    Values that are not finite are left out. Empty without a `metrics.jsonl`.
    """
    values_by_name = {}
    rows = [(step, row) for _, step, row in _complete_rows(Path(workdir) / NAME)]
    for step, row in sorted(rows, key=lambda item: item[0]):
        for name, value in row.items():
            if name not in ("step", "wall_time") and isinstance(value, int | float):
                values_by_name.setdefault(name, {})[step] = value
    return values_by_name


def _keep_lines(path: Path, wanted: Callable[[int, Row], bool]) -> None:
    """Removes incomplete lines and those for which `wanted(step, row)` is false."""
    lines = (line for line, step, row in _complete_rows(path) if wanted(step, row))
    text = "".join(line + "\n" for line in lines).encode()
    if path.exists() and path.read_bytes() != text:
        write_atomically(path, lambda file: file.write(text))


def _complete_rows(path: Path) -> Iterator[tuple[str, int, Row]]:
    """Yields the complete lines, each as its text, its step and its object."""
    if not path.exists():
        return
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield line, row["step"], row
