"""`jaxaction convert`: weights of other projects to a run's directory, and back to MMAction2's."""

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxaction import models
from jaxaction.config import build, checks, flags, shipped, stored
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.interop import conversion, mmaction, sources
from jaxaction.interop.mmaction_file import read_config
from jaxaction.interop.mmaction_pipeline import run_settings
from jaxaction.interop.weights import read_weights, write_weights
from jaxaction.storage import checkpoint
from jaxaction.text import first_few


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction convert`, without the config's keys."""
    parser.add_argument("source", help="a .pth or .safetensors file; with --to, a run's directory")
    parser.add_argument("--config", metavar="FILE[:VARIANT]", help="whose network the weights are")
    parser.add_argument(
        "--mmaction-config", metavar="FILE.py", help="the same told by a config file of MMAction2"
    )
    parser.add_argument("--out", metavar="DIR", help="a new directory, for eval.py and predict")
    parser.add_argument(
        "--new-head", type=int, metavar="N", help="a fresh classifier of N classes in its place"
    )
    parser.add_argument("--labels", metavar="FILE", help="the names of the classes, one a line")
    parser.add_argument(
        "--to", nargs=2, metavar=("mmaction", "FILE"), help="write a run's weights for MMAction2"
    )


def main(args: argparse.Namespace) -> int:
    """Converts in the direction that is asked for, and says what became of each weight."""
    if args.to:
        return _write_for_mmaction(args)
    if not args.out or bool(args.config) == bool(args.mmaction_config):
        raise InputError("give --out DIR and one of --config and --mmaction-config; or give --to")
    if args.new_head is not None and args.new_head < 1:
        raise InputError(f"--new-head {args.new_head} is no number of classes; give 1 or more")
    if Path(args.out).exists() and (Path(args.out).is_file() or any(Path(args.out).iterdir())):
        raise InputError(f"--out {args.out} exists already; give another directory")
    config, recipe = _config(args)
    weights = read_weights(args.source)
    source = _with_file_name(args.source, sources.recognise, weights)
    changed = _apply_conventions(config, source.conventions)
    flags.apply_overrides(config, args.overrides)
    if args.new_head is not None:
        config.model.num_classes = args.new_head
    checks.check_numbers(config)
    converted = _convert(weights, config, args)
    published_for = _published_for(args.source, args.config)
    if published_for:
        print(f"warning: a file of this name was published for {published_for}")
    names = _label_names(args.labels, config, converted.new_head)
    _save(args.out, config, converted.variables, names)
    print(f"{args.source}: {_conversion_text(converted)}")
    for key, value in changed.items():
        print(f"as {source.name} has it: --config.{key}={value}")
    if converted.new_head:
        print(f"the classifier is replaced by a fresh one of {config.model.num_classes} classes")
    test = build.protocol(config.test)
    print(f"{args.out}: {config.model.name}, {config.model.num_classes} classes, test {test}")
    print(f"to train from it: jaxaction train --config {recipe} --config.init_from={args.out}")
    return 0


def _config(args: argparse.Namespace) -> tuple[ConfigDict, str]:
    """The config, and what `jaxaction train --config` takes for a recipe of it."""
    if args.config:
        return flags.load_config(*flags.split_variant(args.config)), args.config
    file = args.mmaction_config
    settings = read_config(file)
    if not isinstance(settings.get("model"), Mapping):
        raise InputError(f"{file} has no model; give a recognizer's config")
    model = _with_file_name(file, mmaction.model_config, settings["model"])
    family, variant = _nearest_variant(model["name"].partition("_")[0], Path(file).stem)
    config = flags.load_config(family, variant)
    config.model = ConfigDict(model | {"bn_group": config.model.bn_group})
    for key, value in _with_file_name(file, run_settings, settings).items():
        section, name = key.split(".")
        config[section][name] = value
    return config, f"{family}:{variant}"


def _with_file_name(file: str, function: Callable, *args: Any) -> Any:
    """What the function returns; its InputError gets the file's name."""
    try:
        return function(*args)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _nearest_variant(family: str, mmaction_name: str) -> list[str]:
    """The family and its variant of that name in MMAction2, or else its first one."""
    table = {k: v for k, v in shipped.variants().items() if k.startswith(f"{family}:")}
    same_name = [name for name, row in table.items() if row.mmaction_name == mmaction_name]
    return (same_name or list(table))[0].split(":")


def _published_for(source: str, config: str | None) -> str:
    """The variant that a file of this name was published for, if it isn't the config's."""
    if not config:
        return ""
    file, variant = flags.split_variant(config)
    given = f"{Path(file).stem}:{variant}"
    rows = shipped.variants().items()
    variants = [name for name, row in rows if row.file == Path(source).name]
    return "" if given in variants else ", ".join(variants)


def _apply_conventions(config: ConfigDict, conventions: Mapping[str, Any]) -> dict[str, Any]:
    """Sets what the source's networks need, where the config's network has it; returns what
    changed."""
    fields = models.MODELS[config.model.name].__dataclass_fields__
    segments = config.data.sampling == "segments"
    changed = {}
    for key, value in conventions.items():
        section, name = key.split(".")
        applies = name in fields if section == "model" else not (name == "window" and segments)
        if applies and config[section].get(name) != value:
            config[section][name] = changed[key] = value
    return changed


def _convert(
    weights: Mapping[str, Any], config: ConfigDict, args: argparse.Namespace
) -> conversion.Conversion:
    settings = stored.tuples(config.model.to_dict())
    try:
        return conversion.convert(weights, settings, args.new_head is not None)
    except InputError as error:
        wrong_classes = "cls_head.fc_cls.weight [" in str(error)
        way_out = "; for other classes give --new-head N" if wrong_classes else ""
        config_name = args.config or args.mmaction_config
        raise InputError(f"{args.source} for {config_name}: {error}{way_out}") from error


def _label_names(file: str | None, config: ConfigDict, new_head: bool) -> tuple[str, ...]:
    """The names in the file; else Kinetics-400's for a trained classifier of 400, or none."""
    classes = config.model.num_classes
    if not file:
        return labels.kinetics_labels() if classes == 400 and not new_head else ()
    try:
        lines = Path(file).read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"--labels {file} can't be read ({reason}); give a text file") from error
    names = tuple(line.strip() for line in lines)
    if "" in names or len(set(names)) < len(names):
        raise InputError(f"--labels {file} has an empty line or a name twice; give one name a line")
    if len(names) != classes:
        raise InputError(f"--labels {file} names {len(names)} classes, the network has {classes}")
    return names


def _save(out: str, config: ConfigDict, variables: dict, names: tuple[str, ...]) -> None:
    """Writes a run's directory, all of it or nothing."""
    partial = Path(f"{out.rstrip('/')}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        checkpoint.save_run(str(partial), config, variables, names)
        if Path(out).exists():
            Path(out).rmdir()
        partial.rename(out)
    except OSError as error:
        raise InputError(f"--out {out} can't be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _conversion_text(converted: conversion.Conversion) -> str:
    texts = [f"{converted.source}, {len(converted.matched)} weights matched"]
    for name in ("reshaped", "fresh", "unused"):
        keys = getattr(converted, name)
        texts += [f"{len(keys)} {name}: {first_few(keys)}"] if keys else []
    return "; ".join(texts)


def _write_for_mmaction(args: argparse.Namespace) -> int:
    project, file = args.to
    if args.out or args.config or args.mmaction_config or args.new_head or args.labels:
        raise InputError("--to takes a run's directory and no other flag; drop the others")
    if project != "mmaction":
        raise InputError(f"--to {project} is not known; give --to mmaction FILE.safetensors")
    run = checkpoint.load_run(args.source)
    model = stored.tuples(run.config.model.to_dict())
    weights = mmaction.state_dict(run.variables, model)
    write_weights(file, weights)
    print(f"{file}: {len(weights)} weights of {args.source}, step {run.step}")
    return 0
