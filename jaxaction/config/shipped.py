"""Finds the configs that come with the package, and their variants."""

import runpy
from pathlib import Path

from jaxaction.config.recipes import Variant
from jaxaction.errors import InputError

FAMILIES = ("tsn", "tsm", "i3d", "r2plus1d", "slowonly", "slowfast")
SHARED = "common"  # a module that users' configs import; it contains no config
PACKAGE = Path(__file__).parents[1]


def folder() -> Path:
    """Returns the folder of the shipped configs.

    setup.py puts `configs/` into the wheel as `jaxaction/configs/`. In a clone, installed with `pip
    install -e .` or not at all, it is next to the package.
    """
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def is_name(text: str) -> bool:
    """Returns whether `text` is a config's name, such as "slowfast", and not a path."""
    return Path(text).name == text and not text.endswith(".py")


def has(name: str) -> bool:
    """Returns whether there is a shipped config of this name.

    A file that a user has put into the folder `configs/` of a clone counts too.
    """
    return is_name(name) and name != SHARED and (folder() / f"{name}.py").is_file()


def file(family: str) -> Path:
    """Returns the file of a family's configs; InputError lists the families for another name."""
    if family not in FAMILIES:
        raise InputError(f"{family}: no such family; there is {', '.join(FAMILIES)}")
    return folder() / f"{family}.py"


def variants() -> dict[str, Variant]:
    """Returns the variants of all families under names like `tsm:r50-1x1x8-k400`."""
    return {
        f"{family}:{variant}": row
        for family in FAMILIES
        for variant, row in runpy.run_path(str(file(family)))["VARIANTS"].items()
    }
