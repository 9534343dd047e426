"""The `jaxaction` program: its table of commands, and the choice of one."""

import argparse
import difflib
import functools
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple, NoReturn

from jaxaction.commands import convert, eval, flops, fuse, predict, report, train, zoo
from jaxaction.commands.data import cli as data
from jaxaction.config import flags
from jaxaction.errors import InputError


class Command(NamedTuple):
    """A line of help, and a function that runs the command.

    `run(argv, program)` returns the exit code; None means 0. `program` is "jaxaction NAME".
    """

    summary: str
    run: Callable[[list[str], str], int | None]


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake as one line, as all our commands do."""

    # argparse prints the whole usage before its message, and exits; `run_main` prints one line.
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def _parsed(module: ModuleType, summary: str, takes_config: bool = False) -> Command:
    """Returns a command from a module with `add_arguments(parser)` and `main(args) -> exit code`.

    With `takes_config` the command accepts `--config.key=value`; `main` finds these flags in
    `args.overrides`.
    """
    return Command(summary, functools.partial(_parse_and_run, module, summary, takes_config))


def _parse_and_run(
    module: ModuleType, summary: str, takes_config: bool, argv: list[str], program: str
) -> int:
    epilog = (
        "--config.key=value sets a value of the config; docs/config.md explains every key."
        if takes_config
        else ""
    )
    parser = _Parser(prog=program, description=summary, epilog=epilog)
    module.add_arguments(parser)
    # argparse can't declare flags like --config.data.size, so they are taken out before it looks.
    argv, overrides = flags.take_overrides(argv)
    args = parser.parse_args(argv)
    if overrides and not takes_config:
        raise InputError(f"{program} takes no --config.{next(iter(overrides))}")
    args.overrides = overrides
    return module.main(args)


COMMANDS = {
    "train": Command("train the network of a config", train.main),
    "eval": Command("test the newest checkpoint of a run", eval.main),
    "predict": _parsed(
        predict, "print the most probable labels of videos, or write their features", True
    ),
    "convert": _parsed(
        convert, "convert weights of other projects, or write a run's weights for MMAction2", True
    ),
    "flops": _parsed(flops, "count the multiply-adds of a config's network, layer by layer", True),
    "data": _parsed(data, "prepare, check, show and measure data sets; compute optical flow", True),
    "fuse": _parsed(fuse, "average the test results of several runs, such as RGB and optical flow"),
    "report": _parsed(report, "write a run's report.html again, for example after another test"),
    "zoo": _parsed(zoo, "list the shipped configs, describe one, or copy one to a file"),
}


def main(argv: list[str]) -> int | None:
    """Runs the command that `argv` begins with; returns its exit code (None: 0).

    InputError for a missing or unknown command.
    """
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
