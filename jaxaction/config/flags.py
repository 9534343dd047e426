"""Command lines of `train.py` and `eval.py`: `--flag value` and `--config.key=value`.

They look like absl's with ml_collections' config flags, but are parsed here: absl answers a
misspelt key, an unknown variant or a value of the wrong type with a traceback or several lines and
exit code 1, and it keeps the flags in module-level state. Here each is an `InputError`, one line
with the nearest right name, which `run_main` turns into exit code 2.
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

from jaxaction.config import flag_values, shipped
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
    config: ConfigDict
    config_name: str  # "slowfast" or "slowfast-r50_8x8"
    workdir: str


class EvalFlags(NamedTuple):
    workdir: str
    overrides: dict[str, str]  # {"test.crops": "center"}: the text as it was given
    out: str  # the folder for the result; empty: the run's own


def parse_train(argv: Sequence[str], program: str = "train.py") -> TrainFlags:
    """The config with its overrides, its name, and the run's directory; `argv` without the program.

    Without `--workdir` the directory is `runs/<config>[-<variant>]`. `--help` prints the usage of
    `program` and leaves with exit code 0; anything that can't be used is an `InputError`.
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
    """The run's directory, and what `apply_overrides` shall change in its stored config."""
    usage = f"{program} {EVAL_FLAGS}"
    flags, overrides = _split(argv, ("workdir", "out"), usage, EVAL_HELP)
    if not flags.get("workdir"):
        raise InputError(f"--workdir is missing; usage: {usage}")
    return EvalFlags(flags["workdir"], overrides, flags.get("out", ""))


def take_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without `--config.key=value`, and what those say, for `apply_overrides`."""
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
    """Calls `get_config(variant)` of a Python file, or of the shipped config of that name.

    The folder that contains the file's own folder is searched for the modules that the file
    imports, wherever the program was started. `InputError` names a missing file's likely
    neighbours, and a variant that the file refuses.
    """
    path = _config_path(file)
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--config {file}: not a Python file; give one with get_config(variant)")
    module = importlib.util.module_from_spec(spec)
    parent = path.resolve().parent.parent
    # The installed package is no folder to import from: its rooms would be top-level modules.
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
    """`config` itself, changed: each `{"section.key": text}` read as the type the key has already.

    Keys that refer to another one follow it. A key that the config doesn't have, a section or a
    value of another type is an `InputError`, and nothing has been changed then.
    """
    changes = []
    for key, text in overrides.items():
        section, name = find(config, key)
        changes.append((section, name, flag_values.parse(f"--config.{key}", text, section[name])))
    for section, name, value in changes:
        section[name] = value
    return config


def find(config: ConfigDict, key: str) -> tuple[ConfigDict, str]:
    """The section that holds `key`, and the key's last part; InputError if there is no such key."""
    paths = flatten(config)
    if key not in paths:
        sections = {path.rpartition(".")[0] for path in paths}
        if key in sections or any(name.startswith(f"{key}.") for name in sections):
            inside = ", ".join(path for path in paths if path.startswith(f"{key}."))
            raise InputError(f"--config.{key} is a section; set one of its keys: {inside}")
        raise InputError(f"--config.{key}: the config has no such key{_nearest_key(key, paths)}")
    *sections, name = key.split(".")
    for part in sections:
        config = config[part]
    return config, name


def _split(
    argv: Sequence[str], known: tuple[str, ...], usage: str, help_text: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The values of the `known` flags, and those of `--config.key`; of a repeated one the last."""
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
    """`FILE[:VARIANT]` in two; the file's name ends in .py, so that a path may hold colons."""
    match = re.fullmatch(r"(.*?\.py)(?::(.*))?", text)
    file, variant = match.groups("") if match else (text.partition(":")[0], text.partition(":")[2])
    return file, variant


def _config_path(text: str) -> Path:
    """The file that `--config` names, which exists."""
    if shipped.has(text):
        return shipped.folder() / f"{text}.py"
    if not Path(text).is_file():
        kind = "shipped config" if shipped.is_name(text) else "file"
        raise InputError(f"--config {text}: no such {kind}{_similar_files(text)}")
    return Path(text)


def _similar_files(text: str) -> str:
    """The files of that folder, or the shipped configs, whose names are near, or else all."""
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


def _nearest_key(key: str, paths: Sequence[str]) -> str:
    """Whole paths first; then the last part alone, for a key that stands in another section."""
    close = difflib.get_close_matches(key, paths, n=1, cutoff=0.75)
    if not close:
        leaves = [path.rpartition(".")[2] for path in paths]
        best = difflib.get_close_matches(key.rpartition(".")[2], leaves, n=1, cutoff=0.7)
        close = [path for path, leaf in zip(paths, leaves, strict=True) if leaf in best][:1]
    if close:
        return f"; did you mean --config.{close[0]}?"
    return f"; its sections are {', '.join(dict.fromkeys(path.split('.')[0] for path in paths))}"


def flatten(config: ConfigDict, prefix: str = "") -> list[str]:
    """The dotted names of all values of a config, in the config's order."""
    names = []
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            names += flatten(value, f"{prefix}{key}.")
        else:
            names.append(f"{prefix}{key}")
    return names
