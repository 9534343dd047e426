"""Whether a stream's packets are as its codec's format has them, found without decoding.

Decoders drop damaged packets, and then frame numbers no longer follow from the container's times.
Nearly all of such damage shows in the lengths and first bytes of the units that fill a packet
(ITU-T H.264, 7.3.1 and 7.3.3; ITU-T H.265, 7.3.1).
"""

from collections.abc import Sequence

import av

# Kinds of units that a packet may hold beside slices: supplements, delimiters, ends, filler; in
# HEVC also those for others than the decoder (phones' Dolby Vision).
_H264_NON_PICTURE = {6, 9, 10, 11, 12}
_HEVC_NON_PICTURE = {35, 36, 37, 38, 39, 40, *range(48, 64)}
_H264_PARAMETERS = {7, 8}
_HEVC_PARAMETERS = {32, 33, 34}
# The second byte of a picture's first slice in H.264.
_H264_BEGINS = frozenset(128 + bits for bits in range(8, 128) if bits != 0b0001011)


def reference_flags(
    codec: str, extradata: bytes | None, packets: Sequence[av.Packet]
) -> list[bool] | None:
    """For each packet: is its picture a reference, which the decoder never skips?

    None if a packet is not as the format has it, holds no picture, or changes the decoder's
    parameters. `codec` is "h264" or "hevc".
    """
    if any(packet.is_keyframe and packet.has_sidedata("new_extradata") for packet in packets):
        return None
    try:
        inspect = _INSPECTORS[codec](extradata or b"")
        flags = [inspect(memoryview(packet), packet.is_keyframe) for packet in packets]
    except (IndexError, ValueError):  # it ends before it should
        return None
    return None if None in flags else flags


def _h264_inspector(extradata):
    length_size, header = _length_size(extradata, 4), extradata

    def inspect(data, is_key):
        is_reference = None
        for unit in _units(data, length_size):
            kind = unit[0] & 159  # with the bit that must be 0
            if kind == 1 or (kind == 5 and is_key):
                unit_is_reference = bool(unit[0] & 96)
                # A picture's first slice begins at block 0 ("1") and has one of ten types, up to
                # "0001010"; all slices agree on whether the picture is a reference.
                if is_reference is None:
                    fits = unit[1] in _H264_BEGINS
                else:
                    fits = unit_is_reference == is_reference
                if not fits:
                    return None
                is_reference = unit_is_reference
            elif not _is_harmless(unit, kind, _H264_NON_PICTURE, _H264_PARAMETERS, header):
                return None
        return is_reference

    return inspect


def _hevc_inspector(extradata):
    length_size, header = _length_size(extradata, 21), extradata

    def inspect(data, is_key):
        is_reference = None
        for unit in _units(data, length_size):
            kind = unit[0] >> 1  # with the bit that must be 0
            if unit[0] & 1 or unit[1] >> 3 or not unit[1] & 7:  # another layer, or none
                return None
            if kind < 10 or 16 <= kind <= 21:
                if (kind >= 16) != is_key or (is_reference is None) != bool(unit[2] & 128):
                    return None
                is_reference = kind >= 16 or bool(kind & 1)
            elif not _is_harmless(unit, kind, _HEVC_NON_PICTURE, _HEVC_PARAMETERS, header):
                return None
        return is_reference

    return inspect


_INSPECTORS = {"h264": _h264_inspector, "hevc": _hevc_inspector}


def _length_size(extradata, position) -> int:
    """Returns how many bytes hold a unit's length."""
    if extradata[0] != 1:
        raise ValueError("units with start codes, not lengths")
    return (extradata[position] & 3) + 1


def _units(data, length_size) -> list[memoryview]:
    """Returns the units that fill a packet; `ValueError` if they don't."""
    units, position, end = [], 0, len(data)
    while position < end:
        begin = position + length_size
        position = begin + int.from_bytes(data[begin - length_size : begin], "big")
        if position > end or position == begin:
            raise ValueError("units that don't fill their packet")
        units.append(data[begin:position])
    return units


def _is_harmless(unit, kind, non_picture, parameters, header) -> bool:
    """Whether a unit is no slice and does no harm: parameters must be those of the header."""
    return kind in non_picture or (kind in parameters and bytes(unit) in header)
