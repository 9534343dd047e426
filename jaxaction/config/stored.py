"""Converts a config to the JSON in a run's directory and back, also from earlier versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxaction.config import defaults
from jaxaction.version import VERSION

ORIGIN = "written"  # the key that holds the version and the directory, beside the sections
FIRST_VERSION = "0.1.0"  # it kept neither


class Change(NamedTuple):
    """A key that a version renamed, removed, or gave another meaning.

    A config of an earlier version loses the key `old`. If `new` is set, that key gets
    `translate(value)`. With `new` alone, `translate(None)` is the value that does what earlier
    versions did.
    """

    version: str  # the first one with the change
    old: str = ""
    new: str = ""
    translate: Callable[[Any], Any] = lambda value: value


# Every change of a key since version 0.1.0, oldest first. A key that was only added needs no row if
# its default does what earlier versions did.
CHANGES: tuple[Change, ...] = ()


class StoredConfig(NamedTuple):
    """A config that was read from a run's directory, and where it comes from."""

    config: ConfigDict  # with the keys of this version
    version: str  # the version that wrote it
    workdir: str  # the absolute directory that it was written in; empty before version 0.2.0


def to_json(config: ConfigDict, workdir: str) -> dict:
    """The config as JSON values, with our version and the run's directory."""
    origin = {"version": VERSION, "workdir": str(Path(workdir).absolute())}
    return {ORIGIN: origin} | to_dict(config)


def from_json(values: dict) -> StoredConfig:
    """The config that `to_json` stored; a key that its version did not have takes its default."""
    sections = dict(values)
    origin = {"version": FIRST_VERSION, "workdir": ""} | sections.pop(ORIGIN, {})
    upgraded = _upgrade(sections, origin["version"])
    config = from_dict(_with_defaults(upgraded))
    return StoredConfig(config, origin["version"], origin["workdir"])


def to_dict(config: ConfigDict) -> dict:
    """The config as JSON values; `from_dict` gives it back, tuples included."""
    return json.loads(config.to_json())


def from_dict(values: dict) -> ConfigDict:
    """The config that `to_dict` wrote. A config holds no lists, so every list was a tuple."""
    return ConfigDict(tuples(values))


def tuples(value: Any) -> Any:
    """JSON values with every list, however deep, as a tuple."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def number(version: str) -> tuple[int, ...]:
    """A version for comparison; what is not a number counts as 0.

    >>> number("0.10.0") > number("0.9.1")
    True
    """
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _upgrade(values: dict, version: str) -> dict:
    """The values with every change that came after `version`."""
    flat = _flatten(values)
    for change in CHANGES:
        if number(version) >= number(change.version) or (change.old and change.old not in flat):
            continue
        value = flat.pop(change.old, None)
        if change.new:
            flat[change.new] = change.translate(value)
    return _nest(flat)


def _with_defaults(values: dict) -> dict:
    """Adds the default of every key that an existing section lacks, and `compute`, `init_from`.

    `model` stays as it is: the network's class has its defaults. A key of `val` or `test` that
    follows a key of `data` by default takes that key's value.
    """
    full = defaults.motions({})
    for name in ("data", "train", "optim", "val", "test"):
        section = values.get(name, {})
        known = {key: value for key, value in section.items() if key in full[name]}
        with full[name].ignore_type():
            full[name].update(tuples(known))
    lacking = to_dict(full)
    filled = {}
    for name, section in values.items():
        is_section = isinstance(section, dict) and name != "model"
        filled[name] = lacking.get(name, {}) | section if is_section else section
    for name in ("compute", "init_from"):
        filled.setdefault(name, lacking[name])
    return filled


def _flatten(values: dict) -> dict[str, Any]:
    flat = {}
    for name, section in values.items():
        if isinstance(section, dict):
            flat |= {f"{name}.{key}": value for key, value in section.items()}
        else:
            flat[name] = section
    return flat


def _nest(flat: dict[str, Any]) -> dict:
    values: dict = {}
    for key, value in flat.items():
        section, dot, name = key.partition(".")
        if dot:
            values.setdefault(section, {})[name] = value
        else:
            values[key] = value
    return values
