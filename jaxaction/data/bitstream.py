"""Whether a stream's packets are as its codec's format has them, found without decoding.

Decoders drop damaged packets, and then frame numbers no longer follow from the container's times.
Nearly all of such damage shows in the lengths and first bytes of the units that fill a packet
(ITU-T H.264, 7.3.1 and 7.3.3; ITU-T H.265, 7.3.1).
"""

from collections.abc import Sequence

import av

# What else may stand in a packet beside slices: supplements, delimiters, ends, filler; in HEVC also
# what is for others than the decoder (phones' Dolby Vision).
_H264_OTHER = {6, 9, 10, 11, 12}
_HEVC_OTHER = {35, 36, 37, 38, 39, 40, *range(48, 64)}
_H264_PARAMETERS = {7, 8}
_HEVC_PARAMETERS = {32, 33, 34}
# The byte after an H.264 slice's first.
_H264_BEGINS = frozenset(128 + rest for rest in range(8, 128) if rest != 0b0001011)


def always_shown(
    codec: str, extradata: bytes | None, packets: Sequence[av.Packet]
) -> list[bool] | None:
    """For each packet: must its frame come out also where the decoder skips what no other needs?

    None if a packet is not as the format has it, holds no picture, or changes the decoder's
    parameters. `codec` is "h264" or "hevc".
    """
    if any(packet.is_keyframe and packet.has_sidedata("new_extradata") for packet in packets):
        return None
    try:
        look = _LOOKS[codec](extradata or b"")
        shown = [look(memoryview(packet), packet.is_keyframe) for packet in packets]
    except (IndexError, ValueError):  # it ends before it should
        return None
    return None if None in shown else shown


def _h264(extradata):
    size, known = _length_size(extradata, 4), extradata

    def look(data, is_key):
        reference = None
        for unit in _units(data, size):
            kind, needed = unit[0] & 159, bool(unit[0] & 96)  # with the bit that must be 0
            if kind == 1 or (kind == 5 and is_key):
                # A picture's first slice begins at block 0 ("1") and has one of ten types, up to
                # "0001010"; all slices are of one mind about being needed.
                if needed != reference and (reference is not None or unit[1] not in _H264_BEGINS):
                    return None
                reference = needed
            elif not _is_other(unit, kind, _H264_OTHER, _H264_PARAMETERS, known):
                return None
        return reference

    return look


def _hevc(extradata):
    size, known = _length_size(extradata, 21), extradata

    def look(data, is_key):
        reference = None
        for unit in _units(data, size):
            kind = unit[0] >> 1  # with the bit that must be 0
            if unit[0] & 1 or unit[1] >> 3 or not unit[1] & 7:  # another layer, or none
                return None
            if kind < 10 or 16 <= kind <= 21:
                if (kind >= 16) != is_key or (reference is None) != bool(unit[2] & 128):
                    return None
                reference = kind >= 16 or bool(kind & 1)
            elif not _is_other(unit, kind, _HEVC_OTHER, _HEVC_PARAMETERS, known):
                return None
        return reference

    return look


_LOOKS = {"h264": _h264, "hevc": _hevc}


def _length_size(extradata, place) -> int:
    """Returns how many bytes hold a unit's length."""
    if extradata[0] != 1:
        raise ValueError("units with start codes, not lengths")
    return (extradata[place] & 3) + 1


def _units(data, size) -> list[memoryview]:
    """Returns the units that fill a packet; `ValueError` if they don't."""
    units, place, end = [], 0, len(data)
    while place < end:
        begin = place + size
        place = begin + int.from_bytes(data[begin - size : begin], "big")
        if place > end or place == begin:
            raise ValueError("units that don't fill their packet")
        units.append(data[begin:place])
    return units


def _is_other(unit, kind, others, parameters, known) -> bool:
    """Whether a unit is no slice and does no harm: parameters must be those of the header."""
    return kind in others or (kind in parameters and bytes(unit) in known)
