"""The configs that come with the package: where their files are, and the variants in them."""

import runpy
from pathlib import Path

from jaxaction.config.recipes import Variant
from jaxaction.errors import InputError

FAMILIES = ("tsn", "tsm", "i3d", "r2plus1d", "slowonly", "slowfast")
SHARED = "common"  # no config, but what configs of users import
PACKAGE = Path(__file__).parents[1]


def folder() -> Path:
    """The folder of the shipped configs.

    setup.py puts `configs/` into the wheel as `jaxaction/configs/`. A clone, installed with `pip
    install -e .` or not at all, has it beside the package.
    """
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def is_name(text: str) -> bool:
    """Whether `text` is a config's name, such as "slowfast", and no path of a file."""
    return Path(text).name == text and not text.endswith(".py")


def has(name: str) -> bool:
    """Whether there is a shipped config of this name; in a clone, a file of yours counts too."""
    return is_name(name) and name != SHARED and (folder() / f"{name}.py").is_file()


def file(family: str) -> Path:
    """The file of one family's configs; InputError lists the families for another name."""
    if family not in FAMILIES:
        raise InputError(f"{family}: no such family; there is {', '.join(FAMILIES)}")
    return folder() / f"{family}.py"


def variants() -> dict[str, Variant]:
    """All families' variants under names like `tsm:r50-1x1x8-k400`."""
    return {
        f"{family}:{variant}": row
        for family in FAMILIES
        for variant, row in runpy.run_path(str(file(family)))["VARIANTS"].items()
    }
