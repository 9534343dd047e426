"""Converts a config to the JSON in a run's directory and back, also from earlier versions."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ml_collections import ConfigDict

from jaxaction.config import defaults
from jaxaction.version import VERSION

ORIGIN = "written"  # the key of version and directory, next to the sections
FIRST_VERSION = "0.1.0"  # it stored neither

Json: TypeAlias = Any  # a value of json.loads; its lists may be tuples


class Change(NamedTuple):
    """A key that a version renamed, removed, or gave another meaning.

    A config of an earlier version loses the key `old`. If `new` is set, that key gets
    `translate(value)`. With `new` alone, `translate(None)` is the value that does what earlier
    versions did.
    """

    version: str  # the first one with the change
    old: str = ""
    new: str = ""
    translate: Callable[[Json], Json] = lambda value: value


# Every change of a key since version 0.1.0, oldest first. A key that was only added needs no row if
# its default does what earlier versions did.
CHANGES: tuple[Change, ...] = ()


class StoredConfig(NamedTuple):
    """A config that was read from a run's directory, and its origin."""

    config: ConfigDict  # with the keys of this version
    version: str  # the version that wrote it
    workdir: str  # the run's absolute directory at that time; empty before version 0.2.0


def to_json(config: ConfigDict, workdir: str) -> dict[str, Json]:
    """Returns the config as JSON values, with our version and the run's directory."""
    origin = {"version": VERSION, "workdir": str(Path(workdir).absolute())}
    return {ORIGIN: origin} | to_dict(config)


def from_json(values: Mapping[str, Json]) -> StoredConfig:
    """Returns the config that `to_json` stored.

    A key that its version did not have gets the default.
    """
    sections = dict(values)
    origin = {"version": FIRST_VERSION, "workdir": ""} | sections.pop(ORIGIN, {})
    upgraded = _upgrade(sections, origin["version"])
    config = from_dict(_with_defaults(upgraded))
    return StoredConfig(config, origin["version"], origin["workdir"])


def to_dict(config: ConfigDict) -> dict[str, Json]:
    """Returns the config as JSON values; `from_dict` restores it, tuples included."""
    return json.loads(config.to_json())


def from_dict(values: Mapping[str, Json]) -> ConfigDict:
    """Returns the config of which `to_dict` made `values`."""
    # JSON has no tuples. A config contains no lists, so every list was one.
    return ConfigDict(tuples(values))


def tuples(value: Json) -> Json:
    """Returns JSON values with all lists, also nested ones, as tuples."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def number(version: str) -> tuple[int, ...]:
    """Returns a version in a form that can be compared; a part that is no number counts as 0.

    >>> number("0.10.0") > number("0.9.1")
    True
    """
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _upgrade(values: Mapping[str, Json], version: str) -> dict[str, Json]:
    """Returns the values after every change of a key that came after `version`."""
    flat = _flatten(values)
    for change in CHANGES:
        if number(version) >= number(change.version) or (change.old and change.old not in flat):
            continue
        value = flat.pop(change.old, None)
        if change.new:
            flat[change.new] = change.translate(value)
    return _nest(flat)


def _with_defaults(values: Mapping[str, Json]) -> dict[str, Json]:
    """Returns the values, and the default of every key that an existing section lacks.

    `model` stays as it is, since the network's class has its own defaults. A key of `val` or `test`
    that follows a key of `data` by default gets that key's value. `compute` and `init_from` are
    added too.
    """
    # The stored values go into the defaults first, so that keys that follow others see them.
    full = defaults.motions({})
    for name in ("data", "train", "optim", "val", "test"):
        section = values.get(name, {})
        known = {key: value for key, value in section.items() if key in full[name]}
        with full[name].ignore_type():  # types were checked when they were set
            full[name].update(tuples(known))
    lacking = to_dict(full)
    filled = {}
    for name, section in values.items():
        is_section = isinstance(section, dict) and name != "model"
        filled[name] = lacking.get(name, {}) | section if is_section else section
    for name in ("compute", "init_from"):
        filled.setdefault(name, lacking[name])
    return filled


def _flatten(values: Mapping[str, Json]) -> dict[str, Json]:
    flat = {}
    for name, section in values.items():
        if isinstance(section, dict):
            flat |= {f"{name}.{key}": value for key, value in section.items()}
        else:
            flat[name] = section
    return flat


def _nest(flat: Mapping[str, Json]) -> dict[str, Json]:
    values: dict[str, Json] = {}
    for key, value in flat.items():
        section, dot, name = key.partition(".")
        if dot:
            values.setdefault(section, {})[name] = value
        else:
            values[key] = value
    return values
