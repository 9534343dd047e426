"""A data set being prepared: a shard is written completely or not at all; a killed run goes on."""

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from array_record.python import array_record_module

from jaxaction.commands.data.prepare.listing import ListedVideo, Listing
from jaxaction.errors import InputError
from jaxaction.files import write_atomically

SHARD_VIDEOS = 128  # at most
SPLIT_SHARDS = 32  # at least, as far as there are videos: a stop costs one of them


class Shard(NamedTuple):
    """Some listed videos of one split, in the list's order; those without a file are not in it."""

    split: str
    number: int
    videos: list[ListedVideo]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"


class StoredVideo(NamedTuple):
    """One video as it goes into a shard."""

    record: bytes
    frames: int
    video_bytes: int
    problem: str = ""
    """A problem of a video that is stored nevertheless."""


Pair = tuple[str, str] | list[str]  # JSON has lists alone


@dataclass
class ShardSummary:
    """The contents of a finished shard. Its JSON file marks the shard as finished."""

    records: int = 0
    frames: int = 0
    video_bytes: int = 0
    record_bytes: int = 0
    classes: dict[str, int] = field(default_factory=dict)  # {label: records}; JSON's keys are text
    skipped: list[Pair] = field(default_factory=list)  # (id, reason)
    problems: list[Pair] = field(default_factory=list)  # (id, problem) of records

    def add(self, video: ListedVideo, outcome: StoredVideo | str) -> None:
        """Counts a video that was stored, or keeps the reason why it was not."""
        if isinstance(outcome, str):
            self.skipped.append((video.id, outcome))
            return
        self.records += 1
        self.frames += outcome.frames
        self.video_bytes += outcome.video_bytes
        self.record_bytes += len(outcome.record)
        if outcome.problem:
            self.problems.append((video.id, outcome.problem))
        labels = video.label if isinstance(video.label, tuple) else (video.label,)
        self._count({str(label): 1 for label in labels})

    def merge(self, other: "ShardSummary") -> None:
        """Adds what another shard holds."""
        for name in ("records", "frames", "video_bytes", "record_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._count(other.classes)
        self.skipped += other.skipped
        self.problems += other.problems

    def _count(self, classes):
        for label, count in classes.items():
            self.classes[label] = self.classes.get(label, 0) + count


def cut_into_shards(listing: Listing) -> list[Shard]:
    """The listed videos that have a file, cut into shards."""
    shards = []
    for split, listed in listing.splits.items():
        videos = [video for video in listed if video.path]
        size = _shard_size(len(videos))
        for number, start in enumerate(range(0, len(videos), size)):
            shards.append(Shard(split, number, videos[start : start + size]))
    return shards


def _shard_size(videos: int) -> int:
    return min(SHARD_VIDEOS, max(1, videos // SPLIT_SHARDS))


class Workspace:
    """The folder beside the data set to be, `1.0.0.incomplete`, that becomes it by one renaming."""

    def __init__(self, final: Path):
        self.final = final
        self.folder = final.with_name(f"{final.name}.incomplete")
        self._shards = self.folder / "shards"

    @contextlib.contextmanager
    def opened(self, listing: Listing, arguments: dict[str, object]) -> Iterator[None]:
        """Begins, or goes on with what the same arguments and list began; one process at a time.

        `InputError` where the data set is there, where something else was begun, or where another
        process is at it.
        """
        refuse_finished(self.final)
        try:
            self._shards.mkdir(parents=True, exist_ok=True)
            (self.folder / "lock").touch()
        except OSError as error:
            raise InputError(
                f"{self.folder} can't be written ({error.strerror}); give another --out"
            ) from None
        with open(self.folder / "lock", "w") as lock:
            _lock(lock, self.folder)
            refuse_finished(self.final)
            self._check_plan(_plan(listing, arguments))
            yield

    def pending(self, shards: Iterable[Shard]) -> list[Shard]:
        """The shards that are not finished."""
        return [shard for shard in shards if not self._mark(shard).exists()]

    def write(self, shard: Shard, outcomes: Iterator[StoredVideo | str]) -> None:
        """Writes a shard and its mark, taking what was found of each of its videos in order."""
        path, summary = self._path(shard), ShardSummary()
        try:
            writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
            for video in shard.videos:
                outcome = next(outcomes)
                if isinstance(outcome, StoredVideo):
                    writer.write(outcome.record)
                summary.add(video, outcome)
            writer.close()
            _check_count(path, summary.records)
        except RuntimeError as error:  # how array_record tells of a full disk
            reason = str(error).partition("failed: ")[2].partition(";")[0] or error
            raise InputError(
                f"{path} can't be written ({reason}); mend that and run it again"
            ) from error
        write_json(self._mark(shard), asdict(summary))

    def summary(self, shard: Shard) -> ShardSummary:
        """Reads the summary of a finished shard."""
        return ShardSummary(**json.loads(self._mark(shard).read_text()))

    def place(self, shard: Shard, name: str) -> None:
        """Gives a finished shard's file the name that it has in the data set, if it hasn't yet."""
        if self._path(shard).exists():
            self._path(shard).rename(self.folder / name)
        elif not (self.folder / name).exists():
            raise InputError(f"{self._path(shard)} is gone; delete {self.folder} to begin anew")

    def publish(self) -> None:
        """Makes the folder the data set."""
        refuse_finished(self.final)
        self.folder.rename(self.final)
        shutil.rmtree(self.final / "shards")
        for name in ("plan.json", "lock"):
            (self.final / name).unlink()

    def discard(self) -> None:
        """Deletes what was begun."""
        shutil.rmtree(self.folder)

    def _path(self, shard):
        return self._shards / f"{shard.name}.array_record"

    def _mark(self, shard):
        return self._shards / f"{shard.name}.json"

    def _check_plan(self, plan):
        path = self.folder / "plan.json"
        if not path.exists():
            write_json(path, plan)
            return
        earlier = json.loads(path.read_text())
        if earlier != plan:
            raise InputError(
                f"{self.folder} was begun {_describe_difference(earlier, plan)}; go on with what it"
                " was begun with, delete it to begin anew, or give another --out"
            )


def refuse_finished(final: Path) -> None:
    """`InputError` if the data set is there."""
    if final.exists():
        raise InputError(f"{final} is there already; delete it, or give another --out")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, all of it or nothing."""
    text = json.dumps(value, indent=2, ensure_ascii=False).encode()
    write_atomically(path, lambda file: file.write(text + b"\n"))


def _plan(listing, arguments) -> dict:
    content = [listing.label_names, listing.splits, SHARD_VIDEOS, SPLIT_SHARDS]
    return {
        "arguments": arguments,
        "videos": sum(map(len, listing.splits.values())),
        "without a file": len(listing.missing),
        "fingerprint": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
    }


def _describe_difference(earlier, plan) -> str:
    for name, value in plan["arguments"].items():
        before = earlier.get("arguments", {}).get(name)
        if before != value:
            return f"with {name} {before}, not {value}"
    before, now = (
        f"{a_plan.get('videos')} videos, {a_plan.get('without a file')} without a file"
        for a_plan in (earlier, plan)
    )
    if before == now:
        return f"with other videos ({before}, too), or by another version"
    return f"with another list of videos ({before}; now {now})"


def _lock(file, folder):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another process is preparing {folder}; wait for it") from None
    except OSError:
        return  # a file system without locks


def _check_count(path, count):
    reader = array_record_module.ArrayRecordReader(str(path))
    num_records = reader.num_records()
    reader.close()
    if num_records != count:
        raise RuntimeError(f"{num_records} of {count} records arrived")
