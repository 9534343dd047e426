"""The commands below `jaxaction data`."""

import argparse

from jaxaction.commands.data import bench, check, flow, show
from jaxaction.commands.data.prepare import command as prepare
from jaxaction.errors import InputError

# Each module has `add_arguments(parser)` and `main(args)`, the exit code.
COMMANDS = {
    "prepare": (prepare, "make a TFDS data set of videos on disk: kinetics, hmdb51, a list, ..."),
    "check": (check, "look for mistakes in lists of videos, and for videos that can't be read"),
    "show": (show, "draw what the network sees: clips as they are augmented, with their labels"),
    "bench": (bench, "measure the clips a second that the pipeline delivers and the model takes"),
    "flow": (flow, "compute the optical flow of videos, as pictures"),
}
WITH_CONFIG = ("show", "bench")  # take --config.key=value
CONFIG_NOTE = "Every value of the config can be set: --config.key=value."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction data`."""
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    for name, (module, help_text) in COMMANDS.items():
        epilog = CONFIG_NOTE if name in WITH_CONFIG else ""
        module.add_arguments(
            commands.add_parser(name, help=help_text, description=help_text, epilog=epilog)
        )


def main(args: argparse.Namespace) -> int:
    """Runs one of them and returns its exit code."""
    if args.overrides and args.data_command not in WITH_CONFIG:
        first = next(iter(args.overrides))
        raise InputError(f"jaxaction data {args.data_command} takes no --config.{first}")
    return COMMANDS[args.data_command][0].main(args)
