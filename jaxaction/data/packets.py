"""Packets of one video stream: which frame each holds, and decoding as few as needed."""

import contextlib
from collections.abc import Iterator, Sequence

import av
from av.video.frame import PictureType

# Containers with real presentation times, and codecs with one shown frame a packet. MPEG-4 part 2
# is not among them: packed B-frames and frames that are "not coded" break the rule.
_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
_CODECS = {"h264", "hevc", "vp8", "vp9"}


def demux(container, stream) -> list[av.Packet]:
    """Returns the stream's packets in decoding order; of a cut-off file, those that are left."""
    found = []
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:  # an empty one would end the decoder's work
                found.append(packet)
    return found


def presentation_times(container, stream, packets: Sequence[av.Packet]) -> list[int] | None:
    """Returns the times of the frames that will be shown, in order; None where not trustworthy.

    Trustworthy: a container with times for every frame, none twice, nothing cut off, and no frame
    shown before the first key frame. Frames that an edit list hides are left out, as by decoding.
    """
    if not _CONTAINERS & set(container.format.name.split(",")):
        return None
    if stream.codec_context.codec.canonical_name not in _CODECS:
        return None
    if not packets or any(packet.is_corrupt or packet.pts is None for packet in packets):
        return None
    stored = [packet.pts for packet in packets]
    times = sorted(stored)
    if not packets[0].is_keyframe or stored[0] != times[0] or len(set(times)) != len(times):
        return None
    if stream.codec_context.has_b_frames and stored == times:
        return None  # decoding will reorder frames, but the container's times don't say so
    return sorted(packet.pts for packet in packets if not packet.is_discard)


def decode_from_start(stream, packets: Sequence[av.Packet]) -> Iterator[av.VideoFrame]:
    """Yields every frame that decoding gives, skipping packets that are damaged."""
    context = stream.codec_context
    for packet in [*packets, None]:
        try:
            yield from context.decode(packet)
        except av.error.FFmpegError:
            continue


def decode_at_times(
    stream, packets: Sequence[av.Packet], times: Sequence[int]
) -> dict[int, av.VideoFrame] | None:
    """Returns the frames with these presentation times, or None if decoding met any surprise.

    `times` are among those of `presentation_times`. Decoding starts at the last key frame before a
    wanted one, and frames that no other needs are skipped unless wanted.
    """
    found, wanted = {}, set(times)
    for first, last in _stretches(packets, times):
        run = _decode_stretch(stream, packets[first : last + 1], wanted)
        if run is None and first:
            run = _decode_stretch(stream, packets[: last + 1], wanted)
        if run is None:
            return None
        found.update(run)
    return found if wanted <= found.keys() else None


def _stretches(packets, times) -> list[tuple[int, int]]:
    """Returns (first, last) packets of the stretches that must be decoded, in decoding order."""
    position = {packet.pts: i for i, packet in enumerate(packets)}
    keys = [(packet.pts, i) for i, packet in enumerate(packets) if packet.is_keyframe]
    stretches: list[tuple[int, int]] = []
    for time in sorted(times):
        entry = max(i for pts, i in keys if pts <= time)
        last = position[time]
        if stretches and entry <= stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], max(last, stretches[-1][1]))
        else:
            stretches.append((entry, last))
    return stretches


def _decode_stretch(stream, packets, wanted) -> dict[int, av.VideoFrame] | None:
    """Returns the wanted frames of packets that begin with a key frame; None if they are not whole.

    Not whole: the key frame does not come first and by itself (a gradual refresh), a packet is
    damaged, or frames come out of order.
    """
    context, found = _restarted(stream), {}
    previous = None
    for packet in [*packets, None]:
        skip = packet is not None and packet.pts not in wanted
        context.skip_frame = "NONREF" if skip else "DEFAULT"
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            return None
        for frame in frames:
            if not _expected(frame, previous, packets[0]):
                return None
            previous = frame.pts
            if frame.pts in wanted:
                found[frame.pts] = frame
    return found


def _expected(frame, previous, key) -> bool:
    if previous is None:
        return frame.pts == key.pts and frame.pict_type == PictureType.I
    return frame.pts is not None and frame.pts > previous and not frame.is_corrupt


def _restarted(stream):
    context = stream.codec_context
    if context.is_open:
        context.flush_buffers()
    context.skip_frame = "DEFAULT"
    return context
