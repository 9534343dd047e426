"""Data sets for training, made of the videos that one has on disk: `jaxaction data prepare`."""

import argparse
import contextlib
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av

from jaxaction.commands.data.prepare import layouts, metadata, ucf101
from jaxaction.commands.data.prepare.encode import QUALITY, Encoding, prepare_video
from jaxaction.commands.data.prepare.kinetics import CONFIGS, kinetics
from jaxaction.commands.data.prepare.listing import ListedVideo, Listing, check_some_exist
from jaxaction.commands.data.prepare.progress import Progress
from jaxaction.commands.data.prepare.shards import Shard, StoredVideo, Workspace, cut_into_shards
from jaxaction.commands.data.prepare.threads import in_order
from jaxaction.errors import InputError

# Each data set with its configs; without one named, a function finds it or takes the first.
DATA_SETS: dict[str, tuple[str, ...]] = {
    "kinetics": CONFIGS,
    "something_something_v2": (),
    "hmdb51": layouts.HMDB51_CONFIGS,
    "video_list": (),
    "ucf101": ucf101.CONFIGS,
}
DEFAULT_GOP = 16

_EPILOG = """\
NAME is one of
  kinetics/400, /600, /700   train/CLASS/*.mp4 and val/CLASS/*.mp4, or train.csv, val.csv, test.csv
                             with files ID_000012_000022.mp4 anywhere below DIR
  something_something_v2     the official json files in DIR or DIR/labels, ID.webm below DIR
  hmdb51/1, /2, /3           class folders and CLASS_test_splitN.txt below DIR
  video_list                 train.txt, val.txt, test.txt (or .csv) with paths relative to DIR, and
                             labels.txt with the names of the labels
  ucf101/ucf101_1, ...       is downloaded and prepared by TFDS itself, without --from; needs the
                             program ffmpeg, or the package imageio-ffmpeg, which has one

Videos are stored as they are, or with --short-side or --gop encoded anew, which loads faster: h264
with a key frame every --gop frames, without sound. All are decoded once; which are left out, and
why, and which are cut off, stands in report.json. A run that was stopped goes on when it is started
again.
"""

_STOPPED = "stopped; what is whole is kept, and the same command goes on with the rest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction data prepare`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("name", metavar="NAME", help="the data set, see below")
    parser.add_argument("--from", dest="root", metavar="DIR", help="the folder of the videos")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="the folder of data sets, for data.data_dir"
    )
    parser.add_argument(
        "--short-side", type=int, metavar="PIXELS", help="shrink larger videos to this short side"
    )
    parser.add_argument(
        "--gop", type=int, metavar="FRAMES", help="frames a key frame (16 with --short-side)"
    )
    parser.add_argument("--multi-label", action="store_true", help="of video_list: several labels")
    parser.add_argument("--threads", type=int, help="videos at a time (as many as cores)")


def main(args: argparse.Namespace) -> int:
    """Prepares one data set; the exit code is 0 also where single videos were left out.

    130 where Ctrl-C stopped it.
    """
    name, config = _split_name(args.name)
    _check_numbers(args)
    if name == "ucf101":
        return _ucf101(args, config)
    if not args.root:
        raise InputError(f"--from is missing: name the folder of the videos of {args.name}")
    root, out = Path(args.root), Path(args.out)
    if not root.is_dir():
        raise InputError(f"--from {root}: no such folder")
    listing = _find_reader(name, args.multi_label)(root, config)
    check_some_exist(listing, root)
    try:
        report = _prepare(listing, root, out, args)
    except KeyboardInterrupt:
        print(f"jaxaction: {_STOPPED}", file=sys.stderr)
        return 130
    print(_summary(report, listing, out))
    return 0


def _split_name(text: str) -> tuple[str, str]:
    name, _, config = text.partition("/")
    if name not in DATA_SETS:
        names = ", ".join(DATA_SETS)
        raise InputError(f"there is no data set {name!r} to prepare; NAME is {names}")
    if config and config not in DATA_SETS[name]:
        choices = ", ".join(f"{name}/{known}" for known in DATA_SETS[name]) or name
        raise InputError(f"there is no {text}; NAME is {choices}")
    return name, config


def _check_numbers(args):
    for flag, value in (("--gop", args.gop), ("--threads", args.threads)):
        if value is not None and value < 1:
            raise InputError(f"{flag} {value}: give 1 or more")
    side = args.short_side
    if side is not None and side < 2:
        raise InputError(f"--short-side {side}: give 2 pixels or more")
    if side is not None and side % 2:
        raise InputError(f"--short-side {side}: give an even number of pixels; h264 needs it")
    if args.multi_label and args.name != "video_list":
        raise InputError("--multi-label is for video_list; the videos of others have one label")


def _ucf101(args, config) -> int:
    for flag in ("root", "short_side", "gop"):
        if getattr(args, flag):
            flag = "--from" if flag == "root" else f"--{flag.replace('_', '-')}"
            raise InputError(f"ucf101 is prepared by TFDS's own builder; leave out {flag}")
    builder = ucf101.prepare(config, Path(args.out))
    splits = builder.info.splits
    counts = ", ".join(f"{name} {split.num_examples}" for name, split in splits.items())
    print(f"{builder.data_path}: {counts} videos")
    print(_usage(f"{builder.name}/{builder.builder_config.name}", Path(args.out), list(splits)))
    return 0


def _find_reader(name: str, multi_label: bool) -> Callable[[Path, str], Listing]:
    return {
        "kinetics": kinetics,
        "something_something_v2": layouts.something_something_v2,
        "hmdb51": layouts.hmdb51,
        "video_list": partial(layouts.video_list, multi_label),
    }[name]


def _prepare(listing: Listing, root: Path, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Writes the data set, or what is left of it, and returns the report."""
    gop = args.gop or (DEFAULT_GOP if args.short_side else 0)
    encoding = Encoding(args.short_side or 0, gop)
    work = Workspace(out / listing.full_name / metadata.VERSION)
    all_shards = cut_into_shards(listing)
    with work.opened(listing, encoding._asdict()):
        _print_plan(listing)
        store = partial(_make_record, root, encoding, metadata.serializer(listing))
        _write_pending(work, all_shards, store, args.threads or os.cpu_count() or 1)
        _check_some_stored(work, all_shards, root)
        origin = {"from": str(root.resolve()), "encoding": encoding._asdict()}
        origin["encoder"] = {"codec": "h264", **QUALITY} if gop else {}
        try:
            report = metadata.finish(work, listing, all_shards, origin)
            work.publish()
        except OSError as error:
            raise InputError(
                f"{work.folder} can't be finished ({error.strerror}); mend that and run it again"
            ) from error
    return report


def _check_some_stored(work, all_shards, root):
    """`InputError` if not one video was stored; then nothing is left behind."""
    if not any(work.summary(shard).records for shard in all_shards):
        id, reason = work.summary(all_shards[0]).skipped[0]
        work.discard()
        raise InputError(f"no video in {root} can be stored; the first, {id}: {reason}")


def _print_plan(listing):
    count = sum(map(len, listing.splits.values()))
    missing = len(listing.missing)
    more = f", {missing} of them without a file" if missing else ""
    names = ", ".join(listing.splits)
    lines = [f"{listing.full_name}: {count} videos ({names}){more}", *listing.notes]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _write_pending(
    work: Workspace,
    all_shards: list[Shard],
    store: Callable[[ListedVideo], StoredVideo | str],
    threads: int,
) -> None:
    """Writes the shards that are not finished."""
    pending = work.pending(all_shards)
    total, remaining = (sum(len(shard.videos) for shard in some) for some in (all_shards, pending))
    videos = (video for shard in pending for video in shard.videos)
    progress = Progress(total, total - remaining)
    outcomes = in_order(store, videos, threads, ahead=4 * threads)
    with contextlib.closing(outcomes), contextlib.closing(progress):
        counted = progress.count(outcomes)
        for shard in pending:
            work.write(shard, counted)


def _summary(report: dict[str, Any], listing: Listing, out: Path) -> str:
    folder = out / listing.full_name / report["version"]
    lines = [
        f"{split}: {counts['stored']} of {counts['listed']} videos, {counts['frames']} frames,"
        f" {counts['bytes'] / 1e6:.1f} MB, {_count_filled(counts)} of {len(counts['classes'])}"
        " classes"
        for split, counts in report["splits"].items()
    ]
    reasons = Counter(skipped["reason"] for skipped in report["skipped"])
    lines += [f"left out {count}: {reason}" for reason, count in reasons.most_common(5)]
    if reasons:
        lines.append(f"all that were left out: {folder / 'report.json'}")
    if damaged := sum(counts["damaged"] for counts in report["splits"].values()):
        lines.append(f"stored {damaged}, but cut off or damaged: {folder / 'report.json'}")
    stored = [split for split, counts in report["splits"].items() if counts["stored"]]
    return "\n".join(
        [str(folder), *lines, _usage(listing.full_name, out, stored, listing.multi_label)]
    )


def _count_filled(counts) -> int:
    return sum(count > 0 for count in counts["classes"].values())


def _usage(name: str, out: Path, splits: list[str], multi_label: bool = False) -> str:
    """How train.py and eval.py are told of it; "train" and "test" are the splits they take."""
    flags = ["--config.data.source=tfds", f"--config.data.name={name}"]
    flags.append(f"--config.data.data_dir={shlex.quote(str(out))}")
    if multi_label:
        flags.append("--config.data.multi_label=True")
    if "test" not in splits and "validation" in splits:
        flags.append("--config.data.test_split=validation")
    return f"use it with {' '.join(flags)}"


def _make_record(root, encoding, serialize, video: ListedVideo) -> StoredVideo | str:
    """The video's record, or the reason why there is none."""
    try:
        encoded = prepare_video(root / video.path, encoding)
        record = serialize(video, encoded.data)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        return re.sub(r"^(?:the )?video(?: of \d+ bytes)?:? (?:is )?", "", reason)
    return StoredVideo(record, encoded.frames, len(encoded.data), encoded.problem)
