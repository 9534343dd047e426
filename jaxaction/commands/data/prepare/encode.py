"""Prepares one video for a data set: decodes it as a check, and encodes it again if asked to."""

import io
from collections.abc import Iterable
from fractions import Fraction
from numbers import Rational
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from jaxaction.data import decode, truncated

MAX_BYTES = 2**31 - 2**20  # of one record: protobuf's limit, with room for the other features
QUALITY = {"preset": "veryfast", "crf": "20"}
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED


class Encoding(NamedTuple):
    """How videos are stored."""

    short_side: int = 0
    """Pixels, even; a smaller video keeps its size; 0: every video does."""
    gop: int = 0
    """Frames from one key frame to the next; 0: the file's bytes are stored as they are."""


class Encoded(NamedTuple):
    """A video as it is stored."""

    data: bytes
    frames: int
    problem: str = ""
    """Damage of an incomplete file: `is cut off or damaged: 81 of 280 frames can be decoded`."""


def prepare_video(path: str | Path, encoding: Encoding) -> Encoded:
    """Returns the video file as it shall be stored; every frame of it was decoded once.

    `DecodeError` or `OSError`, with the reason, where that can't be.
    """
    data = Path(path).read_bytes()
    encoded = _reencode_checked(data, encoding) if encoding.gop else _decode_checked(data)
    problem = truncated.describe_truncation(encoded.frames, truncated.header_frames(data))
    return encoded._replace(problem=problem)


def _reencode_checked(data: bytes, encoding: Encoding) -> Encoded:
    encoded = reencode(data, encoding)
    checked = _decode_checked(encoded.data)
    if checked.frames != encoded.frames:
        raise decode.DecodeError(
            f"encoded anew it has {checked.frames} frames in place of {encoded.frames}"
        )
    return checked


def _decode_checked(data: bytes) -> Encoded:
    with decode.open_video(data) as video:
        frames = sum(1 for _ in video.frames())
    if not frames:
        raise decode.DecodeError("no frame of it can be decoded")
    if len(data) > MAX_BYTES:
        raise decode.DecodeError("larger than 2 GiB; store it with --short-side")
    return Encoded(data, frames)


def reencode(data: bytes, encoding: Encoding) -> Encoded:
    """Returns the video as an mp4 of h264 with all its frames, at their times, upright.

    Every `gop`-th frame is a key frame, there are no B-frames and no sound. Sides are even, the
    shorter one has at most `short_side` pixels. Frames of another size than the first, which some
    files have, take the first one's. The `DecodeError` of `decode.open_video`.
    """
    with decode.open_video(data) as video:
        encoder = _Encoder(encoding, video.fps, video.time_base)
        count = sum(1 for _ in map(encoder.add, video.frames()))
    if not count:
        raise decode.DecodeError("no frame of it can be decoded")
    return Encoded(encoder.finish(), count)


class _Encoder:
    """Encodes frames under their numbers; the packets get their times when all are known."""

    def __init__(self, encoding: Encoding, fps: float, time_base: Rational):
        self._encoding = encoding
        self._rate = Fraction(fps).limit_denominator(2**16)
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="mp4")
        self._packets: list[av.Packet] = []
        self._times: list[int | None] = []  # of the frames
        self._time_base = time_base  # the unit of these times
        self._stream = None
        self._resize = VideoReformatter()

    def add(self, frame: av.VideoFrame) -> None:
        """Takes the next frame."""
        number = len(self._times)
        self._times.append(frame.pts)
        frame = _turn_upright(frame)
        if self._stream is None:
            self._stream = self._new_stream(frame)
        frame = self._resize.reformat(
            frame,
            self._stream.width,
            self._stream.height,
            "yuv420p",
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            threads=1,
        )
        frame.pict_type = PictureType.NONE  # else the source's key frames would come again
        frame.pts, frame.time_base = number, 1 / self._rate
        self._packets += self._stream.encode(frame)

    def finish(self) -> bytes:
        """Returns the file, in which frame i is shown at the i-th of the frames' times."""
        self._packets += self._stream.encode(None)
        self._stream.time_base = self._time_base  # what the container will count in
        times = _rising_times(self._times, max(1, round(1 / (self._rate * self._time_base))))
        for packet, time in zip(self._packets, times, strict=True):
            packet.pts = packet.dts = time
            packet.time_base = self._time_base
            self._container.mux(packet)
        self._container.close()
        return self._file.getvalue()

    def _new_stream(self, frame):
        gop = str(self._encoding.gop)
        options = {"g": gop, "keyint_min": gop, "sc_threshold": "0", "bf": "0", **QUALITY}
        stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.width, stream.height = _size(frame, self._encoding.short_side)
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # parallelism is across videos, not inside one
        context = stream.codec_context
        # YUV here, whatever it was: the RGB of some encoders (0) would be a lie.
        context.colorspace = frame.colorspace or _UNSPECIFIED
        context.color_range = frame.color_range
        context.color_trc, context.color_primaries = frame.color_trc, frame.color_primaries
        return stream


def _size(frame, short_side) -> tuple[int, int]:
    """Even width and height, aspect kept, never larger than the frame (but at least 2)."""
    short = min(frame.width, frame.height)
    wanted = min(short_side or short, short)
    sides = (frame.width * wanted / short, frame.height * wanted / short)
    width, height = (max(2, 2 * round(side / 2 - 1e-6)) for side in sides)
    return min(width, max(2, frame.width // 2 * 2)), min(height, max(2, frame.height // 2 * 2))


def _rising_times(times: Iterable[int | None], step: int) -> list[int]:
    """Returns as many times, not negative and strictly rising: the given ones in order.

    If a frame of the file has no time, the times are `step` apart.
    """
    times = list(times)
    if any(time is None for time in times):
        return [i * step for i in range(len(times))]
    ordered = sorted(times)
    shift = min(ordered[0], 0)
    rising: list[int] = []
    for time in ordered:
        rising.append(max(time - shift, rising[-1] + 1 if rising else 0))
    return rising


def _turn_upright(frame: av.VideoFrame) -> av.VideoFrame:
    """Returns the frame as a player shows it: mirrored and turned as its display matrix says."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return frame
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    flip_x, flip_y = (c < 0, b < 0) if swap else (a < 0, d < 0)
    if not (swap or flip_x or flip_y):
        return frame
    return _turn(frame, swap, flip_x, flip_y)


def _turn(frame, swap, flip_x, flip_y) -> av.VideoFrame:
    planes = frame.reformat(format="yuv444p", threads=1).to_ndarray()  # [3, h, w]
    planes = planes.swapaxes(1, 2) if swap else planes
    planes = planes[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1]
    turned = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv444p")
    turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
    turned.color_trc, turned.color_primaries = frame.color_trc, frame.color_primaries
    return turned
