"""The commands of `jaxaction`, and how one is chosen."""

import argparse

from jaxaction.commands import convert, eval, flops, fuse, predict, report, train, zoo
from jaxaction.commands.data import cli as data
from jaxaction.config import flags
from jaxaction.errors import InputError

# These read their flags themselves, as `train.py` and `eval.py` do.
SCRIPTS = {
    "train": (train, "train a config"),
    "eval": (eval, "test a run's newest checkpoint"),
}
# Each module has `add_arguments(parser)` and `main(args)`, the exit code.
COMMANDS = {
    "predict": (predict, "print the most probable labels of videos, or write their features"),
    "convert": (convert, "read the weights of other projects, or write a run's for MMAction2"),
    "flops": (flops, "count the multiply-adds of a config's network, layer by layer"),
    "data": (data, "prepare, check, show and measure data sets; compute optical flow"),
    "fuse": (fuse, "average the results of several runs, as of two streams"),
    "report": (report, "make a run's report.html again, as after another test"),
    "zoo": (zoo, "list the configs' variants: their cost, and their published accuracy"),
}
WITH_CONFIG = ("predict", "convert", "flops", "data")  # take --config.key=value


class _Parser(argparse.ArgumentParser):
    """One whose complaints are one line, like every other."""

    def error(self, message: str):
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: list[str]) -> int:
    """Runs one command and returns its exit code."""
    if argv and argv[0] in SCRIPTS:
        SCRIPTS[argv[0]][0].main(argv[1:])
        return 0
    argv, overrides = flags.take_overrides(argv)
    parser = _Parser(prog="jaxaction", description="Video action recognition in JAX.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, about) in SCRIPTS.items():
        commands.add_parser(name, help=about)
    for name, (module, about) in COMMANDS.items():
        more = "Every value of the config can be set: --config.key=value."
        more = more if name in WITH_CONFIG else ""
        module.add_arguments(commands.add_parser(name, help=about, description=about, epilog=more))
    args = parser.parse_args(argv)
    if overrides and args.command not in WITH_CONFIG:
        raise InputError(f"jaxaction {args.command} takes no --config.{next(iter(overrides))}")
    args.overrides = overrides
    return COMMANDS[args.command][0].main(args)
