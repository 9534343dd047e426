"""The keys of a config that name files, and where those files are once a run has moved."""

import os
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction import files
from jaxaction.errors import InputError

LISTS = ("data.train_file", "data.test_file")
KEYS = (*LISTS, "data.root", "data.data_dir", "init_from")


class Relocated(NamedTuple):
    """The stored paths that lead elsewhere now, and those that lead nowhere."""

    moved: dict[str, str]  # the new path of each key whose file has moved, {"data.test_file": ...}
    missing: dict[str, list[str]]  # for each key whose file was not found: the paths tried


def make_absolute(config: ConfigDict) -> None:
    """Makes every path of the config absolute, so that it holds wherever a command is started.

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

    `workdir` is the run's directory, `written_in` the one that it was in when it was written
    (empty: unknown). A path that is found nowhere stays.
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
    """Where the file of a stored path may be, the likeliest first, as absolute paths.

    An absolute path is also looked for where it lies relative to a run that has moved. A relative
    one (version 0.1.0) is looked for in the current folder, in the run's, and in all above it.
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
    """Raises InputError if the list of videos `key` is among the missing paths."""
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
