"""Reads single frames, exactly those asked for, from mp4, avi and all that PyAV's FFmpeg opens."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from numbers import Rational
from pathlib import Path
from typing import Any

import av.error
import av.stream
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from jaxaction.data import orientation, packets
from jaxaction.data.stills import FrameFolder, Indices, Stills
from jaxaction.errors import InputError

# FFmpeg also "plays" texts, single pictures, and lists of other files or addresses. A list can make
# it wait for ever, so these formats are not tried.
_NO_VIDEOS = {"tty", "image2", "image2pipe", "hls", "dash", "webm_dash_manifest", "concat", "sdp"}
_OPTIONS = {
    "format_whitelist": ",".join(
        sorted(
            name
            for name in av.formats_available
            if name not in _NO_VIDEOS and not name.endswith("_pipe")
        )
    ),
    "protocol_whitelist": "file",
}
# A title that is not UTF-8 must not make a video unreadable. PyAV 19 always replaces bad bytes, and
# has no option for it; PyAV 16 to 18 raise an error without this option.
_REPLACE_BAD_TEXT: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
)
_GUESSED_FPS = 25.0  # FFmpeg assumes it if a stream has no frame rate
# Up to this size, the frames of a counting pass are kept, so that reading needs no second pass.
_KEEP_BYTES = 256 * 2**20


class DecodeError(InputError):
    """A video that cannot be read; the message names it."""


def num_frames(source: object) -> int:
    """Returns the number of frames that decoding gives, whatever the file's header claims.

    `source` is anything that `open_video` takes. `DecodeError` if no frame can be decoded.
    """
    with open_video(source) as video:
        return video.count_by_decoding()


def read_frames(source: object, indices: Indices) -> UInt8[np.ndarray, "t h w c"]:
    """Returns the frames with these numbers (from 0, any order, repeats allowed) as RGB.

    Frame i is the i-th that decoding the whole file gives, also where presentation times are out
    of order (MPEG-4 AVI with B-frames). `source` is anything that `open_video` takes; `DecodeError`
    names a video that is missing, unreadable, or has no frame with such a number.
    """
    with open_video(source) as video:
        return video.read(indices)


def open_video(source: object) -> "Video | Stills":
    """Returns an opened video with `num_frames` and `read(indices)`, as a context manager.

    `source` is a path, an encoded file's bytes, a list of encoded pictures, or a `FrameFolder`. To
    sample frames, open the video once: counting and reading then demux the file only once.
    `DecodeError` for a video that can't be opened, `TypeError` for any other value.
    """
    if isinstance(source, (str, os.PathLike)):
        return Video(_checked_path(source), str(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        if not len(source):
            raise DecodeError("the video is empty: 0 bytes")
        return Video(bytes(source), f"video of {len(source)} bytes")
    if isinstance(source, (list, tuple)):
        return Stills(source, DecodeError)
    if isinstance(source, FrameFolder):
        return source.open(DecodeError)
    raise TypeError(f"a video is a path, bytes or a list of pictures, not {type(source).__name__}")


def open_container(
    file: str | io.BytesIO, options: Mapping[str, str] | None = None
) -> InputContainer:
    """Returns the container of a file, opened for reading; options are FFmpeg's."""
    options = None if options is None else dict(options)
    return av.open(file, mode="r", options=options, **_REPLACE_BAD_TEXT)


class Video:
    """One opened file: `num_frames` and `read(indices)`.

    All packets are kept in memory, which takes as much as the file's size. If the container's times
    can be trusted (`packets.trusted_timeline`), frames are counted without decoding, and reading
    starts at the nearest key frame. Otherwise all frames are decoded and counted from the start.
    """

    def __init__(self, file: str | bytes, name: str):
        self._file = file
        self._name = name
        self._open_packets()
        self._timeline = packets.trusted_timeline(self._container, self._stream, self._packets)
        self._frames: list[av.VideoFrame] = []  # from a counting pass, not yet RGB
        self._count = -1  # not known yet
        self._to_rgb = VideoReformatter()

    def _open_packets(self) -> None:
        self._container = self._open_container()
        self._stream = self._find_stream()
        self._packets = packets.demux(self._container, self._stream)

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the file and its decoder."""
        self._frames = []
        self._packets = []
        self._container.close()

    @property
    def num_frames(self) -> int:
        """The number of frames; decodes the video only if its container can't be trusted."""
        if self._count < 0:
            if self._timeline is None:
                return self.count_by_decoding()
            self._count = self._at_least_one(len(self._timeline.times))
        return self._count

    @property
    def time_base(self) -> Rational:
        """The unit of the frames' `pts`, in seconds."""
        # PyAV 19 has a class of its own for it, which is registered as a Rational.
        return self._stream.time_base  # pyright: ignore[reportReturnType]

    @property
    def fps(self) -> float:
        """Average frames per second, by the container or FFmpeg's guess; always above 0."""
        stream = self._stream
        rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        return float(next((rate for rate in rates if rate), _GUESSED_FPS))

    def count_by_decoding(self) -> int:
        """Decodes the video and returns the number of frames; `DecodeError` if there is none."""
        frames, held_bytes, count = [], 0, 0
        for frame in self.frames():
            count += 1
            held_bytes += 2 * frame.width * frame.height  # YUV has 1.5 to 3 bytes per pixel
            if held_bytes <= _KEEP_BYTES:
                frames.append(frame)
        self._frames = frames if held_bytes <= _KEEP_BYTES else []
        self._count = self._at_least_one(count)
        # Counts that differ show that the container's times are wrong.
        if self._timeline is not None and count != len(self._timeline.times):
            self._timeline = None
        return count

    def read(self, indices: Indices) -> UInt8[np.ndarray, "t h w c"]:
        """Returns these frames as RGB; any order, repeats allowed."""
        indices = [int(i) for i in indices]
        if not indices:
            raise ValueError("read needs at least one frame number")
        if min(indices) < 0:
            raise ValueError(f"frame number {min(indices)} is negative")
        wanted = sorted(set(indices))
        timeline = self._timeline
        frames = self._read_by_time(wanted, timeline) if timeline is not None else None
        if frames is None:
            frames = self._read_by_counting(wanted)
        return self._rgb(frames, indices)

    def _open_container(self) -> InputContainer:
        file = self._file if isinstance(self._file, str) else io.BytesIO(self._file)
        try:
            return open_container(file, options=_OPTIONS)
        except av.error.ArgumentError:
            raise DecodeError(f"{self._name} is not a video") from None
        except (av.error.FFmpegError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DecodeError(f"{self._name} cannot be opened as a video: {reason}") from None

    def _find_stream(self) -> av.VideoStream:
        missing = "has no video stream"
        for stream in self._container.streams.video:
            if stream.disposition & av.stream.Disposition.attached_pic:  # a cover, not the video
                continue
            if stream.codec_context:
                stream.thread_count = 1  # parallelism is across videos, not inside one
                return stream
            missing = "has a codec for which FFmpeg has no decoder"
        self._container.close()
        raise DecodeError(f"{self._name} {missing}")

    def _at_least_one(self, count: int) -> int:
        if not count:
            raise DecodeError(f"{self._name}: no frame can be decoded")
        return count

    def _read_by_time(
        self, wanted: Sequence[int], timeline: packets.Timeline
    ) -> dict[int, av.VideoFrame] | None:
        """Returns {number: frame} by presentation time, or None if decoding disagrees."""
        if wanted[-1] >= len(timeline.times):
            raise DecodeError(self._too_short_message(wanted[-1], len(timeline.times)))
        times = [timeline.times[i] for i in wanted]
        by_time = packets.decode_at_times(self._stream, self._packets, timeline, times)
        if by_time is None:
            self._timeline, self._count = None, -1
            return None
        return dict(zip(wanted, (by_time[time] for time in times), strict=True))

    def _read_by_counting(self, wanted: Sequence[int]) -> dict[int, av.VideoFrame]:
        """Returns {number: frame} by counting decoded frames from the start."""
        numbers, count = set(wanted), 0
        frames: dict[int, av.VideoFrame] = {}
        for frame in self._frames or self.frames():
            if count in numbers:
                frames[count] = frame
            count += 1
            if len(frames) == len(numbers):
                return frames
        raise DecodeError(self._too_short_message(wanted[-1], count))

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yields all frames that decoding gives, in the file's own colours and orientation."""
        # A fresh decoder, because a used one conceals damage in another way.
        if self._stream.codec_context.is_open:
            self._container.close()
            self._open_packets()
        return packets.decode_from_start(self._stream, self._packets)

    def _too_short_message(self, index: int, count: int) -> str:
        return f"{self._name} has {count} frames; there is no frame {index}"

    def _rgb(
        self, frames: Mapping[int, av.VideoFrame], indices: Sequence[int]
    ) -> UInt8[np.ndarray, "t h w 3"]:
        pictures = {i: self._picture(frame) for i, frame in frames.items()}
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise DecodeError(f"{self._name} has frames of several sizes")
        out = np.empty((len(indices), *pictures[indices[0]].shape), np.uint8)
        for position, i in enumerate(indices):
            out[position] = pictures[i]
        return out

    def _picture(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        try:
            # One thread: the loader reads a video in each of its own.
            frame = self._to_rgb.reformat(frame, format="rgb24", threads=1)
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DecodeError(f"{self._name} has colors that cannot be read: {reason}") from None
        return orientation.upright_pixels(frame)


def _checked_path(source: str | os.PathLike) -> str:
    path = Path(source)
    if not path.is_file():
        raise DecodeError(f"{source} is not a file")
    if not path.stat().st_size:
        raise DecodeError(f"{source} is empty: 0 bytes")
    return f"file:{path}"  # else FFmpeg takes a colon in a name for a protocol
