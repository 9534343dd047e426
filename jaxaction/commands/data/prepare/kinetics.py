"""Kinetics-400, -600 and -700 as they lie on disk: folders of classes, or the official csv."""

import csv
import difflib
import re
from pathlib import Path
from typing import NamedTuple

from jaxaction.commands.data.prepare.listing import (
    SPLITS,
    SUFFIXES,
    Files,
    ListedVideo,
    Listing,
    first_file,
    read_text,
    walk,
)
from jaxaction.data.labels import kinetics_labels
from jaxaction.errors import InputError

CONFIGS = ("400", "600", "700")
_WORDS = "|".join(SPLITS)
_FOLDER = re.compile(rf"(?:videos_)?({_WORDS})(?:_256)?")
_COLUMNS = ("youtube_id", "time_start", "time_end")


class _VideoOfClass(NamedTuple):
    """A video whose class isn't numbered yet."""

    id: str
    path: str
    class_name: str


class _Split(NamedTuple):
    """The classes of a split, also those without a video, and its videos."""

    class_names: set[str]
    videos: list[_VideoOfClass]


def kinetics(root: Path, config: str) -> Listing:
    """Returns the videos that the csv files list, or else those in `train/CLASS/` and so on.

    `config` is "400", "600", "700", or "" to find it by the classes. Classes are numbered in
    alphabetical order: of the 400 names that the package knows, or else of those that are there.
    """
    notes: list[str] = []
    named_splits = _from_csv(root, notes) or _from_folders(root, notes)
    names = {name for split in named_splits.values() for name in split.class_names}
    config = config or _config_of_classes(names)
    label_names = _label_names(names, config, notes)
    numbers = {_normalize(name): number for number, name in enumerate(label_names)}
    splits = {
        split: [ListedVideo(id, path, numbers[_normalize(name)]) for id, path, name in named.videos]
        for split, named in named_splits.items()
    }
    return Listing("kinetics", config, label_names, splits, tuple(notes))


def _from_csv(root, notes) -> dict[str, _Split]:
    splits: dict[str, _Split] = {}
    lists = {}
    for word, split in SPLITS.items():
        pattern = rf"(?:kinetics[-_]?\d*[-_])?{word}\.csv"
        if path := first_file((root, root / "annotations"), pattern):
            lists.setdefault(split, path)
    files = Files(root) if lists else None
    for split, path in lists.items():
        rows = _rows(path)
        labelled = [row for row in rows if (row.get("label") or "").strip()]
        if len(labelled) < len(rows):
            notes.append(f"{path.name}: left out without a label: {len(rows) - len(labelled)}")
        if not labelled:
            continue
        folders = tuple(f"{a}{word}{b}" for word in _words_of(split) for a, b in _AFFIXES)
        stems = [(_stem(path, row), row["label"].strip()) for row in labelled]
        videos = [_VideoOfClass(stem, files.find(stem, folders), name) for stem, name in stems]
        splits[split] = _Split({name for _, name in stems}, videos)
    return splits


_AFFIXES = (("", ""), ("videos_", ""), ("", "_256"))


def _words_of(split):
    return [word for word, meant in SPLITS.items() if meant == split]


def _rows(path) -> list[dict[str, str]]:
    reader = csv.DictReader(read_text(path).splitlines(), skipinitialspace=True)
    lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if lacking:
        raise InputError(
            f"{path}: its header lacks {', '.join(lacking)}; the official lists begin with "
            "label,youtube_id,time_start,time_end,split"
        )
    return list(reader)


def _stem(path, row) -> str:
    """The name under which everybody stores such a clip, without its suffix."""
    try:
        start, end = (int(float(row[name])) for name in _COLUMNS[1:])
    except (TypeError, ValueError):
        raise InputError(
            f"{path}: the times {row['time_start']!r}, {row['time_end']!r} of "
            f"{row['youtube_id']} are not numbers"
        ) from None
    return f"{row['youtube_id']}_{start:06d}_{end:06d}"


def _from_folders(root, notes) -> dict[str, _Split]:
    splits: dict[str, _Split] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        match = _FOLDER.fullmatch(folder.name)
        if not match:
            continue
        split = SPLITS[match[1]]
        if split in splits:
            raise InputError(f"{root} has two folders of {split}, one is {folder}; keep one there")
        named = _read_class_folders(folder, notes)
        if named.class_names:
            splits[split] = named
    if not splits:
        raise InputError(
            f"{root} holds neither train.csv or val.csv nor folders train/CLASS or val/CLASS with "
            "videos; give the folder that holds them as --from"
        )
    order = list(dict.fromkeys(SPLITS.values()))
    return dict(sorted(splits.items(), key=lambda item: order.index(item[0])))


def _read_class_folders(folder, notes) -> _Split:
    names = {
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    }
    videos, stray = [], 0
    for path in walk(folder):
        if not path.lower().endswith(SUFFIXES):
            continue
        name, slash, _ = path.partition("/")
        if slash:
            below = f"{folder.name}/{path}"
            videos.append(_VideoOfClass(id=below, path=below, class_name=name))
        else:
            stray += 1
    if stray:
        notes.append(f"{folder.name}: left out without a class's folder: {stray}")
    return _Split(names, videos)


def _config_of_classes(names) -> str:
    """The data set whose classes these are."""
    if {_normalize(name) for name in names} == set(map(_normalize, kinetics_labels())):
        return "400"
    if str(len(names)) in ("600", "700"):
        return str(len(names))
    raise InputError(
        f"{len(names)} classes don't say which Kinetics this is; name kinetics/400, kinetics/600 "
        "or kinetics/700"
    )


def _label_names(names, config, notes) -> tuple[str, ...]:
    if config == "400":
        return _checked400(names)
    class_names = sorted({name.replace("_", " ") for name in names})
    if len(class_names) > int(config):
        raise InputError(
            f"there are {len(class_names)} classes, more than the {config} of kinetics/{config}; "
            "name the right one"
        )
    if len(class_names) < int(config):
        notes.append(
            f"only {len(class_names)} of the {config} classes are there; they are numbered among "
            "themselves, so that labels differ from those of the whole data set"
        )
    return tuple(class_names)


def _checked400(names) -> tuple[str, ...]:
    label_names = kinetics_labels()
    known = {_normalize(name): name for name in label_names}
    for name in sorted(names):
        if _normalize(name) not in known:
            near = difflib.get_close_matches(_normalize(name), known, 1, cutoff=0.0)
            raise InputError(
                f"{name!r} is no class of Kinetics-400 (the nearest is {known[near[0]]!r}); name "
                "kinetics/600 or kinetics/700, or rename it"
            )
    return label_names


def _normalize(name: str) -> str:
    """Returns a class name without spaces, brackets and quotes, which lists write differently."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())
