"""Something-Something V2, HMDB51 and lists of one's own, as they lie on disk."""

import csv
import json
import os
import re
from pathlib import Path

from jaxaction.commands.data.prepare.listing import (
    SPLITS,
    Files,
    ListedVideo,
    Listing,
    first_file,
    read_text,
    walk,
)
from jaxaction.data.annotations import AnnotationSource, annotation_source
from jaxaction.errors import InputError

SOMETHING = "something_something_v2"
HMDB51_CONFIGS = ("1", "2", "3")
_PREFIX = r"(?:something-something-v2-)?"
_HMDB51_LIST = re.compile(r"(?:.*/)?(.+)_test_split([123])\.txt")
_HMDB51_SPLITS = {"1": "train", "2": "test"}


def something_something_v2(root: Path, config: str) -> Listing:
    """Returns the videos that the official json files list, in DIR or DIR/labels.

    Test videos count where `test-answers.csv` gives their labels.
    """
    del config  # there are none
    folders = (root, root / "labels")
    numbers = _something_labels(folders, root)
    files, notes, splits = Files(root), [], {}
    for word in ("train", "validation", "test"):
        path = first_file(folders, rf"{_PREFIX}{word}\.json")
        if not path:
            continue
        answers = _answers(first_file(folders, rf"{_PREFIX}test-answers\.csv"))
        videos = _something_videos(path, _read_json(path, list), numbers, answers, files)
        if videos:
            splits[word] = videos
        else:
            notes.append(f"{path.name} gives no labels; {word} is left out")
    if not splits:
        raise InputError(f"{root} holds no train.json or validation.json; give their folder")
    names = tuple(sorted(numbers, key=numbers.get))
    return Listing(SOMETHING, "", names, splits, tuple(notes))


def _something_labels(folders, root) -> dict[str, int]:
    path = first_file(folders, rf"{_PREFIX}labels\.json")
    if not path:
        raise InputError(
            f"{root} holds neither labels.json nor something-something-v2-labels.json; "
            "put the official json files there, or into its folder labels"
        )
    content = _read_json(path, dict)
    try:
        numbers = {name: int(number) for name, number in content.items()}
    except (TypeError, ValueError):
        numbers = {}
    if not numbers or sorted(numbers.values()) != list(range(len(numbers))):
        raise InputError(f"{path} is not {{name: number}} with the numbers from 0 on")
    return numbers


def _something_videos(path, entries, numbers, answers, files) -> list[ListedVideo]:
    """The entries with a label; `InputError` for one that labels.json doesn't know."""
    videos = []
    for entry in entries:
        try:
            id, template = str(entry["id"]), entry.get("template") or ""
        except (TypeError, KeyError, AttributeError):
            raise InputError(f"{path}: {str(entry)[:80]} is no video with an id") from None
        name = template.replace("[", "").replace("]", "") or answers.get(id, "")
        if not name:
            continue
        if name not in numbers:
            raise InputError(f"{path}: {name!r} of video {id} is not in labels.json beside it")
        videos.append(ListedVideo(id, files.find(id), numbers[name]))
    return videos


def _answers(path) -> dict[str, str]:
    rows = csv.reader(read_text(path).splitlines(), delimiter=";") if path else ()
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _read_json(path, expected):
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(content, expected):
        raise InputError(f"{path} does not hold a {expected.__name__}; take the official file")
    return content


def hmdb51(root: Path, config: str) -> Listing:
    """Returns the videos of split 1, 2 or 3 by the lists `CLASS_test_splitN.txt` below DIR."""
    config = config or "1"
    lists = {}
    for path in walk(root):
        match = _HMDB51_LIST.fullmatch(path)
        if match and match[2] == config:
            lists.setdefault(match[1], root / path)
    if not lists:
        raise InputError(
            f"below {root} there is no CLASS_test_split{config}.txt; unpack "
            "test_train_splits.rar (testTrainMulti_7030_splits) there"
        )
    files, names = Files(root), tuple(sorted(lists))
    splits: dict[str, list[ListedVideo]] = {"train": [], "test": []}
    for label, name in enumerate(names):
        for video, split in _hmdb51_lines(lists[name]):
            path = files.find(os.path.splitext(video)[0], (name,))
            splits[split].append(ListedVideo(f"{name}/{video}", path, label))
    return Listing("hmdb51", config, names, splits)


def _hmdb51_lines(path) -> list[tuple[str, str]]:
    """(file, split) of the lines that are used."""
    lines = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        video, _, use = line.strip().rpartition(" ")
        if use not in ("0", *_HMDB51_SPLITS) or not video.strip():
            raise InputError(f"{path}:{number}: {line!r} is not `name.avi 0|1|2`")
        if use != "0":
            lines.append((video.strip(), _HMDB51_SPLITS[use]))
    return lines


def video_list(multi_label: bool, root: Path, config: str) -> Listing:
    """Returns the videos of train.txt, val.txt and test.txt (or .csv), paths relative to DIR."""
    del config  # there are none
    sources = {}
    for word, split in SPLITS.items():
        path = first_file((root,), rf"{word}\.(?:txt|csv)")
        if path and split not in sources:
            sources[split] = _list_source(path, root, multi_label)
    if not sources:
        raise InputError(f"{root} holds no train.txt, val.txt or test.txt (nor .csv)")
    splits = {
        split: [_listed_video(root, source[i]) for i in range(len(source))]
        for split, source in sources.items()
    }
    names = max((source.label_names for source in sources.values()), key=len)
    return Listing("video_list", "", names, splits, multi_label=multi_label)


def _list_source(path, root, multi_label) -> AnnotationSource:
    try:
        return annotation_source(path, root, multi_label=multi_label)
    except InputError as error:
        message = str(error).replace("data.multi_label=True", "--multi-label")
        raise InputError(message.replace("data.root", "--from")) from None


def _listed_video(root, record) -> ListedVideo:
    if not isinstance(record.video, str | os.PathLike):
        raise InputError(
            f"{record.id} is a folder of frames; jaxaction data prepare takes video files, and "
            "train.py reads folders of frames as they are"
        )
    # An absolute path stays one when it is joined with the folder.
    return ListedVideo(record.id, record.id if os.path.isfile(record.video) else "", record.label)
