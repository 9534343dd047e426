"""`jaxaction report`: makes a run's `report.html` again."""

import argparse

from jaxaction import report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction report`."""
    parser.add_argument("workdir", metavar="WORKDIR", help="the directory of a training run")


def main(args: argparse.Namespace) -> int:
    """Makes the report from all that the run has measured, and from its newest test."""
    print(report.make(args.workdir))
    return 0
