"""The packets of one video stream: which frame is in each, and decoding as few as needed."""

import contextlib
from collections.abc import Collection, Iterator, Sequence, Set
from typing import NamedTuple

import av.error
from av.container import InputContainer
from av.video.frame import PictureType

from jaxaction.data import bitstream

# Containers with real presentation times, and codecs in which every packet has one shown frame and
# damage can be seen (`bitstream`). MPEG-4 part 2 (packed B-frames, frames that are "not coded"),
# VP8 (hidden frames) and VP9 (arithmetic coding of all but a few bytes) don't qualify.
_INDEXED, _UNINDEXED = {"mov", "mp4"}, {"matroska", "webm"}
_CODECS = {"h264", "hevc"}


class Timeline(NamedTuple):
    """The presentation times of a stream's frames, according to its packets."""

    times: list[int]
    """Times of the shown frames, in order; an edit list may hide others."""
    reference_times: frozenset[int]
    """Times of the frames from which others are predicted, and which the decoder never skips."""


def demux(container: InputContainer, stream: av.VideoStream) -> list[av.Packet]:
    """Returns the stream's packets in decoding order; a cut-off file has fewer."""
    packets = []
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:  # an empty packet would end the decoder's work
                packets.append(packet)
    return packets


def trusted_timeline(
    container: InputContainer, stream: av.VideoStream, packets: Sequence[av.Packet]
) -> Timeline | None:
    """Returns the times of the frames, or None if the packets can't be trusted.

    They can if the container has a time for every frame, no time is there twice, nothing is cut
    off, no frame is shown before the first key frame, and all packets have their codec's format.
    """
    codec = stream.codec_context.codec.canonical_name
    formats = set(container.format.name.split(","))
    if codec not in _CODECS or not formats & (_INDEXED | _UNINDEXED):
        return None
    decoding_order = [packet.pts for packet in packets if packet.pts is not None]
    if not packets or len(decoding_order) < len(packets):
        return None
    if any(packet.is_corrupt for packet in packets):
        return None
    times = sorted(decoding_order)
    if not packets[0].is_keyframe or decoding_order[0] != times[0] or len(set(times)) != len(times):
        return None
    if stream.codec_context.has_b_frames and decoding_order == times:
        return None  # decoding will reorder frames, but the container's times don't say so
    if formats & _UNINDEXED and not _has_no_gap(times):
        return None
    is_reference = bitstream.reference_flags(codec, stream.codec_context.extradata, packets)
    if is_reference is None:
        return None
    hidden = {packet.pts for packet in packets if packet.is_discard}
    shown = [time for time in times if time not in hidden]
    flagged = zip(decoding_order, is_reference, strict=True)
    return Timeline(shown, frozenset({time for time, reference in flagged if reference} - hidden))


def _has_no_gap(times: Sequence[int]) -> bool:
    """Whether the times are about evenly spaced.

    Where damage removed a frame from a file without an index, a gap is the only trace of it.
    """
    gaps = [later - time for time, later in zip(times, times[1:], strict=False)]
    # Times in whole milliseconds make gaps at 30 frames per second alternate between 33 and 34.
    return not gaps or max(gaps) < 1.5 * min(gaps) + 1


def decode_from_start(
    stream: av.VideoStream, packets: Sequence[av.Packet]
) -> Iterator[av.VideoFrame]:
    """Yields all frames that decoding gives; damaged packets are skipped."""
    context = stream.codec_context
    for packet in [*packets, None]:  # None asks for the frames that the decoder still has
        try:
            yield from context.decode(packet)
        except av.error.FFmpegError:
            continue


def decode_at_times(
    stream: av.VideoStream, packets: Sequence[av.Packet], timeline: Timeline, times: Sequence[int]
) -> dict[int, av.VideoFrame] | None:
    """Returns the frames with these presentation times, or None if decoding gives anything else.

    `times` are among the timeline's. Decoding starts at the last key frame before a wanted frame,
    and skips frames that are neither wanted nor needed by another.
    """
    frames, wanted = {}, set(times)
    for first, last in _stretches(packets, times):
        decoded = _decode_stretch(
            stream, packets[first : last + 1], wanted, timeline.reference_times
        )
        if decoded is None and first:  # perhaps frames depend on others before the key frame
            decoded = _decode_stretch(stream, packets[: last + 1], wanted, timeline.reference_times)
        if decoded is None:
            return None
        frames.update(decoded)
    return frames


def _stretches(packets: Sequence[av.Packet], times: Collection[int]) -> list[tuple[int, int]]:
    """Returns (first, last) packets of the stretches that must be decoded, in decoding order."""
    position = {packet.pts: i for i, packet in enumerate(packets)}
    keys = [(p.pts, i) for i, p in enumerate(packets) if p.is_keyframe and p.pts is not None]
    stretches: list[tuple[int, int]] = []
    for time in sorted(times):
        first = max(i for pts, i in keys if pts <= time)
        last = position[time]
        if stretches and first <= stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], max(last, stretches[-1][1]))
        else:
            stretches.append((first, last))
    return stretches


def _decode_stretch(
    stream: av.VideoStream,
    packets: Sequence[av.Packet],
    wanted: Set[int],
    reference_times: Set[int],
) -> dict[int, av.VideoFrame] | None:
    """Returns the wanted frames of packets that begin with a key frame; None if they can't be had.

    None if the first frame is not that of the key frame, coded alone (the stream refreshes
    gradually), a packet is damaged, or frames are missing or come out of order.
    """
    context, wanted_frames = _restart_decoder(stream), {}
    missing = {packet.pts for packet in packets} & (wanted | reference_times)
    previous = None
    for packet in [*packets, None]:
        skip = packet is not None and packet.pts not in wanted
        context.skip_frame = "NONREF" if skip else "DEFAULT"
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            return None
        for frame in frames:
            if not _is_expected(frame, previous, packets[0]):
                return None
            previous = frame.pts
            missing.discard(previous)
            if previous in wanted:
                wanted_frames[previous] = frame
    return None if missing else wanted_frames


def _is_expected(frame: av.VideoFrame, previous: int | None, key: av.Packet) -> bool:
    if frame.pts is None or frame.is_corrupt:
        return False
    if previous is None:
        return frame.pts == key.pts and frame.pict_type == PictureType.I
    return frame.pts > previous


def _restart_decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    context = stream.codec_context
    if context.is_open:
        context.flush_buffers()
    else:
        context.options = {"err_detect": "explode"}  # HEVC's decoder conceals damage silently
    context.skip_frame = "DEFAULT"
    return context
