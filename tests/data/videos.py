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


def encoded(
    container="mp4",
    codec="libx264",
    count=40,
    path="",
    times=None,
    muxer=(),
    size=(48, 64),
    pix_fmt="yuv420p",
    turn=None,
    **options,
):
    """Returns a video file's bytes; `times` are the frames' times in 1/25 s.

    `turn` is what `set_display_rotation` takes: degrees counterclockwise, then whether mirrored.
    """
    file = str(path) or io.BytesIO()
    with av.open(file, "w", format=container, options=dict(muxer)) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        if turn is not None:
            stream.set_display_rotation(*turn)
        for i, picture in enumerate(pictures(count, *size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = i if times is None else times[i], Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return Path(path).read_bytes() if path else file.getvalue()


def joined(parts, container="mp4"):
    """Returns a file whose one video stream has the packets of several, one after the other."""
    file, end = io.BytesIO(), 0
    with av.open(file, "w", format=container) as output:
        stream = None
        for part in parts:
            with av.open(io.BytesIO(part)) as source:
                origin = source.streams.video[0]
                stream = stream or output.add_stream_from_template(origin)
                packets = [packet for packet in source.demux(origin) if packet.size]
                for packet in packets:
                    packet.stream = stream
                    packet.pts, packet.dts = packet.pts + end, packet.dts + end
                    output.mux(packet)
                step = packets[1].dts - packets[0].dts
                end = max(packet.pts for packet in packets) + step
    return file.getvalue()


def sound(container="mp4", codec="aac"):
    """Returns a file that holds half a second of sound alone."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=16000)
        stream.layout = "mono"
        for i in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate, frame.pts = 16000, 1024 * i
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def damaged(data, seed, length=300):
    """Returns the data with `length` bytes somewhere past the first fifth overwritten."""
    rng = np.random.default_rng(seed)
    data = bytearray(data)
    place = int(rng.integers(len(data) // 5, len(data) - length))
    data[place : place + length] = rng.bytes(length)
    return bytes(data)


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
