"""Checks without decoding whether a stream's packets have the format of their codec.

Decoders drop damaged packets, and then frame numbers no longer follow from the container's times.
Nearly all of this damage shows in the lengths and first bytes of the units that fill a packet
(ITU-T H.264, 7.3.1 and 7.3.3; ITU-T H.265, 7.3.1).
"""

from collections.abc import Callable, Sequence, Set

import av

# Takes a packet and whether it is a key frame. Returns whether its picture is a reference; None for
# a packet that breaks the format.
_Inspector = Callable[[memoryview, bool], bool | None]

# Kinds of units that a packet may have in addition to slices: supplements, delimiters, ends and
# filler; in HEVC also units that decoders ignore (Dolby Vision of phones).
_H264_NON_PICTURE = {6, 9, 10, 11, 12}
_HEVC_NON_PICTURE = {35, 36, 37, 38, 39, 40, *range(48, 64)}
_H264_PARAMETERS = {7, 8}
_HEVC_PARAMETERS = {32, 33, 34}
# The second byte of a picture's first slice in H.264.
_H264_BEGINS = frozenset(128 + bits for bits in range(8, 128) if bits != 0b0001011)


def reference_flags(
    codec: str, extradata: bytes | None, packets: Sequence[av.Packet]
) -> list[bool] | None:
    """Returns for each packet whether its picture is a reference, which the decoder never skips.

    None if a packet breaks the format, has no picture, or changes the decoder's parameters.
    `codec` is "h264" or "hevc".
    """
    if any(packet.is_keyframe and packet.has_sidedata("new_extradata") for packet in packets):
        return None
    try:
        inspect = _INSPECTORS[codec](extradata or b"")
        flags = [inspect(memoryview(packet), packet.is_keyframe) for packet in packets]
    except (IndexError, ValueError):  # a unit ends too early
        return None
    known = [flag for flag in flags if flag is not None]
    return known if len(known) == len(flags) else None


def _h264_inspector(extradata: bytes) -> _Inspector:
    # ISO/IEC 14496-15, AVCDecoderConfigurationRecord: byte 4 has the size of lengths.
    length_size, header = _length_size(extradata, 4), extradata

    def inspect(data: memoryview, is_key: bool) -> bool | None:
        is_reference = None
        for unit in _units(data, length_size):
            kind = unit[0] & 159  # includes the forbidden bit, which must be 0
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


def _hevc_inspector(extradata: bytes) -> _Inspector:
    # ISO/IEC 14496-15, HEVCDecoderConfigurationRecord: byte 21 has the size of lengths.
    length_size, header = _length_size(extradata, 21), extradata

    def inspect(data: memoryview, is_key: bool) -> bool | None:
        is_reference = None
        for unit in _units(data, length_size):
            kind = unit[0] >> 1  # includes the forbidden bit, which must be 0
            if unit[0] & 1 or unit[1] >> 3 or not unit[1] & 7:  # another layer, or no temporal id
                return None
            if kind < 10 or 16 <= kind <= 21:  # a slice; from 16 on, of a key frame
                # Only the first slice of a picture begins with the bit 1.
                if (kind >= 16) != is_key or (is_reference is None) != bool(unit[2] & 128):
                    return None
                is_reference = kind >= 16 or bool(kind & 1)
            elif not _is_harmless(unit, kind, _HEVC_NON_PICTURE, _HEVC_PARAMETERS, header):
                return None
        return is_reference

    return inspect


_INSPECTORS = {"h264": _h264_inspector, "hevc": _hevc_inspector}


def _length_size(extradata: bytes, position: int) -> int:
    """Returns the number of bytes of the length in front of each unit."""
    if extradata[0] != 1:
        raise ValueError("units with start codes, not lengths")
    return (extradata[position] & 3) + 1


def _units(data: memoryview, length_size: int) -> list[memoryview]:
    """Returns the units that fill a packet; `ValueError` if they don't."""
    units, position, end = [], 0, len(data)
    while position < end:
        begin = position + length_size
        position = begin + int.from_bytes(data[begin - length_size : begin], "big")
        if position > end or position == begin:
            raise ValueError("units that don't fill their packet")
        units.append(data[begin:position])
    return units


def _is_harmless(
    unit: memoryview, kind: int, non_picture: Set[int], parameters: Set[int], header: bytes
) -> bool:
    """Whether a unit is no slice, and changes no parameters: those of the header may repeat."""
    return kind in non_picture or (kind in parameters and bytes(unit) in header)
