"""Times decoding against decord, torchcodec and OpenCV, the pipeline around it, and its memory.

    python -m benchmarks.data [--video FILE] [--rounds 15]
    python -m benchmarks.data --leak [--decodes 20000]

One core: every side reads the same frames of the same 340x256 video to a uint8 array, in turn, so
that what else the machine does hits all alike; frames are compared, too. Peers that are not
installed are left out, with a word (`pip install decord torchcodec`, the latter beside PyTorch).
Then the training pipeline on one thread against its decoder alone, and on more threads. Without
--video a clip of 10 s is made (h264 as libx264's defaults have it), of a texture that moves.
`--leak` decodes small videos, some of them damaged, and prints the slope of the memory in use.
"""

import argparse
import functools
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import data_leak, data_sides
from benchmarks.command_line import Parser, at_least
from benchmarks.machine import describe, settings
from jaxaction import data
from jaxaction.commands import entry
from jaxaction.data import decode, sampling
from jaxaction.data.protocol import read_sampled

# What is sampled of a video: TSN's and TSM's frames, SlowFast's clips.
SAMPLINGS = {
    "sparse, 8 frames": lambda count, rng: sampling.random_segments(count, 8, rng)[0],
    "dense, 32x2": lambda count, rng: sampling.random_clips(count, 32, 2, 1, rng)[0],
}
TRANSFORMS = {
    "sparse, 8 frames": data.TrainTransform(
        sampling="segments",
        clip_len=8,
        frame_interval=1,
        short_side=256,
        crop="multi_scale_13",
        size=(224, 224),
        flip=0.5,
    ),
    "dense, 32x2": data.TrainTransform(
        sampling="clips",
        clip_len=32,
        frame_interval=2,
        short_side=256,
        crop="random_resized",
        size=(224, 224),
        flip=0.5,
    ),
}
BATCH = 8  # clips of the pipeline's batches


class Repeated:
    """A source of one video, as many times as it takes."""

    label_names, multi_label, mirror_changes_class = ("0",), False, False

    def __init__(self, video: str):
        self._record = data.Record("0", video, 0)

    def __len__(self):
        return 1024

    def __getitem__(self, index):
        return self._record


def main(argv: list[str]) -> None:
    args = parse(argv)
    if args.leak:
        data_leak.run(args.decodes)
        return
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or data_sides.make_video(Path(folder) / "made.mp4")
        rows = {
            "decoders": time_decoders(video, args.rounds),
            "pipeline": time_pipeline(video, args.rounds),
        }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    run = {"machine": describe(), "versions": data_sides.versions(), "arguments": settings(args)}
    args.out.write_text(json.dumps(run | rows, indent=1, default=str) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("data", __doc__)
    parser.add_argument("--video", default="", help="a file to read in place of a made one")
    parser.add_argument("--rounds", type=at_least(3), default=15, help="turns of every side")
    parser.add_argument("--leak", action="store_true", help="measure memory, not speed")
    parser.add_argument("--decodes", type=at_least(1000), default=20000, help="of --leak")
    path = Path("runs/benchmarks/data.json")
    parser.add_argument("--out", type=Path, default=path, help="the JSON file")
    return parser.parse_args(argv)


def time_decoders(video: str, rounds: int) -> list[dict]:
    """Reads the same random frames on every side in turn, and prints a Markdown table."""
    sides, count = data_sides.installed(), decode.num_frames(video)
    rows = []
    for name, sample in SAMPLINGS.items():
        rng = np.random.default_rng(0)
        frame_numbers = [sample(count, rng).tolist() for _ in range(rounds)]
        expected = decode.read_frames(video, frame_numbers[0])
        wrong_frames = {
            side: data_sides.count_wrong_frames(read(video, frame_numbers[0]), expected)
            for side, read in sides
        }
        times = time_in_turn(
            {s: functools.partial(read, video) for s, read in sides}, frame_numbers
        )
        rows += [
            {
                "sampling": name,
                "side": side,
                "seconds": times[side],
                "frames that differ": wrong_frames[side],
            }
            for side, _ in sides
        ]
    print("| one core | side | clips/s | ours / theirs | other frames |\n" + "|---" * 5 + "|")
    for row in rows:
        ours = next(
            r for r in rows if r["side"] == "jaxaction" and r["sampling"] == row["sampling"]
        )
        ratio = statistics.median(
            b / a for a, b in zip(ours["seconds"], row["seconds"], strict=True)
        )
        rate = 1 / statistics.median(row["seconds"])
        print(
            f"| {row['sampling']} | {row['side']} | {rate:.1f} |"
            f" {'' if row is ours else f'{ratio:.2f}'} | {row['frames that differ']} |"
        )
    return rows


def time_in_turn(sides: dict[str, Callable], arguments: list) -> dict[str, list[float]]:
    """Seconds of CPU of every side for every argument; all sides take one before the next."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for argument in arguments:
        for side, work in sides.items():
            begin = time.process_time()
            work(argument)
            times[side].append(time.process_time() - begin)
    return times


def time_pipeline(video: str, rounds: int) -> list[dict]:
    """Clips a second of the training pipeline and of its decoder alone, with threads."""
    rows = []
    for name, transform in TRANSFORMS.items():
        times = _time_one_thread(video, transform, rounds)
        cores = len(os.sched_getaffinity(0))
        counts = sorted({1, 2, cores})
        times["loader"] = _time_with_threads(video, transform, counts, rounds)
        rows.append({"sampling": name} | times)
        share = statistics.median(
            d / p for d, p in zip(times["decode"], times["pipeline"], strict=True)
        )
        base = statistics.median(times["loader"][1])
        scaled = ", ".join(
            f"{count}: {statistics.median(seconds) and base / statistics.median(seconds):.2f}"
            for count, seconds in times["loader"].items()
        )
        print(f"pipeline, {name}: {share:.0%} of its decoder alone; by threads {scaled}")
    return rows


def _time_one_thread(video, transform, rounds) -> dict[str, list[float]]:
    """Seconds of CPU a clip: the frames alone, and all the way to a clip of a batch."""

    def frames(seed):
        rng = np.random.default_rng(seed)
        read_sampled(video, lambda count, fps: transform.frames(count, fps, rng))

    def clips(seeds):
        return np.stack([transform(video, 0, np.random.default_rng(seed))[0] for seed in seeds])

    sides = {
        "decode": lambda seeds: [frames(seed) for seed in seeds],
        "pipeline": clips,
    }
    seeds = [list(range(4 * i, 4 * i + 4)) for i in range(rounds)]
    return time_in_turn(sides, seeds)


def _time_with_threads(video, transform, counts, rounds) -> dict[int, list[float]]:
    """Seconds a batch of the loader, for each number of threads in turn."""
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    for _, count in itertools.product(range(3), counts):
        loader = iter(data.train_loader(Repeated(video), transform, BATCH, 0, count))
        for _ in range(2):  # what is read ahead is there
            next(loader)
        begin = time.perf_counter()
        batches = max(3, rounds // 3)
        for _ in range(batches):
            next(loader)
        seconds[count].append((time.perf_counter() - begin) / batches)
        loader.close()
    return seconds


if __name__ == "__main__":
    entry.run_main(main)
