"""The listed videos of each split of a data set, and the files that there are for them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxaction.errors import InputError

# If several files differ only in the suffix, the first suffix in this order is taken.
SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".flv", ".mpg", ".mpeg", ".wmv")
SUFFIXES += (".3gp", ".ts", ".ogv")

# The names of splits in data sets, and their names in TFDS.
SPLITS = {"train": "train", "val": "validation", "validate": "validation"}
SPLITS |= {"validation": "validation", "test": "test"}

Label = int | tuple[int, ...]


class ListedVideo(NamedTuple):
    """One listed video."""

    id: str
    path: str
    """Below the data set's folder, or absolute; "" where there is no such file."""
    label: Label


@dataclass(frozen=True)
class Listing:
    """All that is known of a data set before a video is opened."""

    name: str
    config: str
    """"400" of kinetics/400; "" for a data set without configs."""
    label_names: tuple[str, ...]
    splits: dict[str, list[ListedVideo]]
    notes: tuple[str, ...] = ()
    """Lines that the user shall read."""
    multi_label: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.name}/{self.config}" if self.config else self.name

    @property
    def missing(self) -> list[tuple[str, ListedVideo]]:
        """(split, video) of those without a file."""
        return [(split, v) for split, videos in self.splits.items() for v in videos if not v.path]


class Files:
    """The video files below a folder, found by one walk; paths are relative to it."""

    def __init__(self, root: Path):
        self._by_stem: dict[str, list[str]] = {}
        for path in walk(root):
            stem, suffix = os.path.splitext(os.path.basename(path))
            if suffix.lower() in SUFFIXES:
                self._by_stem.setdefault(stem, []).append(path)

    def find(self, stem: str, folders: tuple[str, ...] = ()) -> str:
        """Returns the path of the file with this name but for its suffix; "" if there is none.

        If there are several, one in or below a folder with one of these names is preferred.
        """

        def order(path):
            suffix = os.path.splitext(path)[1].lower()
            inside = not set(folders).isdisjoint(path.split("/")[:-1])
            return not inside, SUFFIXES.index(suffix), path

        return min(self._by_stem.get(stem, ()), key=order, default="")


def walk(root: Path) -> Iterator[str]:
    """Yields all files below a folder, "a/b.mp4", but for hidden ones; links are followed once.

    `InputError` for a folder that cannot be read.
    """
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise_unreadable):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            if not name.startswith("."):
                yield name if relative == "." else f"{relative}/{name}"


def _raise_unreadable(error: OSError):
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None


def first_file(folders: tuple[Path, ...], pattern: str) -> Path | None:
    """Returns the first file of these folders whose name matches; None if there is none."""
    for folder in folders:
        names = sorted(os.listdir(folder)) if folder.is_dir() else ()
        for name in names:
            if re.fullmatch(pattern, name, re.IGNORECASE) and (folder / name).is_file():
                return folder / name
    return None


def read_text(path: Path) -> str:
    """Returns a list's text; `InputError` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} cannot be read as text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read as text: {error.strerror}") from None


def check_some_exist(listing: Listing, root: Path) -> None:
    """`InputError` if nothing is listed, or none of what is."""
    count = sum(map(len, listing.splits.values()))
    if not count:
        raise InputError(f"no videos of {listing.full_name} are listed in {root}")
    missing = listing.missing
    if len(missing) == count:
        raise InputError(
            f"none of the {count} listed videos of {listing.full_name} lies below {root} (the "
            f"first is {missing[0][1].id}); give the folder of the videos as --from"
        )
