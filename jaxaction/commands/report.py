"""`jaxaction report`: writes a run's `report.html` again."""

import argparse

from jaxaction import report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxaction report`."""
    parser.add_argument(
        "workdir",
        metavar="WORKDIR",
        help="the directory of a training run; its report.html is replaced",
    )


def main(args: argparse.Namespace) -> int:
    """Writes the report from the run's curves and its newest test, and prints its path."""
    print(report.make(args.workdir))
    return 0
