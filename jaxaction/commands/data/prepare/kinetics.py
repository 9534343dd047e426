"""Kinetics-400, -600 and -700 as they lie on disk: folders of classes, or the official csv."""

import csv
import difflib
import re
from pathlib import Path

from jaxaction.commands.data.prepare.listing import (
    SPLITS,
    SUFFIXES,
    Files,
    Listed,
    Listing,
    first_file,
    read_text,
    walk,
)
from jaxaction.data.labels import KINETICS_400
from jaxaction.errors import InputError

CONFIGS = ("400", "600", "700")
_WORDS = "|".join(SPLITS)
_FOLDER = re.compile(rf"(?:videos_)?({_WORDS})(?:_256)?")
_COLUMNS = ("youtube_id", "time_start", "time_end")

# A video whose class is still a name.
_Named = tuple[str, str, str]


def kinetics(root: Path, config: str) -> Listing:
    """Returns the videos that the csv files list, or else those in `train/CLASS/` and so on.

    `config` is "400", "600", "700", or "" to find it by the classes. Classes are numbered in
    alphabetical order: of the 400 names that the package knows, or else of those that are there.
    """
    notes: list[str] = []
    named = _from_csv(root, notes) or _from_folders(root, notes)
    names = {name for names, _ in named.values() for name in names}
    config = config or _which(names)
    label_names = _label_names(names, config, notes)
    numbers = {_plain(name): number for number, name in enumerate(label_names)}
    splits = {
        split: [Listed(id, path, numbers[_plain(name)]) for id, path, name in videos]
        for split, (_, videos) in named.items()
    }
    return Listing("kinetics", config, label_names, splits, tuple(notes))


def _from_csv(root, notes) -> dict[str, tuple[set[str], list[_Named]]]:
    found: dict[str, tuple[set[str], list[_Named]]] = {}
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
        folders = tuple(f"{a}{word}{b}" for word in _words(split) for a, b in _AROUND)
        stems = [(_stem(path, row), row["label"].strip()) for row in labelled]
        videos = [(stem, files.find(stem, folders), name) for stem, name in stems]
        found[split] = {name for _, name in stems}, videos
    return found


_AROUND = (("", ""), ("videos_", ""), ("", "_256"))


def _words(split):
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


def _from_folders(root, notes) -> dict[str, tuple[set[str], list[_Named]]]:
    found: dict[str, tuple[set[str], list[_Named]]] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        match = _FOLDER.fullmatch(folder.name)
        if not match:
            continue
        split = SPLITS[match[1]]
        if split in found:
            raise InputError(f"{root} has two folders of {split}, one is {folder}; keep one there")
        names, videos = _classes(root, folder, notes)
        if names:
            found[split] = names, videos
    if not found:
        raise InputError(
            f"{root} holds neither train.csv or val.csv nor folders train/CLASS or val/CLASS with "
            "videos; give the folder that holds them as --from"
        )
    order = list(dict.fromkeys(SPLITS.values()))
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _classes(root, folder, notes) -> tuple[set[str], list[_Named]]:
    names = {
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    }
    videos, stray = [], 0
    for path in walk(folder):
        if not path.lower().endswith(SUFFIXES):
            continue
        name, slash, _ = path.partition("/")
        if slash:
            videos.append((f"{folder.name}/{path}", f"{folder.name}/{path}", name))
        else:
            stray += 1
    if stray:
        notes.append(f"{folder.name}: left out without a class's folder: {stray}")
    return names, videos


def _which(names) -> str:
    """The data set whose classes these are."""
    if {_plain(name) for name in names} == set(map(_plain, _kinetics400())):
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
    found = sorted({name.replace("_", " ") for name in names})
    if len(found) > int(config):
        raise InputError(
            f"there are {len(found)} classes, more than the {config} of kinetics/{config}; "
            "name the right one"
        )
    if len(found) < int(config):
        notes.append(
            f"only {len(found)} of the {config} classes are there; they are numbered among "
            "themselves, so that labels differ from those of the whole data set"
        )
    return tuple(found)


def _checked400(names) -> tuple[str, ...]:
    label_names = _kinetics400()
    known = {_plain(name): name for name in label_names}
    for name in sorted(names):
        if _plain(name) not in known:
            near = difflib.get_close_matches(_plain(name), known, 1, cutoff=0.0)
            raise InputError(
                f"{name!r} is no class of Kinetics-400 (the nearest is {known[near[0]]!r}); name "
                "kinetics/600 or kinetics/700, or rename it"
            )
    return label_names


def _kinetics400() -> tuple[str, ...]:
    return tuple(KINETICS_400.read_text().splitlines())


def _plain(name: str) -> str:
    """What is left of a class's name whatever was done to its spaces, brackets and quotes."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())
