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

from jaxaction.config import flag_values
from jaxaction.errors import InputError
from jaxaction.runtime import distributed

TRAIN_USAGE = "train.py --config FILE[:VARIANT] [--workdir DIR] [--config.key=value ...]"
TRAIN_USAGE += f" {distributed.USAGE}"
EVAL_USAGE = f"eval.py --workdir DIR [--config.key=value ...] {distributed.USAGE}"


class TrainFlags(NamedTuple):
    config: ConfigDict
    config_name: str  # "slowfast" or "slowfast-r50_8x8"
    workdir: str


class EvalFlags(NamedTuple):
    workdir: str
    overrides: dict[str, str]  # {"test.crops": "center"}: the text as it was given


def parse_train(argv: Sequence[str]) -> TrainFlags:
    """The config with its overrides, its name, and the run's directory; `argv` without the program.

    Without `--workdir` the directory is `runs/<config>[-<variant>]`. `--help` prints the usage and
    leaves with exit code 0; anything that can't be used is an `InputError`.
    """
    flags, overrides = _split(argv, ("config", "workdir"), TRAIN_USAGE)
    if not flags.get("config"):
        raise InputError(f"--config is missing; usage: {TRAIN_USAGE}")
    file, variant = split_variant(flags["config"])
    config = apply_overrides(load_config(file, variant), overrides)
    name = Path(file).stem + (f"-{variant}" if variant else "")
    return TrainFlags(config, name, flags.get("workdir") or f"runs/{name}")


def parse_eval(argv: Sequence[str]) -> EvalFlags:
    """The run's directory, and what `apply_overrides` shall change in its stored config."""
    flags, overrides = _split(argv, ("workdir",), EVAL_USAGE)
    if not flags.get("workdir"):
        raise InputError(f"--workdir is missing; usage: {EVAL_USAGE}")
    return EvalFlags(flags["workdir"], overrides)


def take_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without `--config.key=value`, and what those say, for `apply_overrides`."""
    rest, overrides, args = [], {}, iter(argv)
    for arg in args:
        if not arg.startswith("--config."):
            rest.append(arg)
            continue
        key, equals, value = arg.removeprefix("--config.").partition("=")
        if not equals:
            value = next(args, "--")
            if value.startswith("--"):
                raise InputError(f"{arg}: the value is missing; write {arg}=VALUE")
        overrides[key] = value
    return rest, overrides


def load_config(file: str, variant: str = "") -> ConfigDict:
    """What `get_config(variant)` of the Python file returns.

    The folder that its own folder lies in is searched for what it imports, wherever the program
    was started. `InputError` names a missing file's likely neighbours, and a variant that the file
    refuses.
    """
    if not Path(file).is_file():
        raise InputError(f"--config {file}: no such file{_similar_files(Path(file))}")
    spec = importlib.util.spec_from_file_location(f"config_{Path(file).stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"--config {file}: not a Python file; give one with get_config(variant)")
    module = importlib.util.module_from_spec(spec)
    beside = str(Path(file).resolve().parent.parent)
    if beside not in sys.path:
        sys.path.append(beside)
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
        section, name = _find(config, key)
        changes.append((section, name, flag_values.parse(f"--config.{key}", text, section[name])))
    for section, name, value in changes:
        section[name] = value
    return config


def _split(
    argv: Sequence[str], known: tuple[str, ...], usage: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The values of the `known` flags, and those of `--config.key`; of a repeated one the last."""
    rest, overrides = take_overrides(argv)
    flags = {}
    while rest:
        arg = rest.pop(0)
        if arg in ("-h", "--help", "--helpfull"):
            print(f"usage: {usage}")
            sys.exit(0)
        if not arg.startswith("--"):
            raise InputError(f"{arg}: unexpected argument; usage: {usage}")
        name, equals, value = arg[2:].partition("=")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --{close[0]}?" if close else f"usage: {usage}"
            raise InputError(f"--{name}: unknown flag; {hint}")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"--{name}: the value is missing; write --{name}=VALUE")
            value = rest.pop(0)
        flags[name] = value
    return flags, overrides


def split_variant(text: str) -> tuple[str, str]:
    """`FILE[:VARIANT]` in two; the file's name ends in .py, so that a path may hold colons."""
    match = re.fullmatch(r"(.*?\.py)(?::(.*))?", text)
    file, variant = match.groups("") if match else (text.partition(":")[0], text.partition(":")[2])
    return file, variant


def _similar_files(file: Path) -> str:
    folder = file.parent if file.parent.is_dir() and file.parent != Path() else Path("configs")
    found = {path.stem: str(path) for path in folder.glob("*.py")}
    close = difflib.get_close_matches(file.stem, found, n=3, cutoff=0.5) or sorted(found)[:12]
    return "; there is " + ", ".join(found[stem] for stem in close) if close else ""


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


def _find(config: ConfigDict, key: str) -> tuple[ConfigDict, str]:
    """The section that holds `key`, and the key's last part."""
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
