"""Checks that memory stays flat while small videos, intact and damaged, are decoded many times."""

import contextlib
import gc
import io
import resource
from pathlib import Path

import av
import numpy as np

from jaxaction.data import decode

POINTS = 20
# Of a leak there would be at least one picture or packet a decode: the smallest here is 3 kB.
FLAT_BYTES = 100.0


def run(decodes: int) -> None:
    """Prints memory in use at `POINTS` places, and the slope over the last three quarters."""
    videos = [_video(codec, form) for codec, form in (("libx264", "mp4"), ("mpeg4", "avi"))]
    videos += [_damaged(video) for video in videos] + [
        b"no video",
        videos[0][: len(videos[0]) // 2],
    ]
    rows, rng = [], np.random.default_rng(0)
    print("| decodes | MiB in use |\n|---|---|")
    for number in range(decodes + 1):
        if number % (decodes // POINTS) == 0:
            gc.collect()
            rows.append((number, _in_use()))
            print(f"| {number} | {rows[-1][1] / 2**20:.1f} |", flush=True)
        with contextlib.suppress(decode.DecodeError):
            _decode(videos[number % len(videos)], rng)
    print(verdict(np.array(rows[POINTS // 4 :], float)))


def verdict(rows: np.ndarray) -> str:
    """The slope of (decodes, bytes) rows, and whether it is flat."""
    slope = np.polyfit(*rows.T, 1)[0]
    word = "flat" if slope < FLAT_BYTES else f"a leak: more than {FLAT_BYTES:.0f}"
    return f"slope {slope:.1f} bytes a decode: {word}"


def _in_use() -> int:
    """Bytes of this process that are in memory; Linux tells them in pages."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _decode(video: bytes, rng: np.random.Generator) -> None:
    with decode.open_video(video) as opened:
        opened.read(rng.integers(0, opened.num_frames, 4))


def _video(codec: str, form: str) -> bytes:
    file, rng = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=form) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in rng.integers(0, 256, (24, 48, 64, 3)).astype(np.uint8):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def _damaged(video: bytes) -> bytes:
    third = len(video) // 3
    return video[:third] + bytes(range(256)) + video[third + 256 :]
