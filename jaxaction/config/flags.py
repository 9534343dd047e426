"""Parses the command lines of `train.py` and `eval.py`: `--flag value` and `--config.key=value`.

They look like the flags of absl and ml_collections. Both libraries answer a misspelt key, an
unknown variant or a value of the wrong type with a traceback or several lines and exit code 1, and
keep the flags in module-level state. Here each mistake is an `InputError`: one line with the
nearest right name, and exit code 2.
"""

import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.config import flag_values, key_hints, shipped
from jaxaction.errors import InputError
from jaxaction.runtime import distributed

_GROUP_HELP = """\
  --coordinator HOST:PORT --process-id N --processes N
                           for a run of several processes that are started by hand: the address of
                           the first one, this one's number from 0 on, and how many there are
                           (default: a single process, or those of a known launcher)"""
TRAIN_FLAGS = "--config FILE[:VARIANT] [--workdir DIR] [--config.key=value ...]"
TRAIN_FLAGS += f" {distributed.USAGE}"
TRAIN_HELP = f"""
Trains the network of a config. If DIR has checkpoints, the run continues from the newest one.

  --config FILE[:VARIANT]  a Python file with get_config(variant), or the name of a config in
                           the package: {", ".join(shipped.FAMILIES)}
                           (`jaxaction zoo` lists their variants)
  --workdir DIR            the run's directory (default: runs/<config>[-<variant>])
  --config.key=value       sets a value of the config; docs/config.md explains every key, and
                           `jaxaction zoo NAME --copy FILE.py` writes all keys and values to a file
{_GROUP_HELP}"""
EVAL_FLAGS = f"--workdir DIR [--out DIR] [--config.key=value ...] {distributed.USAGE}"
EVAL_HELP = f"""
Tests the newest checkpoint of a run. The run's own test data and protocol are the default.

  --workdir DIR            the run's directory; the result is written to DIR/eval/
  --out DIR                the folder for the result (default: DIR/eval/ of the run)
  --config.key=value       changes a value of the stored config, such as protocol or data set;
                           docs/config.md explains every key
{_GROUP_HELP}"""


class TrainFlags(NamedTuple):
    """The parsed command line of `train.py`."""

    config: ConfigDict
    config_name: str  # "slowfast" or "slowfast-r50_8x8"
    workdir: str


class EvalFlags(NamedTuple):
    """The parsed command line of `eval.py`."""

    workdir: str
    overrides: dict[str, str]  # {"test.crops": "center"}: the text as it was given
    out: str  # the folder for the result; empty: the run's own


def parse_train(argv: Sequence[str], program: str = "train.py") -> TrainFlags:
    """Returns the config with its overrides, its name, and the run's directory.

    `argv` has no program name. Without `--workdir` the directory is `runs/<config>[-<variant>]`.
    `--help` prints the usage of `program` and exits with code 0. InputError for a mistake.
    """
    usage = f"{program} {TRAIN_FLAGS}"
    flags, overrides = _split(argv, ("config", "workdir"), usage, TRAIN_HELP)
    if not flags.get("config"):
        raise InputError(f"--config is missing; usage: {usage}")
    file, variant = split_variant(flags["config"])
    config = apply_overrides(load_config(file, variant), overrides)
    name = Path(file).stem + (f"-{variant}" if variant else "")
    return TrainFlags(config, name, flags.get("workdir") or f"runs/{name}")


def parse_eval(argv: Sequence[str], program: str = "eval.py") -> EvalFlags:
    """Returns the run's directory, and the overrides of its stored config; see `parse_train`."""
    usage = f"{program} {EVAL_FLAGS}"
    flags, overrides = _split(argv, ("workdir", "out"), usage, EVAL_HELP)
    if not flags.get("workdir"):
        raise InputError(f"--workdir is missing; usage: {usage}")
    return EvalFlags(flags["workdir"], overrides, flags.get("out", ""))


def take_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Returns the arguments without `--config.key=value`, and the overrides `{key: value}`."""
    others, overrides, args = [], {}, iter(argv)
    for arg in args:
        if not arg.startswith("--config."):
            others.append(arg)
            continue
        key, equals, value = arg.removeprefix("--config.").partition("=")
        if not equals:
            value = next(args, "--")
            if value.startswith("--"):
                raise InputError(f"{arg}: the value is missing; write {arg}=VALUE")
        overrides[key] = value
    return others, overrides


def load_config(file: str, variant: str = "") -> ConfigDict:
    """Returns `get_config(variant)` of a Python file, or of the shipped config of that name.

    The file can import modules from the parent of its folder, as in `from configs import common`,
    wherever the program was started. InputError names files with a similar name if the file is
    missing, and a variant that the file refuses.
    """
    path = _config_path(file)
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--config {file}: not a Python file; give one with get_config(variant)")
    module = importlib.util.module_from_spec(spec)
    parent = path.resolve().parent.parent
    # Not for configs inside the installed package: its subpackages, such as `data`, would become
    # top-level modules.
    if parent != shipped.PACKAGE and str(parent) not in sys.path:
        sys.path.append(str(parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"--config {file}: not Python, {error}") from None
    if not hasattr(module, "get_config"):
        raise InputError(f"--config {file}: the file has no function get_config(variant)")
    return _call_get_config(module.get_config, file, variant)


def apply_overrides(config: ConfigDict, overrides: dict[str, str]) -> ConfigDict:
    """Sets each `{"section.key": text}`, read as the type of the key's value; returns `config`.

    Keys that follow another one change with it. InputError for a key that the config doesn't have,
    a section, or a value of another type; the config is unchanged then.
    """
    changes = []  # all values are parsed before the first one is set
    for key, text in overrides.items():
        section, name = find(config, key)
        changes.append((section, name, flag_values.parse(f"--config.{key}", text, section[name])))
    for section, name, value in changes:
        section[name] = value
    return config


def find(config: ConfigDict, key: str) -> tuple[ConfigDict, str]:
    """Returns the section that contains `key`, and the key's last part.

    InputError if there is no such key.
    """
    paths = flatten(config)
    if key not in paths:
        sections = {path.rpartition(".")[0] for path in paths}
        if key in sections or any(name.startswith(f"{key}.") for name in sections):
            inside = ", ".join(path for path in paths if path.startswith(f"{key}."))
            raise InputError(f"--config.{key} is a section; set one of its keys: {inside}")
        raise InputError(f"--config.{key}: the config has no such key{key_hints.hint(key, paths)}")
    *sections, name = key.split(".")
    for part in sections:
        config = config[part]
    return config, name


def _split(
    argv: Sequence[str], known: tuple[str, ...], usage: str, help_text: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the values of the `known` flags, and the overrides; the last value of each counts."""
    args, overrides = take_overrides(argv)
    flags = {}
    while args:
        arg = args.pop(0)
        if arg in ("-h", "--help", "--helpfull"):
            print(f"usage: {usage}\n{help_text}")
            sys.exit(0)
        if not arg.startswith("--"):
            raise InputError(f"{arg}: unexpected argument; usage: {usage}")
        name, equals, value = arg[2:].partition("=")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --{close[0]}?" if close else f"usage: {usage}"
            raise InputError(f"--{name}: unknown flag; {hint}")
        if not equals:
            if not args or args[0].startswith("--"):
                raise InputError(f"--{name}: the value is missing; write --{name}=VALUE")
            value = args.pop(0)
        if not value:
            raise InputError(f"--{name} is empty; give a value, or leave --{name} out")
        flags[name] = value
    return flags, overrides


def split_variant(text: str) -> tuple[str, str]:
    """Returns file and variant of `FILE[:VARIANT]`."""
    # A path may contain colons, so the first one after .py counts. A config's name has no .py.
    match = re.fullmatch(r"(.*?\.py)(?::(.*))?", text)
    file, variant = match.groups("") if match else (text.partition(":")[0], text.partition(":")[2])
    return file, variant


def _config_path(text: str) -> Path:
    """Returns the existing file that `--config` names."""
    if shipped.has(text):
        return shipped.folder() / f"{text}.py"
    if not Path(text).is_file():
        kind = "shipped config" if shipped.is_name(text) else "file"
        raise InputError(f"--config {text}: no such {kind}{_similar_files(text)}")
    return Path(text)


def _similar_files(text: str) -> str:
    """Returns `; there is ...` with files of the same folder, or shipped configs.

    Files with a similar name are listed, or all if there is none.
    """
    path = Path(text)
    folder = path.parent if path.parent.is_dir() and path.parent != Path() else Path("configs")
    candidates = {file.stem: str(file) for file in folder.glob("*.py")}
    if shipped.is_name(text):
        candidates = {name: name for name in shipped.FAMILIES}
        candidates |= {text: f"{text}.py"} if Path(f"{text}.py").is_file() else {}
    close = difflib.get_close_matches(path.stem, candidates, n=3, cutoff=0.5)
    names = close or sorted(candidates)[:12]
    return "; there is " + ", ".join(candidates[name] for name in names) if names else ""


def _call_get_config(get_config: Callable, file: str, variant: str) -> ConfigDict:
    if not variant:
        return get_config()
    if not inspect.signature(get_config).parameters:
        raise InputError(f"--config {file}:{variant}: this config has no variants; drop :{variant}")
    try:
        return get_config(variant)
    except KeyError as error:
        raise InputError(f"--config {file}:{variant}: unknown variant {variant!r}") from error
    except ValueError as error:
        raise InputError(f"--config {file}:{variant}: {error}") from error


def flatten(config: ConfigDict, prefix: str = "") -> list[str]:
    """Returns the dotted names of all values of a config, in the config's order."""
    names = []
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            names += flatten(value, f"{prefix}{key}.")
        else:
            names.append(f"{prefix}{key}")
    return names
