"""Videos for the tests, made with PyAV: numbered pictures, in many containers and codecs."""

import contextlib
import io
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

# Real clips lie beside the checkout on some machines only.
CLIPS = Path(__file__).parents[3] / "shared" / "clips"


def pictures(count=40, height=48, width=64):
    """Returns uint8 RGB pictures that all differ: a number and a disc on the move."""
    texture = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    frames = np.stack([cv2.resize(texture, (width, height))] * count)
    for i, frame in enumerate(frames):
        cv2.circle(frame, (3 * i % width, height // 3), 6, (255, 0, 5 * i), -1)
        cv2.putText(frame, str(i), (4, height - 6), 0, 0.7, (255, 255, 255), 2)
    return frames


def encoded(container="mp4", codec="libx264", count=40, path="", times=None, muxer=(), **options):
    """Returns a video file's bytes; `times` are the frames' times in 1/25 s."""
    file = str(path) or io.BytesIO()
    with av.open(file, "w", format=container, options=dict(muxer)) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        frames = pictures(count)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            # Left to the encoder, this step gives other bytes now and then.
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = i if times is None else times[i], Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return Path(path).read_bytes() if path else file.getvalue()


def decoded(data):
    """Returns all frames that plain decoding gives, skipping packets it refuses."""
    frames = []
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.FFmpegError):
                frames += [frame.to_ndarray(format="rgb24") for frame in packet.decode()]
    return np.stack(frames)
