"""`python -m jaxaction COMMAND ...`, also installed as the console script `jaxaction`."""

import argparse

from jaxaction import flags, predict
from jaxaction.errors import InputError


class _Parser(argparse.ArgumentParser):
    """One whose complaints are one line, like every other."""

    def error(self, message: str):
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: list[str]) -> int:
    """Runs one command and returns its exit code."""
    parser = _Parser(prog="jaxaction", description="Video action recognition in JAX.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = "print the most probable labels of videos, or write their features"
    command = commands.add_parser("predict", help=about, description=about)
    predict.add_arguments(command)
    command.set_defaults(main=predict.main)
    args = parser.parse_args(argv)
    return args.main(args)


def cli() -> None:
    """The console script."""
    flags.run_main(main)


if __name__ == "__main__":
    cli()
