"""The commands of `jaxaction`, and how one is chosen."""

import argparse
import difflib
import functools
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from jaxaction.commands import convert, eval, flops, fuse, predict, report, train, zoo
from jaxaction.commands.data import cli as data
from jaxaction.config import flags
from jaxaction.errors import InputError


class Command(NamedTuple):
    """`run(argv, program)` returns the exit code (None: 0); `program` is "jaxaction NAME"."""

    summary: str
    run: Callable[[list[str], str], int | None]


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports an error as one line, like all our errors."""

    def error(self, message: str):
        raise InputError(f"{message}; see {self.prog} --help")


def _parsed(module: ModuleType, summary: str, takes_config: bool = False) -> Command:
    """A command from a module with `add_arguments(parser)` and `main(args)`, its exit code.

    `takes_config`: whether it takes `--config.key=value`, which `main` gets as `args.overrides`.
    """
    return Command(summary, functools.partial(_parse_and_run, module, summary, takes_config))


def _parse_and_run(
    module: ModuleType, summary: str, takes_config: bool, argv: list[str], program: str
) -> int:
    epilog = "Every value of the config can be set: --config.key=value." if takes_config else ""
    parser = _Parser(prog=program, description=summary, epilog=epilog)
    module.add_arguments(parser)
    argv, overrides = flags.take_overrides(argv)
    args = parser.parse_args(argv)
    if overrides and not takes_config:
        raise InputError(f"{program} takes no --config.{next(iter(overrides))}")
    args.overrides = overrides
    return module.main(args)


COMMANDS = {
    "train": Command("train a config", train.main),
    "eval": Command("test a run's newest checkpoint", eval.main),
    "predict": _parsed(
        predict, "print the most probable labels of videos, or write their features", True
    ),
    "convert": _parsed(
        convert, "read the weights of other projects, or write a run's for MMAction2", True
    ),
    "flops": _parsed(flops, "count the multiply-adds of a config's network, layer by layer", True),
    "data": _parsed(data, "prepare, check, show and measure data sets; compute optical flow", True),
    "fuse": _parsed(fuse, "average the results of several runs, as of two streams"),
    "report": _parsed(report, "make a run's report.html again, as after another test"),
    "zoo": _parsed(zoo, "list the shipped configs' variants, describe one, or copy one"),
}


def main(argv: list[str]) -> int | None:
    """Runs one command and returns its exit code."""
    name, *args = argv or [""]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(COMMANDS)}"
        mistake = f"{name}: no such command" if name else "COMMAND is missing"
        raise InputError(f"{mistake}; {hint}")
    return COMMANDS[name].run(args, f"jaxaction {name}")


def _help() -> str:
    lines = [f"  {name:9}{command.summary}" for name, command in COMMANDS.items()]
    head = ["usage: jaxaction COMMAND ...", "", "Video action recognition in JAX.", ""]
    return "\n".join([*head, *lines, "", "`jaxaction COMMAND --help` lists its flags."])
