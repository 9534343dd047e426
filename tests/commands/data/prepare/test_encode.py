"""Videos encoded anew: every frame at its time, upright, and key frames where they were asked."""

import io
import struct
import wave

import av
import numpy as np
import pytest

from jaxaction.commands.data.prepare.encode import Encoding, _rising_times, prepare_video
from jaxaction.data import decode
from tests.data.videos import CLIPS, decoded, encoded, pictures


@pytest.fixture
def store(tmp_path):
    """Writes a file and returns what `prepare_video` makes of it."""

    def stored(data, short_side=0, gop=4):
        (tmp_path / "video").write_bytes(data)
        return prepare_video(tmp_path / "video", Encoding(short_side, gop))

    return stored


def frames_of(data):
    with av.open(io.BytesIO(data)) as container:
        return list(container.decode(video=0))


def times_of(data):
    return [frame.pts * frame.time_base for frame in frames_of(data)]


def one_picture(codec, container, picture, pix_fmt="yuv420p", colorspace=2, color_range=0):
    """A video file of one frame, tagged with its colour space and range."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = color_range
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        tags = {"dst_colorspace": 1} if colorspace == 1 else {}
        tags |= {"dst_color_range": color_range} if color_range else {}
        output.mux(stream.encode(frame.reformat(format=pix_fmt, **tags)))
        output.mux(stream.encode(None))
    return file.getvalue()


def distance(a, b):
    """Root of the mean squared difference in grey levels."""
    return np.sqrt(np.mean((a.astype(float) - b) ** 2))


def with_matrix(data, a, b, c, d):
    """An mp4 whose display matrix says x' = a x + c y, y' = b x + d y."""
    at = data.index(b"tkhd") + 44
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data[:at] + matrix + data[at + 36 :]


def test_bytes_are_stored_as_they_are(store):
    data = encoded(count=7) + b"\0\0"
    assert store(data, gop=0) == (data, 7, "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no video at all", "cannot be opened"),
        (encoded(count=5)[:200], "cannot be opened|no frame"),
    ],
)
@pytest.mark.parametrize("gop", [0, 4])
def test_a_file_that_does_not_decode_is_refused(store, data, reason, gop):
    with pytest.raises(decode.DecodeError, match=reason):
        store(data, gop=gop)


@pytest.mark.parametrize("gop", [0, 4])
def test_sound_alone_is_refused(store, gop):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with pytest.raises(decode.DecodeError, match="no video stream"):
        store(file.getvalue(), gop=gop)


def test_every_gop_th_frame_is_a_key_frame_and_none_is_a_b_frame(store):
    frames = frames_of(store(encoded(count=23, bf="3"), gop=5).data)
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 5, 10, 15, 20]
    kinds = av.video.frame.PictureType
    assert {frame.pict_type for frame in frames} == {kinds.I, kinds.P}


def test_key_frames_of_the_source_do_not_come_again(store):
    frames = frames_of(store(encoded(count=9, g="2"), gop=6).data)
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 6]


@pytest.mark.parametrize(
    "data",
    [
        encoded(count=11, bf="3"),
        encoded(count=6, times=[0, 1, 4, 5, 11, 12]),
        encoded("webm", "libvpx", count=9),
        encoded("matroska", count=6, times=[3, 4, 5, 9, 10, 11]),
    ],
    ids=["B-frames", "uneven", "webm", "late"],
)
def test_frames_keep_their_times(store, data):
    again = store(data).data
    assert times_of(again) == sorted(times_of(data))
    assert distance(decoded(again), decoded(data)) < 10  # of an encoder; another frame is 20 away


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1, 2, 4, 3, 5], [1, 2, 3, 4, 5]),  # MPEG-4 AVI with B-frames
        ([7, 7, 7, 9], [7, 8, 9, 10]),
        ([-4, 0, 4], [0, 4, 8]),
        ([0, None, 80], [0, 40, 80]),
    ],
)
def test_times_that_do_not_rise_are_made_to(times, expected):
    assert _rising_times(times, 40) == expected


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")
def test_a_real_avi_with_times_out_of_order_keeps_its_frames(store):
    data = (CLIPS / "mpeg4_bframes.avi").read_bytes()
    again = store(data)
    assert times_of(again.data) == sorted(times_of(data)) != times_of(data)
    assert again.frames == 164
    assert distance(decoded(again.data)[::20], decoded(data)[::20]) < 4


def test_a_damaged_file_has_the_frames_that_decoding_yields(store):
    data = bytearray(encoded(count=30, g="10", bf="0"))
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    again = store(bytes(data))
    assert again.frames == len(decoded(bytes(data))) == len(decoded(again.data))


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((48, 64), 24, (24, 32)),
        ((64, 48), 24, (32, 24)),
        ((48, 64), 96, (48, 64)),  # never enlarged
        ((48, 85), 24, (24, 42)),
        ((49, 65), 0, (48, 64)),
        ((49, 65), 48, (48, 64)),
    ],
)
def test_the_short_side_shrinks_to_even_sizes(store, size, short_side, expected):
    data = one_picture("mpeg4", "avi", np.full((*size, 3), 90, np.uint8))
    assert decoded(store(data, short_side).data).shape == (1, *expected, 3)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda x: x),
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((0, -1, 1, 0), lambda x: np.rot90(x)),
        ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
        ((1, 0, 0, -1), lambda x: x[::-1]),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    ],
)
def test_the_display_matrix_is_applied(store, matrix, expected):
    again = store(with_matrix(encoded(count=2), *matrix)).data
    assert distance(decoded(again)[0], expected(decoded(encoded(count=1))[0])) < 10
    assert frames_of(again)[0].rotation == 0


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt", "colorspace", "color_range"),
    [
        ("libx264", "mp4", "yuv420p", 1, 1),  # BT.709
        ("libx264", "mp4", "yuv420p", 1, 2),  # and the full range
        ("mjpeg", "avi", "yuvj420p", 2, 2),
        ("ffv1", "matroska", "yuv420p10le", 2, 0),
    ],
)
def test_colours_come_out_as_they_were(store, codec, container, pix_fmt, colorspace, color_range):
    data = one_picture(codec, container, flat_colours(), pix_fmt, colorspace, color_range)
    again = decoded(store(data).data)[0]
    # Compared with BT.601 or the other range, the patches would be 10 grey levels and more away.
    inner = [slice(4, -4), slice(4, 28)]
    assert distance(again[*inner], flat_colours()[*inner]) < 4


def flat_colours():
    picture = np.empty((48, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = (200, 60, 30), (20, 90, 220)
    return picture


def test_pictures_that_differ_are_told_apart_by_the_distance():
    assert distance(pictures(2)[0], pictures(2)[1]) > 20
