"""`jaxaction convert`: makes a run of another project's weights, or MMAction2 weights of a run."""

import argparse
import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
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

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxaction convert`, without the config's keys."""
    parser.add_argument("source", help="a .pth or .safetensors file; with --to, a run's directory")
    parser.add_argument(
        "--config",
        metavar="FILE[:VARIANT]",
        help="the config of the network with these weights; give this or --mmaction-config",
    )
    parser.add_argument(
        "--mmaction-config",
        metavar="FILE.py",
        help="an MMAction2 config file to take the network and the test's views from",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="a new or empty directory for the run, which eval.py and predict then take",
    )
    parser.add_argument(
        "--new-head",
        type=int,
        metavar="N",
        help="replace the classifier by an untrained one of N classes (default: keep it)",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="a text file with the name of one class a line (default: Kinetics-400's names for a"
        " trained classifier of 400 classes, otherwise none)",
    )
    parser.add_argument(
        "--to",
        nargs=2,
        metavar=("mmaction", "FILE"),
        help="the way back: write the weights of the run SOURCE to FILE for MMAction2",
    )


def main(args: argparse.Namespace) -> int:
    """Converts the weights, and prints what became of them; returns the exit code.

    InputError for flags that don't go together, for weights that don't fit the network, and for a
    directory that exists or can't be written. Nothing is written then.
    """
    if args.to:
        return _write_for_mmaction(args)
    if not args.out or bool(args.config) == bool(args.mmaction_config):
        raise InputError("give --out DIR and one of --config and --mmaction-config; or give --to")
    if args.new_head is not None and args.new_head < 1:
        raise InputError(f"--new-head {args.new_head} is no number of classes; give 1 or more")
    # An empty directory will do, as `mktemp -d` makes one.
    if Path(args.out).exists() and (Path(args.out).is_file() or any(Path(args.out).iterdir())):
        raise InputError(f"--out {args.out} exists already; give another directory")
    config, config_name = _config(args)
    weights = read_weights(args.source)
    source = _with_file_name(args.source, sources.recognise, weights)
    changed = _apply_conventions(config, source.conventions)
    # The command line comes after the conventions, so that it has the last word.
    flags.apply_overrides(config, args.overrides)
    if args.new_head is not None:
        config.model.num_classes = args.new_head
    checks.check_numbers(config)
    converted = _convert(weights, config, args)
    published_for = _published_for(args.source, args.config)
    # Only a warning: users rename files, and weights of another variant may fit as well.
    if published_for:
        print(f"warning: a file of this name was published for {published_for}")
    names = _label_names(args.labels, config, converted.new_head)
    # Written only now, so that a mistake in the input leaves no files.
    _save(args.out, config, converted.variables, names)
    print(f"{args.source}: {_conversion_text(converted)}")
    for key, value in changed.items():
        print(f"set as in {source.name}: --config.{key}={value}")
    if converted.new_head:
        print(f"the classifier is replaced by a fresh one of {config.model.num_classes} classes")
    test = build.protocol(config.test)
    print(f"{args.out}: {config.model.name}, {config.model.num_classes} classes, test {test}")
    print(f"to train from it: jaxaction train --config {config_name} --config.init_from={args.out}")
    return 0


def _config(args: argparse.Namespace) -> tuple[ConfigDict, str]:
    """Returns the config, and the name under which `jaxaction train --config` finds its recipe."""
    if args.config:
        return flags.load_config(*flags.split_variant(args.config)), args.config
    file = args.mmaction_config
    settings = read_config(file)
    if not isinstance(settings.get("model"), Mapping):
        raise InputError(f"{file} has no model; give a recognizer's config")
    model = _with_file_name(file, mmaction.model_config, settings["model"])
    # The network tsm_mobilenetv2 belongs to the family tsm.
    family, variant = _nearest_variant(model["name"].partition("_")[0], Path(file).stem)
    config = flags.load_config(family, variant)
    # `bn_group` belongs to the training recipe; the model of an MMAction2 config has no such field.
    config.model = ConfigDict(model | {"bn_group": config.model.bn_group})
    for key, value in _with_file_name(file, run_settings, settings).items():
        section, name = key.split(".")
        config[section][name] = value
    return config, f"{family}:{variant}"


def _with_file_name(file: str, function: Callable[[_In], _Out], argument: _In) -> _Out:
    """Returns `function(argument)`; puts the file's name before the message of an InputError."""
    try:
        return function(argument)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _nearest_variant(family: str, mmaction_name: str) -> list[str]:
    """Returns the family and its variant of that MMAction2 name, or the family's first variant."""
    table = {k: v for k, v in shipped.variants().items() if k.startswith(f"{family}:")}
    same_name = [name for name, row in table.items() if row.mmaction_name == mmaction_name]
    return (same_name or list(table))[0].split(":")


def _published_for(source: str, config: str | None) -> str:
    """Returns the other variants, not the config's, that MMAction2 published this file name for."""
    if not config:
        return ""
    file, variant = flags.split_variant(config)
    given = f"{Path(file).stem}:{variant}"
    rows = shipped.variants().items()
    variants = [name for name, row in rows if row.file == Path(source).name]
    return "" if given in variants else ", ".join(variants)


def _apply_conventions(config: ConfigDict, conventions: Mapping[str, object]) -> dict[str, object]:
    """Sets the source's config values where the network has these keys; returns the changes."""
    network = models.MODELS[config.model.name]
    # A protocol can't say that the classes that implement it are dataclasses.
    fields = {field.name for field in dataclasses.fields(network)}  # pyright: ignore[reportArgumentType]
    segments = config.data.sampling == "segments"
    changed = {}
    for key, value in conventions.items():
        section, name = key.split(".")
        # PySlowFast tests 3D networks on windows of the features, and 2D networks on whole ones.
        applies = name in fields if section == "model" else not (name == "window" and segments)
        if applies and config[section].get(name) != value:
            config[section][name] = changed[key] = value
    return changed


def _convert(
    weights: Mapping[str, np.ndarray], config: ConfigDict, args: argparse.Namespace
) -> conversion.Conversion:
    settings = stored.tuples(config.model.to_dict())
    try:
        return conversion.convert(weights, settings, args.new_head is not None)
    except InputError as error:
        # A shape in brackets means that the classifier is there, but has another size.
        wrong_classes = "cls_head.fc_cls.weight [" in str(error)
        way_out = "; for other classes give --new-head N" if wrong_classes else ""
        config_name = args.config or args.mmaction_config
        raise InputError(f"{args.source} for {config_name}: {error}{way_out}") from error


def _label_names(file: str | None, config: ConfigDict, new_head: bool) -> tuple[str, ...]:
    """Returns the names in the file; without one Kinetics-400's for a trained classifier of 400."""
    classes = config.model.num_classes
    if not file:
        return labels.kinetics_labels() if classes == 400 and not new_head else ()
    try:
        # utf-8-sig: some editors put a byte order mark before the first name.
        lines = Path(file).read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"--labels {file} can't be read ({reason}); give a text file") from error
    names = tuple(line.strip() for line in lines)
    if "" in names or len(set(names)) < len(names):
        raise InputError(f"--labels {file} has an empty line or a name twice; give one name a line")
    if len(names) != classes:
        raise InputError(
            f"--labels {file} names {len(names)} classes, the network has {classes}; give"
            " each class a name"
        )
    return names


def _save(
    out: str, config: ConfigDict, variables: dict[str, object], names: tuple[str, ...]
) -> None:
    """Writes a run's directory as a whole or not at all."""
    # Written next to `out`, on the same disk, so that the last step is a rename.
    partial = Path(f"{out.rstrip('/')}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        checkpoint.save_run(str(partial), config, variables, names)
        # On Windows a rename doesn't replace a directory, even an empty one.
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
