"""Which videos get their optical flow extracted, where it goes, and the list of the folders."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from jaxaction.data.annotation_lines import read_entries, read_text
from jaxaction.errors import InputError
from jaxaction.files import write_atomically


class Job(NamedTuple):
    """One video."""

    video: str
    """Its path."""
    folder: str
    """Where its flow goes, below the output's folder."""
    labels: tuple[int, ...] = ()
    """The labels in the list."""


def jobs_of_videos(videos: Sequence[str], root: str) -> list[Job]:
    """Returns the jobs of videos named one by one.

    A folder is called by the path below `root`, or without one by the file's name alone; of either
    without the suffix. `InputError` for a video outside `root` and for two that share a folder.
    """
    jobs = [Job(os.path.normpath(v), _path_below(v, root or os.path.dirname(v))) for v in videos]
    return _check_apart(jobs, "rename one" if root else "set --root to a folder above them")


def jobs_of_list(file: Path, root: str) -> list[Job]:
    """Returns the jobs of an annotation list, in its order, with their labels.

    Every number at the end of a line is a label. Folders are called by the path below `root`, or
    else below the list's own folder. `InputError` as in `jobs_of_videos`, and for a file that is no
    list.
    """
    base = Path(root) if root else file.parent
    labels_file = _labels_file(file)
    names = [line.strip() for line in read_text(labels_file)] if labels_file.is_file() else []
    entries = read_entries(file, base, [name for name in names if name], multi_label=True)
    if not entries:
        raise InputError(f"{file} lists no videos; write one `path label` a line")
    paths = [os.path.normpath(base / entry.path) for entry in entries]
    jobs = [
        Job(path, _path_below(path, base), entry.labels)
        for path, entry in zip(paths, entries, strict=True)
    ]
    return _check_apart(jobs, "rename one")


def list_path(file: Path, out: Path, jobs: Sequence[Job]) -> Path:
    """Returns where the list of the folders goes: into `out`, under the same name, as .txt of csv.

    `InputError` if that would replace something else than an earlier list of these folders, or
    a `labels.txt` of other labels.
    """
    path = out / (f"{file.stem}.txt" if file.suffix.lower() == ".csv" else file.name)
    folders = {job.folder for job in jobs}
    if path.exists() and not all(_lists_one_of(line, folders) for line in read_text(path)):
        raise InputError(f"{path} lists other videos; rename {file} or choose another --out")
    written, given = _labels_file(path), _labels_file(file)
    if written.is_file() and given.is_file() and read_text(written) != read_text(given):
        raise InputError(f"{written} names other labels than {given}; choose another --out")
    return path


def write_list(path: Path, file: Path, jobs: Sequence[Job], counts: Mapping[str, int]) -> int:
    """Writes lines `folder num_frames label...` for the folders in `counts`; returns how many.

    The names of the labels, `labels.txt` beside the list, come along.
    """
    kept = [job for job in jobs if job.folder in counts]
    rows = [" ".join(map(str, (job.folder, counts[job.folder], *job.labels))) for job in kept]
    _write_lines(path, rows)
    if _labels_file(file).is_file():
        _write_lines(_labels_file(path), read_text(_labels_file(file)))
    return len(rows)


def _write_lines(path, lines):
    write_atomically(path, lambda out: out.write("".join(f"{line}\n" for line in lines).encode()))


def _labels_file(file) -> Path:
    return file.parent / "labels.txt"


def _path_below(video, base) -> str:
    """The path of a video from `base` on, without its suffix."""
    path = os.path.relpath(os.path.abspath(video), os.path.abspath(base))
    if path == os.curdir or path.split(os.sep)[0] == os.pardir:
        raise InputError(f"{video} is not below {base}; set --root to a folder above all videos")
    return PurePath(path).with_suffix("").as_posix()


def _check_apart(jobs, way_out) -> list[Job]:
    """The jobs, if no folder is that of two videos, or lies in another's."""
    owners = {}
    for job in jobs:
        owners.setdefault(job.folder, job.video)
    for job in jobs:
        for folder in (job.folder, *map(str, PurePath(job.folder).parents)):
            owner = owners.get(folder, job.video)
            if owner != job.video:
                raise InputError(
                    f"{owner} and {job.video} would share the folder {folder}; {way_out}"
                )
    return jobs


def _lists_one_of(line, folders) -> bool:
    """Whether a line is `folder number...` of one of the folders, whose names may have spaces."""
    return any(line.rsplit(" ", count)[0] in folders for count in range(1, line.count(" ") + 1))
