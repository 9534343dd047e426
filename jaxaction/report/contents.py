"""The contents of a report, read from a run's directory."""

import json
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.errors import InputError
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.storage import checkpoint, history, workdir


class Contents(NamedTuple):
    """A run, as read from its directory."""

    name: str
    config: ConfigDict
    curves: dict[str, dict[int, float]]
    test: Evaluation | None  # None before the first one
    label_names: tuple[str, ...]
    record: dict  # eval/test.json
    result: str  # the line of the test

    @property
    def dataset(self) -> dict:
        """The keys of `config.data` that the test was made with."""
        return self.record.get("about", {}).get("dataset", {})

    def label(self, number: int) -> str:
        """A class's name, its number where it has none."""
        return self.label_names[number] if number < len(self.label_names) else str(number)


def read(folder: str) -> Contents:
    """A run's config, curves and newest test. InputError if it is no run, or damaged."""
    test_json = Path(folder) / "eval" / "test.json"
    name = Path(folder).resolve().name
    config, curves = _config(folder), history.curves(folder)
    if not test_json.is_file():
        return Contents(name, config, curves, None, (), {}, "not tested yet")
    result = results.read(folder, "test")
    record = _json(test_json, "test again with eval.py")
    line = results.result_line("test", result.test)
    return Contents(name, config, curves, result.test, result.label_names, record, line)


def _config(folder: str) -> ConfigDict:
    """That of `config.json`, else, as for converted weights, of the newest checkpoint."""
    try:
        config = workdir.read_config(folder)
    except (OSError, ValueError) as error:
        path, way_out = Path(folder) / workdir.NAME, "remove it to take the newest checkpoint's"
        raise InputError(f"{path} can't be read ({error}); {way_out}") from error
    return checkpoint.load_run(folder).config if config is None else config


def _json(path: Path, way_out: str) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({error}); {way_out}") from error
