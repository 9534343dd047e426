"""The contents of a report, as read from a run's directory."""

import json
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.errors import InputError
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.storage import checkpoint, history, workdir


class Contents(NamedTuple):
    """A run: its config, its curves and its newest test.

    `curves` maps names such as "train/loss" to `{step: value}`. `test` is None and `record` empty
    before the first test.
    """

    name: str
    config: ConfigDict
    curves: dict[str, dict[int, float]]
    test: Evaluation | None
    label_names: tuple[str, ...]
    record: dict  # eval/test.json
    result: str  # the line with the test's accuracies

    @property
    def dataset(self) -> dict:
        """The values of `config.data` that the test used."""
        return self.record.get("about", {}).get("dataset", {})

    def label(self, number: int) -> str:
        """Returns a class's name, or its number if it has none."""
        return self.label_names[number] if number < len(self.label_names) else str(number)


def read(folder: str) -> Contents:
    """Reads a run's config, curves and newest test; InputError for no run, or a damaged one."""
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
    """Reads `config.json`; without it (converted weights) the config of the newest checkpoint."""
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
