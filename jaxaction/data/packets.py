"""Packets of one video stream: which frame each holds, and decoding as few as needed."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import av
from av.video.frame import PictureType

from jaxaction.data import bitstream

# Containers with real presentation times, and codecs with one shown frame a packet, in which damage
# shows (`bitstream`). Not so MPEG-4 part 2 (packed B-frames, frames that are "not coded"), VP8
# (hidden frames) and VP9 (all but a few bytes are under an arithmetic code).
_INDEXED, _UNINDEXED = {"mov", "mp4"}, {"matroska", "webm"}
_CODECS = {"h264", "hevc"}


class Timeline(NamedTuple):
    """When the frames of a stream are shown, as its packets say."""

    times: list[int]
    """When frames are shown, in order, without those that an edit list hides."""
    reference_times: frozenset[int]
    """The times of frames that others are predicted from, which the decoder never skips."""


def demux(container, stream) -> list[av.Packet]:
    """Returns the stream's packets in decoding order; of a cut-off file, those that are left."""
    packets = []
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:  # an empty one would end the decoder's work
                packets.append(packet)
    return packets


def trusted_timeline(container, stream, packets: Sequence[av.Packet]) -> Timeline | None:
    """Returns when the frames will be shown; None where the packets can't be trusted to tell.

    Trustworthy: a container with times for every frame, none twice, nothing cut off, no frame shown
    before the first key frame, and packets that look as their codec's should.
    """
    codec = stream.codec_context.codec.canonical_name
    formats = set(container.format.name.split(","))
    if codec not in _CODECS or not formats & (_INDEXED | _UNINDEXED):
        return None
    if not packets or any(packet.is_corrupt or packet.pts is None for packet in packets):
        return None
    decoding_order = [packet.pts for packet in packets]
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


def _has_no_gap(times) -> bool:
    """Whether no frame is missing in between: damage that took one leaves a gap, no other trace."""
    gaps = [later - time for time, later in zip(times, times[1:], strict=False)]
    return not gaps or max(gaps) < 1.5 * min(gaps) + 1


def decode_from_start(stream, packets: Sequence[av.Packet]) -> Iterator[av.VideoFrame]:
    """Yields every frame that decoding gives, skipping packets that are damaged."""
    context = stream.codec_context
    for packet in [*packets, None]:
        try:
            yield from context.decode(packet)
        except av.error.FFmpegError:
            continue


def decode_at_times(
    stream, packets: Sequence[av.Packet], timeline: Timeline, times: Sequence[int]
) -> dict[int, av.VideoFrame] | None:
    """Returns the frames with these presentation times, or None if decoding met any surprise.

    `times` are among the timeline's. Decoding starts at the last key frame before a wanted one,
    and frames that no other needs are skipped unless wanted.
    """
    frames, wanted = {}, set(times)
    for first, last in _stretches(packets, times):
        decoded = _decode_stretch(
            stream, packets[first : last + 1], wanted, timeline.reference_times
        )
        if decoded is None and first:
            decoded = _decode_stretch(stream, packets[: last + 1], wanted, timeline.reference_times)
        if decoded is None:
            return None
        frames.update(decoded)
    return frames


def _stretches(packets, times) -> list[tuple[int, int]]:
    """Returns (first, last) packets of the stretches that must be decoded, in decoding order."""
    position = {packet.pts: i for i, packet in enumerate(packets)}
    keys = [(packet.pts, i) for i, packet in enumerate(packets) if packet.is_keyframe]
    stretches: list[tuple[int, int]] = []
    for time in sorted(times):
        first = max(i for pts, i in keys if pts <= time)
        last = position[time]
        if stretches and first <= stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], max(last, stretches[-1][1]))
        else:
            stretches.append((first, last))
    return stretches


def _decode_stretch(stream, packets, wanted, reference_times) -> dict[int, av.VideoFrame] | None:
    """Returns the wanted frames of packets that begin with a key frame; None if they are not whole.

    Not whole: the key frame does not come first and by itself (a gradual refresh), a packet is
    damaged, or frames are missing or come out of order.
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


def _is_expected(frame, previous, key) -> bool:
    if frame.pts is None or frame.is_corrupt:
        return False
    if previous is None:
        return frame.pts == key.pts and frame.pict_type == PictureType.I
    return frame.pts > previous


def _restart_decoder(stream):
    context = stream.codec_context
    if context.is_open:
        context.flush_buffers()
    else:
        context.options = {"err_detect": "explode"}  # HEVC's decoder hides damage without a word
    context.skip_frame = "DEFAULT"
    return context
