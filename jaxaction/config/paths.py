"""Finds the files that a config names, also after a run has moved."""

import os
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction import files
from jaxaction.errors import InputError

LISTS = ("data.train_file", "data.test_file")
KEYS = (*LISTS, "data.root", "data.data_dir", "init_from")


class Relocated(NamedTuple):
    """The stored paths whose files are elsewhere now, and those whose files were not found."""

    moved: dict[str, str]  # new paths, {"data.test_file": "/new/test.txt"}
    missing: dict[str, list[str]]  # the paths that were tried, by key


def make_absolute(config: ConfigDict) -> None:
    """Makes every path of the config absolute, so that it is right wherever a command is started.

    `~` and environment variables are replaced (`files.expand`). Addresses with a scheme (`gs://`)
    stay as they are, and so does an `init_from` that does not exist.
    """
    for key in KEYS:
        value = _get(config, key)
        if not value or "://" in value:
            continue
        value = files.expand(value)
        if key != "init_from" or Path(value).exists():
            _set(config, key, os.path.abspath(value))


def relocate(config: ConfigDict, workdir: str, written_in: str) -> Relocated:
    """Sets every path of a stored config to where its file is now.

    `workdir` is the run's directory. `written_in` was its directory when the config was written;
    empty: unknown. A path stays as it is if its file is not found.
    """
    result = Relocated({}, {})
    for key in KEYS:
        value = _get(config, key)
        if not value or "://" in value:
            continue
        candidates = places(value, workdir, written_in)
        there = next((place for place in candidates if os.path.exists(place)), "")
        if not there:
            result.missing[key] = candidates
        elif there != value:
            _set(config, key, there)
            result.moved[key] = there
    return result


def places(value: str, workdir: str, written_in: str) -> list[str]:
    """Returns the absolute paths where the file of a stored path may be, the likeliest first.

    If the run has moved, a file may have moved with it, so its place relative to the run counts
    too. A relative path (version 0.1.0 stored them) may start at the current folder, the run's
    directory, or any folder above that.
    """
    run = Path(workdir).absolute()
    if os.path.isabs(value):
        candidates = [value]
        if written_in:
            candidates.append(os.path.normpath(run / os.path.relpath(value, written_in)))
    else:
        candidates = [str(folder / value) for folder in (Path.cwd(), run, *run.parents)]
    return list(dict.fromkeys(candidates))


def check_list(key: str, missing: dict[str, list[str]]) -> None:
    """Raises InputError if the list of videos that `key` names is missing."""
    if key in missing:
        looked = ", ".join(missing[key])
        raise InputError(f"{key} is not found (looked at {looked}); set --config.{key}=FILE")


def same_file(ours: str, theirs: str) -> bool:
    """Whether two paths lead to one file."""
    return ours == theirs or os.path.realpath(ours) == os.path.realpath(theirs)


def _get(config: ConfigDict, key: str) -> str:
    section, dot, name = key.partition(".")
    found = config.get(section, "")
    return (found.get(name, "") if dot else found) or ""


def _set(config: ConfigDict, key: str, value: str) -> None:
    section, dot, name = key.partition(".")
    if dot:
        config[section][name] = value
    else:
        config[section] = value
