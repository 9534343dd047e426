"""`jaxaction report`: a run's `report.html`, made again."""

import argparse

from jaxaction import report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction report`."""
    parser.add_argument("workdir", metavar="WORKDIR", help="the directory of a training run")


def main(args: argparse.Namespace) -> int:
    """Makes the report of what the run has measured until now, and of its newest test."""
    print(report.make(args.workdir))
    return 0
