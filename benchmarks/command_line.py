"""The command lines of the benchmarks: what can't be used is one line, before anything is compiled.

The readers are for argparse's `type`; its complaint names the flag that they were given for.
"""

import argparse
import math
import shutil
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.families import FAMILIES
from jaxaction.errors import InputError


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The description as it is written, and every flag's default."""


class Parser(argparse.ArgumentParser):
    """`name` is that of the module in `benchmarks`; complaints are `InputError`s."""

    def __init__(self, name: str, description: str):
        program = f"python -m benchmarks.{name}"
        super().__init__(program, description=description, formatter_class=_Help)

    def error(self, message: str):
        raise InputError(f"{message.removeprefix('argument ')}; see {self.prog} --help")


def add_network_arguments(parser: Parser, dtype: str) -> None:
    """Adds --families, --size and --dtype; `dtype` is the default."""
    add_list(parser, "--families", FAMILIES)
    parser.add_argument("--size", type=at_least(1), default=224, help="pixels a side")
    dtypes = ("float32", "bfloat16")
    parser.add_argument("--dtype", choices=dtypes, default=dtype, help="of the arithmetic")


def add_list(parser: Parser, flag: str, known: Iterable[str]) -> None:
    """Adds a flag that takes some of the `known` names, and by itself all."""
    everything = ",".join(known)
    help_text = "all or some of these, with commas between"
    parser.add_argument(flag, type=several(one_of(known)), default=everything, help=help_text)


def at_least(least: int) -> Callable[[str], int]:
    """Reads whole numbers from `least` up."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return read


def duration(text: str) -> float:
    """Reads seconds, more than 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return seconds


def one_of(known: Iterable[str]) -> Callable[[str], str]:
    """Reads one of the `known` names."""

    def read(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}")
        return text

    return read


def several(read: Callable[[str], Any]) -> Callable[[str], list]:
    """Reads the parts of `a,b,c`, each once, in the order given."""
    return lambda text: list(dict.fromkeys(map(read, text.split(","))))


def program(text: str) -> str:
    """Reads the name or the path of a program that can be run."""
    if not shutil.which(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no program that can be run")
    return text
