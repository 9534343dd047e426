"""Frame exactness, against decoding everything; and what cannot be read is refused by name."""

import io
import wave

import av
import cv2
import numpy as np
import pytest

from jaxaction.data import decode
from tests.data.videos import CLIPS, decoded, encoded, pictures

VARIANTS = {
    "mp4 with B-frames": dict(g="12", bf="3"),
    "mp4 with one key frame": dict(g="250"),
    "mp4 with key frames only": dict(g="1"),
    "mp4 with open groups": {"x264-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0"},
    "mp4 with gradual refresh": {"x264-params": "intra-refresh=1:keyint=10:bframes=0"},
    "mp4 with a B-pyramid": {"x264-params": "keyint=20:bframes=5:b-pyramid=strict:b-adapt=0"},
    "mp4 with uneven times": dict(times=np.cumsum(1 + np.arange(40) % 5).tolist(), g="12", bf="3"),
    "mp4 that starts late": dict(times=list(range(50, 90)), g="12"),
    "mp4 in fragments": dict(g="12", muxer={"movflags": "frag_keyframe+empty_moov"}),
    "mkv": dict(container="matroska", g="12", bf="3"),
    "mpegts": dict(container="mpegts", g="12", bf="3"),
    "avi with h264": dict(container="avi", g="12", bf="3"),
    "avi with mpeg4 and B-frames": dict(container="avi", codec="mpeg4", bf="2", g="12"),
    "mp4 with mpeg4 and B-frames": dict(codec="mpeg4", bf="2", g="12"),
    "webm with vp9": dict(container="webm", codec="libvpx-vp9", deadline="realtime", g="12"),
}


def check_frame_exact(data, source=None):
    source = data if source is None else source
    expected = decoded(data)
    assert decode.num_frames(source) == len(expected)
    rng = np.random.default_rng(0)
    orders = [rng.integers(len(expected), size=size) for size in (1, 3, 8, 50)]
    for indices in [*orders, np.arange(len(expected)), [len(expected) - 1, 0]]:
        np.testing.assert_array_equal(decode.read_frames(source, indices), expected[indices])


@pytest.mark.parametrize("name", VARIANTS)
def test_frames_are_those_of_decoding_everything(name):
    check_frame_exact(encoded(**VARIANTS[name]))


@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "mpeg4_bframes.avi"])
def test_frames_of_real_clips_are_those_of_decoding_everything(name):
    if not (CLIPS / name).exists():
        pytest.skip("the real clips are not on this machine")
    check_frame_exact((CLIPS / name).read_bytes(), CLIPS / name)


def test_one_opened_video_counts_and_reads_many_times():
    data = encoded(container="avi", codec="mpeg4", bf="2")
    expected = decoded(data)
    with decode.open_video(data) as video:
        for indices in ([3, 1], [39, 39], [0]):
            assert video.num_frames == 40
            np.testing.assert_array_equal(video.read(indices), expected[indices])


def test_a_list_of_encoded_pictures_is_a_video():
    frames = pictures(5)
    files = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in frames]
    assert decode.num_frames(files) == 5
    np.testing.assert_array_equal(decode.read_frames(files, [4, 0, 4]), frames[[4, 0, 4]])


def test_times_that_hide_a_reordering_are_not_believed():
    source, file = io.BytesIO(encoded(g="12", bf="3")), io.BytesIO()
    with av.open(source) as container, av.open(file, "w", format="mp4") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream, packet.pts = stream, packet.dts
                output.mux(packet)
    check_frame_exact(file.getvalue())


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_cut_off_mp4_has_the_frames_that_are_left(tmp_path, share):
    data = encoded(path=tmp_path / "a.mp4", g="12", bf="3", muxer={"movflags": "faststart"})
    data = data[: int(len(data) * share)]
    assert 0 < decode.num_frames(data) < 40
    check_frame_exact(data)


def test_a_damaged_mp4_gives_what_decoding_gives():
    data = bytearray(encoded(g="12", bf="3"))
    place = len(data) // 2
    data[place : place + 400] = np.random.default_rng(0).bytes(400)
    expected = decoded(bytes(data))
    assert decode.num_frames(bytes(data)) == len(expected)
    everything = range(len(expected))
    np.testing.assert_array_equal(decode.read_frames(bytes(data), everything), expected)


def test_a_cut_off_mp4_without_an_index_is_refused_by_name(tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(encoded()[:-300])
    with pytest.raises(decode.DecodeError, match="cut.mp4 cannot be opened as a video"):
        decode.num_frames(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(decode.DecodeError, match="nowhere.mp4 is not a file"):
        decode.read_frames(tmp_path / "nowhere.mp4", [0])


def test_an_empty_file_is_refused_by_name(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(decode.DecodeError, match="empty.mp4 is empty"):
        decode.num_frames(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["text.txt", "text.mp4", "picture.jpg", "noise.avi"])
def test_a_file_that_is_no_video_is_refused_by_name(tmp_path, name):
    picture = cv2.imencode(".jpg", pictures(1)[0])[1].tobytes()
    noise = np.random.default_rng(0).bytes(5000)
    kinds = {"text": b"just words\n" * 50, "picture": picture, "noise": noise}
    (tmp_path / name).write_bytes(kinds[name.split(".")[0]])
    with pytest.raises(decode.DecodeError, match=name):
        decode.num_frames(tmp_path / name)


def test_sound_alone_is_refused_by_name(tmp_path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * 4000)
    with pytest.raises(decode.DecodeError, match="sound.wav has no video stream"):
        decode.num_frames(tmp_path / "sound.wav")


@pytest.mark.parametrize("options", [dict(), dict(container="avi", codec="mpeg4")])
def test_a_frame_past_the_end_is_refused_with_the_count(options):
    with pytest.raises(decode.DecodeError, match="has 40 frames; there is no frame 40"):
        decode.read_frames(encoded(**options), [0, 40])


def test_a_negative_frame_number_is_refused():
    with pytest.raises(ValueError, match="frame number -1 is negative"):
        decode.read_frames(encoded(), [-1])


def test_a_colon_in_a_file_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:a %d.mp4").write_bytes(encoded(count=3))
    assert decode.num_frames("http:a %d.mp4") == 3
