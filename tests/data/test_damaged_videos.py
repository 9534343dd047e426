"""What a folder of real videos holds: each is read as decoding everything reads it, or refused."""

import functools
import io
import struct

import av
import numpy as np
import pytest

from jaxaction.data import decode
from tests.data.test_decode import VARIANTS
from tests.data.videos import CLIPS, damaged, decoded, encoded, joined, pictures, sound

HEVC = dict(codec="libx265", g="12", **{"x265-params": "log-level=none:pools=1:frame-threads=1"})
VP9 = dict(container="webm", codec="libvpx-vp9", deadline="realtime", g="12")
VP8 = dict(container="webm", codec="libvpx", deadline="realtime", g="12")
H264 = dict(g="12", bf="3")
MPEG4 = dict(container="avi", codec="mpeg4", bf="2", g="12")
MKV = dict(container="matroska", **H264)
UNEVEN = np.cumsum(1 + np.arange(40) % 5).tolist()

FINE = {
    "hevc": HEVC,
    "hevc with groups that lean on each other": HEVC
    | {"x265-params": HEVC["x265-params"] + ":open-gop=1:keyint=10:min-keyint=10"},
    "hevc in mkv": HEVC | dict(container="matroska"),
    "uneven times in mkv": MKV | dict(times=UNEVEN),
    "uneven times in webm": VP9 | dict(times=UNEVEN),
    "vp8": VP8,
    "vp8 with hidden frames": VP8
    | {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"}
    | dict(deadline="good"),
    "vp9 with hidden frames": VP9
    | {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"}
    | dict(deadline="good", **{"cpu-used": "5"}),
    "av1": dict(codec="libsvtav1", preset="12", count=10, **{"svtav1-params": "lp=1"}),
    "odd sizes": H264 | dict(size=(47, 63), pix_fmt="yuv444p"),
    "odd sizes in avi": MPEG4 | dict(size=(47, 63)),
    "odd sizes in webm": VP9 | dict(size=(47, 63)),
    "one frame": H264 | dict(count=1),
    "one frame in avi": MPEG4 | dict(count=1),
    "one frame in webm": VP9 | dict(count=1),
    "two frames": H264 | dict(count=2),
    "ten bits": H264 | dict(pix_fmt="yuv420p10le"),
    "ten bits in hevc": HEVC | dict(pix_fmt="yuv420p10le"),
    "gray": H264 | dict(pix_fmt="gray"),
    "full range": H264 | dict(pix_fmt="yuvj420p"),
    "transparent": dict(container="mov", codec="qtrle", pix_fmt="argb"),
    "transparent in webm": VP9 | dict(pix_fmt="yuva420p"),
    "interlaced": H264 | dict(flags="+ildct+ilme"),
    "several slices": H264 | dict(slices="3"),
    "motion jpeg": dict(container="avi", codec="mjpeg", pix_fmt="yuvj420p"),
    "mpeg2": dict(container="mpeg", codec="mpeg2video", bf="2", g="12"),
    "wmv": dict(container="asf", codec="wmv2"),
    "flv": dict(container="flv", **H264),
    "gif": dict(container="gif", codec="gif", pix_fmt="rgb8", count=10),
    "lossless": dict(container="matroska", codec="ffv1", pix_fmt="bgr0", count=10),
}
FASTSTART = {"movflags": "faststart"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
# Of each, a part that can be read: its index, if it has one, comes first.
CUT = {
    "mp4": (H264 | dict(muxer=FASTSTART), 0.5),
    "mp4 in fragments": (H264 | dict(muxer=FRAGMENTS), 0.5),
    "mp4 with hevc": (HEVC | dict(muxer=FASTSTART), 0.6),
    "mkv": (MKV, 0.5),
    "webm": (VP9, 0.5),
    "avi": (MPEG4, 0.8),  # the first half is its header
    "avi with h264": (H264 | dict(container="avi"), 0.8),
    "mpegts": (H264 | dict(container="mpegts"), 0.5),
}
# How decoders hide damage in HEVC depends on what was in memory before, so it isn't here.
HURT = {
    "mp4": H264,
    "mp4 with one key frame": dict(g="250"),
    "mkv": MKV,
    "webm": VP9,
    "webm with vp8": VP8,
    "avi": MPEG4,
    "mpegts": H264 | dict(container="mpegts"),
}
TURNS = {
    "a quarter left": ((90,), 1, False),
    "upside down": ((180,), 2, False),
    "a quarter right": ((-90,), 3, False),
    "mirrored": ((0, True), 0, True),
    "mirrored, a quarter left": ((90, True), 1, True),
}


@functools.cache
def made(**recipe):
    return encoded(**recipe)


def make(recipe):
    """`encoded`, once for each recipe."""
    frozen = {key: tuple(v) if isinstance(v, list) else v for key, v in recipe.items()}
    if "muxer" in frozen:
        frozen["muxer"] = tuple(frozen["muxer"].items())
    return made(**frozen)


def check_any_frames(data, sets=8, turn=lambda frames: frames):
    """Sorted and unsorted sets with repeats, in fresh videos and in one that stays open."""
    expected = turn(decoded(data))
    rng = np.random.default_rng(len(data))
    with decode.open_video(data) as opened:
        assert opened.num_frames == len(expected)
        assert opened.fps > 0
        for i in range(sets):
            indices = rng.integers(len(expected), size=rng.integers(1, 12))
            if i % 2:
                indices = np.sort(indices)
            read = opened.read if i % 4 < 2 else functools.partial(decode.read_frames, data)
            np.testing.assert_array_equal(read(indices), expected[indices])
    assert decode.num_frames(data) == len(expected)


def close(frame, original, levels):
    """Whether pictures show the same, as well as a lossy codec can."""
    return np.abs(frame.astype(int) - original).mean() < levels


@pytest.mark.parametrize("name", FINE)
def test_any_frames_of_any_kind_of_video_are_those_of_decoding_everything(name):
    check_any_frames(make(FINE[name]))


@pytest.mark.parametrize("name", VARIANTS)
def test_any_frames_are_those_of_decoding_everything(name):
    check_any_frames(make(VARIANTS[name]))


@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "mpeg4_bframes.avi"])
def test_any_frames_of_real_clips_are_those_of_decoding_everything(name):
    if not (CLIPS / name).exists():
        pytest.skip("the real clips are not on this machine")
    check_any_frames((CLIPS / name).read_bytes())


@pytest.mark.parametrize("name", ["odd sizes", "ten bits", "ten bits in hevc", "full range"])
def test_frames_show_what_was_encoded(name):
    recipe = FINE[name] | dict(crf="1")
    shown = decode.read_frames(make(recipe), range(40))
    assert close(shown, pictures(40, *recipe.get("size", (48, 64))), 6)


def test_a_transparent_frame_shows_its_colors():
    shown = decode.read_frames(make(FINE["transparent"]), range(40))
    np.testing.assert_array_equal(shown, pictures())


@pytest.mark.parametrize("codec", [H264, HEVC])
@pytest.mark.parametrize("name", TURNS)
def test_turned_frames_come_out_upright(name, codec):
    turn, quarters, mirrored = TURNS[name]
    data = make(codec | dict(turn=turn))

    def upright(frames):
        turned = np.rot90(frames, quarters, axes=(1, 2))
        return turned[:, :, ::-1] if mirrored else turned

    check_any_frames(data, 4, upright)
    assert close(decode.read_frames(data, range(40)), upright(pictures()), 12)


@pytest.mark.parametrize("name", CUT)
def test_a_part_of_a_file_has_the_frames_that_are_left(tmp_path, name):
    recipe, share = CUT[name]
    data = encoded(path=tmp_path / "a", **recipe)
    data = data[: int(len(data) * share)]
    assert 5 < decode.num_frames(data) < 38
    check_any_frames(data)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", HURT)
def test_a_file_with_garbage_in_it_gives_what_decoding_gives(name, seed):
    data = damaged(make(HURT[name]), seed)
    try:
        decoded(data)
    except (av.error.FFmpegError, ValueError, IndexError):  # FFmpeg finds no frame either
        with pytest.raises(decode.DecodeError, match="video of"):
            decode.read_frames(data, [0])
    else:
        check_any_frames(data, 4)


@pytest.mark.parametrize("length", [1, 40, 1000])
@pytest.mark.parametrize("name", ["hevc", "hevc in mkv", "vp8", "av1", "motion jpeg"])
def test_damage_ends_in_frames_or_in_a_refusal(name, length):
    intact = make(FINE[name])
    for seed in range(6):
        data = damaged(intact, seed, length)
        try:
            frames = decode.read_frames(data, [2, 0, 5])
        except decode.DecodeError as error:
            assert f"video of {len(data)} bytes" in str(error)
        else:
            assert frames.shape == (3, 48, 64, 3)


def test_damage_in_a_key_frame_is_noticed_when_decoding_begins_there():
    data = bytearray(make(H264))
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.is_keyframe]
        place = packets[2].pos + packets[2].size // 2
    data[place : place + 20] = bytes(20)
    expected = decoded(bytes(data))
    for i in range(packets[2].pts // 512, 40):
        np.testing.assert_array_equal(decode.read_frames(bytes(data), [i])[0], expected[i])


def test_a_packet_that_the_decoder_drops_shifts_the_numbers_of_all_frames_after_it():
    data = bytearray(make(dict(g="5", bf="0")))
    with av.open(io.BytesIO(data)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][7]
    data[packet.pos : packet.pos + 4] = b"\xff\xff\xff\xff"  # the length of its first unit
    expected = decoded(bytes(data))
    assert len(expected) == 39
    with decode.open_video(bytes(data)) as video:
        assert video.num_frames == 39
        np.testing.assert_array_equal(video.read([30]), expected[[30]])


def test_frames_that_an_edit_list_hides_do_not_count():
    data = bytearray(make(dict(g="12", bf="0")))
    place = data.index(b"elst") + 16
    assert struct.unpack(">i", data[place : place + 4]) == (0,)
    data[place : place + 4] = struct.pack(">i", 512 * 5)
    assert len(decoded(bytes(data))) == 35
    check_any_frames(bytes(data))


def test_frames_of_an_mkv_that_lost_one_are_those_of_decoding_everything():
    file = io.BytesIO()
    with av.open(io.BytesIO(make(MKV))) as source, av.open(file, "w", "matroska") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for i, packet in enumerate(source.demux(video=0)):
            if packet.size and i != 1:  # the first P frame
                packet.stream = stream
                output.mux(packet)
    check_any_frames(file.getvalue())


def test_after_counting_by_decoding_numbers_are_those_of_decoding():
    data = bytearray(make(dict(g="40", bf="0")))
    with av.open(io.BytesIO(data)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
    data[packet.pos + 5 : packet.pos + 9] = b"\x98\0\0\0"  # parameters with an absurd number
    expected = decoded(bytes(data))
    with decode.open_video(bytes(data)) as video:
        assert video.num_frames == 40  # nothing shows the damage yet
        assert video.count_by_decoding() == video.num_frames == len(expected) == 39
        np.testing.assert_array_equal(video.read([38]), expected[[38]])
        with pytest.raises(decode.DecodeError, match="has 39 frames; there is no frame 39"):
            video.read([39])


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_a_size_that_changes_on_the_way_is_refused_in_one_read(container):
    large = {"size": (64, 96), "x264-params": "repeat-headers=1"}
    parts = [make(H264 | more | dict(container=container)) for more in ({}, large)]
    data = joined(parts, container)
    assert decode.num_frames(data) == 80
    with decode.open_video(data) as video:
        assert video.read([70, 50]).shape == (2, 64, 96, 3)
        assert close(video.read([39, 1]), pictures()[[39, 1]], 12)
    with pytest.raises(decode.DecodeError, match=r"video of \d+ bytes has frames of several sizes"):
        decode.read_frames(data, [2, 70])


REFUSED = {
    "cut off.mp4": (lambda: make(H264)[: len(make(H264)) // 2], "cannot be opened"),
    "sound.mp4": (sound, "has no video stream"),
    "sound.mkv": (lambda: sound("matroska"), "has no video stream"),
    "strange.mp4": (lambda: make(H264).replace(b"avc1", b"zzz1"), "no decoder"),
    "list.m3u8": (lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n", ""),
    "list.mp4": (lambda: b"ffconcat version 1.0\nfile a.mp4\n", ""),
    "header.mkv": (lambda: make(MKV)[:200], ""),
    "header.avi": (lambda: make(MPEG4)[:300], ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_frames_is_refused_by_name(tmp_path, name):
    make_it, reason = REFUSED[name]
    (tmp_path / name).write_bytes(make_it())
    with pytest.raises(decode.DecodeError, match=f"{name}.*{reason}") as caught:
        decode.num_frames(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(decode.DecodeError, match="is not a file"):
        decode.num_frames(tmp_path)


def test_a_title_in_another_alphabet_is_no_reason_to_refuse_a_file():
    file = io.BytesIO()
    with av.open(io.BytesIO(make(MPEG4))) as source, av.open(file, "w", format="avi") as output:
        output.metadata["title"] = "Munchen"
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    data = file.getvalue().replace(b"Munchen", "München".encode("latin-1"))
    assert b"M\xfcnchen" in data
    assert decode.read_frames(data, [7]).shape == (1, 48, 64, 3)


def test_colors_that_cannot_be_converted_are_refused_by_name():
    data = make(H264 | {"x264-params": "colormatrix=ictcp"})
    with pytest.raises(decode.DecodeError, match="has colors that cannot be read"):
        decode.read_frames(data, [0])


@pytest.mark.parametrize("recipe", [H264, MPEG4, VP9, dict(container="h264", g="12", bf="0")])
def test_fps_is_the_rate_in_the_file_or_a_guess(recipe):
    with decode.open_video(make(recipe)) as video:
        assert video.fps == 25


def test_fps_is_the_average_where_times_are_uneven():
    with decode.open_video(make(H264 | dict(times=UNEVEN))) as video:
        assert video.fps == pytest.approx(25 / 3, rel=0.05)
