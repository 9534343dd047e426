"""Optical flow of videos whose motion is known, and what a run leaves in its folder."""

import argparse
import json

import av
import cv2
import numpy as np
import pytest

from jaxaction.commands.data import flow, flow_frames
from jaxaction.data import annotation_source, decode
from jaxaction.errors import InputError

HEIGHT, WIDTH, RADIUS = 72, 96, 20


def run(*argv):
    parser = argparse.ArgumentParser()
    flow.add_arguments(parser)
    return flow.main(parser.parse_args([str(arg) for arg in argv]))


def texture(seed, height, width):
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3))
    return cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def centre(i, step):
    return np.array([30, 30]) + i * np.array(step)  # x, y


def disc_frames(step, count=5):
    """A textured disc that moves by `step` (x, y) pixels a frame over a background that rests."""
    background, disc = texture(0, HEIGHT, WIDTH), texture(1, 2 * RADIUS, 2 * RADIUS)
    y, x = np.indices(disc.shape[:2]) - (RADIUS - 0.5)
    round_part = x**2 + y**2 < RADIUS**2
    frames = np.stack([background] * count)
    for i, frame in enumerate(frames):
        left, top = centre(i, step) - RADIUS
        part = frame[top : top + 2 * RADIUS, left : left + 2 * RADIUS]
        part[round_part] = disc[round_part]
    return frames


def write_video(path, frames, options=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        file.mux(stream.encode())
    return path


@pytest.fixture
def moving(tmp_path):
    """A video of 5 frames whose disc moves 2 pixels to the right."""
    return write_video(tmp_path / "videos" / "right.mp4", disc_frames((2, 0)))


def grey(path):
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels.ndim == 2 and pixels.dtype == np.uint8
    return pixels.astype(float)


def in_disc(picture, number, step):
    """The mean of a flow picture well inside the disc of that frame (from 1)."""
    x, y = centre(number - 1, step)
    return picture[y - 10 : y + 10, x - 10 : x + 10].mean()


def bytes_below(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.jpg")}


@pytest.mark.parametrize("step", [(2, 0), (0, 2), (-1, 0), (0, -1)])
def test_a_moving_disc_shows_in_the_direction_that_it_moves_in(tmp_path, step):
    write_video(tmp_path / "disc.mp4", disc_frames(step))
    assert run(tmp_path / "disc.mp4", "--out", tmp_path / "flow") == 0
    for number in range(1, 5):
        for axis, name in enumerate("xy"):
            flow = grey(tmp_path / "flow" / "disc" / f"{name}_{number:05}.jpg")
            assert flow.shape == (HEIGHT, WIDTH)
            # 6.4 levels a pixel; the estimate is good to some tenths of a pixel.
            expected = 127.5 + step[axis] / 20 * 127.5
            assert in_disc(flow, number, step) == pytest.approx(expected, abs=2)
            assert flow[-8:, -8:] == pytest.approx(128, abs=1.5)  # the background rests


def test_bound_sets_the_scale(moving, tmp_path):
    run(moving, "--out", tmp_path / "flow", "--bound", 5)
    level = in_disc(grey(tmp_path / "flow" / "right" / "x_00002.jpg"), 2, (2, 0))
    assert level == pytest.approx(127.5 + 2 / 5 * 127.5, abs=6)


def test_levels_are_linear_and_no_motion_is_128():
    pixels = np.array([[[-45, -20], [-2, 0], [2, 20], [0.1, 300]]], np.float32)
    expected = [[[0, 0], [115, 128], [140, 255], [128, 255]]]
    assert flow_frames.levels(pixels, 20.0).tolist() == expected


def test_a_still_video_is_128_everywhere(tmp_path):
    write_video(tmp_path / "still.mp4", np.stack([texture(0, HEIGHT, WIDTH)] * 3))
    run(tmp_path / "still.mp4", "--out", tmp_path / "flow")
    assert (grey(tmp_path / "flow" / "still" / "x_00001.jpg") == 128).all()


def test_n_frames_give_n_minus_1_pairs_from_1_on_and_no_pictures(moving, tmp_path):
    run(moving, "--out", tmp_path / "flow")
    names = {path.name for path in (tmp_path / "flow" / "right").iterdir()}
    assert names == {f"{axis}_{i:05}.jpg" for axis in "xy" for i in range(1, 5)}


def test_rgb_writes_every_frame_too(moving, tmp_path):
    run(moving, "--out", tmp_path / "flow", "--rgb")
    folder = tmp_path / "flow" / "right"
    assert len(list(folder.glob("x_*"))) == 4 and len(list(folder.glob("img_*"))) == 5
    frame = decode.read_frames(moving, [4])[0].astype(float)
    picture = cv2.imread(str(folder / "img_00005.jpg"), cv2.IMREAD_COLOR_RGB)
    # JPEG loses much of the noise's colour, but nothing of its mean.
    assert picture.mean((0, 1)) == pytest.approx(frame.mean((0, 1)), abs=1)
    assert np.abs(picture - frame).mean() < 0.5 * np.abs(picture[..., ::-1] - frame).mean()


def test_short_side_resizes_first(moving, tmp_path):
    run(moving, "--out", tmp_path / "flow", "--short-side", 2 * HEIGHT)
    flow = grey(tmp_path / "flow" / "right" / "x_00001.jpg")
    assert flow.shape == (2 * HEIGHT, 2 * WIDTH)
    assert flow[40:80, 40:80].mean() == pytest.approx(127.5 + 4 / 20 * 127.5, abs=2)


def test_reading_in_pieces_and_in_threads_changes_nothing(tmp_path, monkeypatch):
    frames = disc_frames((1, 0), 20)
    videos = [write_video(tmp_path / f"{i}.mp4", frames[i:]) for i in range(3)]
    run(*videos, "--out", tmp_path / "whole", "--threads", 1)
    monkeypatch.setattr(flow_frames, "_CHUNK_BYTES", 1)  # 8 frames at once
    run(*videos, "--out", tmp_path / "pieces", "--threads", 3)
    in_one_go = bytes_below(tmp_path / "whole")
    assert len(in_one_go) == 2 * (19 + 18 + 17) and in_one_go == bytes_below(tmp_path / "pieces")


def test_folders_are_named_by_the_path_below_root(moving, tmp_path):
    second = write_video(tmp_path / "videos" / "run fast" / "right.2.mp4", disc_frames((1, 0)))
    run(moving, second, "--out", tmp_path / "flow", "--root", tmp_path / "videos")
    assert (tmp_path / "flow" / "right" / "x_00004.jpg").is_file()
    assert (tmp_path / "flow" / "run fast" / "right.2" / "x_00004.jpg").is_file()


def test_resuming_leaves_finished_folders_and_redoes_others(moving, tmp_path, capsys):
    second = write_video(tmp_path / "videos" / "down.mp4", disc_frames((0, 2)))
    out = tmp_path / "flow"
    run(moving, "--out", out)
    marked = out / "right" / "y_00002.jpg"
    marked.write_bytes(b"as it was left")
    (out / "down.incomplete").mkdir()
    (out / "down.incomplete" / "x_00001.jpg").write_bytes(b"half")
    (out / "down.incomplete" / "x_00099.jpg").write_bytes(b"of another version")
    capsys.readouterr()
    assert run(moving, second, "--out", out) == 0
    assert marked.read_bytes() == b"as it was left"
    assert sorted(path.name for path in out.iterdir()) == ["down", "flow.json", "right"]
    assert len(list((out / "down").iterdir())) == 8
    assert grey(out / "down" / "x_00001.jpg").shape == (HEIGHT, WIDTH)
    printed = capsys.readouterr()
    assert printed.out == f"{out}: 8 flow frames of 2 videos\n"
    assert "2/2 videos, 4 new flow frames" in printed.err


def test_an_interrupted_job_never_looks_finished(moving, tmp_path):
    settings = flow_frames.FlowSettings(bound=20.0, short_side=0, rgb=False)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow_frames.extract(str(moving), tmp_path / "right", settings, interrupt)
    assert not (tmp_path / "right").exists()
    assert flow_frames.extract(str(moving), tmp_path / "right", settings, lambda: None) == 4
    assert not (tmp_path / "right.incomplete").exists()


def make_list(tmp_path, text, name="train.txt"):
    """A list in the folder of two videos, `a/right.mp4` and `b c/down.mp4`."""
    folder = tmp_path / "videos"
    write_video(folder / "a" / "right.mp4", disc_frames((2, 0)))
    write_video(folder / "b c" / "down.mp4", disc_frames((0, 2), 4))
    (folder / name).write_text(text)
    return folder / name


def test_a_list_is_made_for_the_folders_and_can_be_trained_on(tmp_path):
    file = make_list(tmp_path, "# mine\na/right.mp4 1\n\nb c/down.mp4 0\nb c/gone.mp4 1\n")
    (tmp_path / "videos" / "labels.txt").write_text("down\nright\n")
    out = tmp_path / "flow"
    assert run("--from", file, "--out", out) == 0
    assert (out / "train.txt").read_text() == "a/right 4 1\nb c/down 3 0\n"
    source = annotation_source(out / "train.txt", modality="flow")
    assert source.label_names == ("down", "right")
    assert [source[i].label for i in range(2)] == [1, 0]
    frames = decode.read_frames(source[0].video, [0, 3])
    assert frames.shape == (2, HEIGHT, WIDTH, 2)
    assert in_disc(frames[1, ..., 0], 4, (2, 0)) > 136


def test_a_list_may_have_several_labels_another_root_and_a_video_twice(tmp_path):
    text = "a/right.mp4 0 3\nb c/down.mp4 2\na/right.mp4 5\n"
    file = make_list(tmp_path, text).rename(tmp_path / "many.txt")
    run("--from", file, "--root", tmp_path / "videos", "--out", tmp_path / "flow")
    expected = "a/right 4 0 3\nb c/down 3 2\na/right 4 5\n"
    assert (tmp_path / "flow" / "many.txt").read_text() == expected


def test_a_csv_becomes_a_text_list(tmp_path):
    file = make_list(tmp_path, "path,label\na/right.mp4,7\n", "train.csv")
    run("--from", file, "--out", tmp_path / "flow")
    assert (tmp_path / "flow" / "train.txt").read_text() == "a/right 4 7\n"


def test_a_list_grows_but_never_replaces_one_of_other_videos(tmp_path):
    file, out = make_list(tmp_path, "a/right.mp4 1\n"), tmp_path / "flow"
    run("--from", file, "--out", out)
    file.write_text("b c/down.mp4 0\na/right.mp4 1\n")
    run("--from", file, "--out", out)
    assert (out / "train.txt").read_text() == "b c/down 3 0\na/right 4 1\n"
    file.write_text("b c/down.mp4 0\n")
    with pytest.raises(InputError, match=r"train.txt lists other videos; rename .*train.txt"):
        run("--from", file, "--out", out)
    assert (out / "train.txt").read_text() == "b c/down 3 0\na/right 4 1\n"


def test_labels_of_another_data_set_are_refused(tmp_path):
    file, out = make_list(tmp_path, "a/right.mp4 1\n"), tmp_path / "flow"
    (file.parent / "labels.txt").write_text("down\nright\n")
    run("--from", file, "--out", out)
    (file.parent / "labels.txt").write_text("up\nleft\n")
    with pytest.raises(InputError, match="names other labels than .*; choose another --out"):
        run("--from", file, "--out", out)


def test_unreadable_videos_are_named_and_counted_at_the_end(moving, tmp_path, capsys):
    (tmp_path / "torn.mp4").write_bytes(moving.read_bytes()[:300])
    single = write_video(tmp_path / "single.mp4", disc_frames((1, 0), 1))
    tiny = write_video(tmp_path / "tiny.mp4", disc_frames((1, 0))[:, :30])
    videos = (tmp_path / "torn.mp4", moving, tmp_path / "gone.mp4", single, tiny)
    assert run(*videos, "--out", tmp_path / "flow") == 0
    printed = capsys.readouterr()
    assert printed.out.endswith("4 flow frames of 1 videos; 4 can't be read, left out\n")
    last = printed.err.splitlines()[-4:]
    for line, name in zip(last, ("torn", "gone", "single", "tiny"), strict=True):
        assert f"{name}.mp4" in line
    assert "has one frame; flow needs two" in last[2]
    assert "30x96 are too small for optical flow; set --short-side to 32 or more" in last[3]
    assert sorted(path.name for path in (tmp_path / "flow").iterdir()) == ["flow.json", "right"]


def test_a_video_that_is_cut_off_is_named(moving, tmp_path, capsys):
    cut = write_video(
        tmp_path / "cut.mp4", disc_frames((1, 0), 30), options={"movflags": "faststart"}
    )
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    run(cut, moving, "--out", tmp_path / "flow")
    num_left = 1 + len(list((tmp_path / "flow" / "cut").glob("x_*")))
    assert 1 < num_left < 27
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "cut off" in line)
    assert line == f"{cut} is cut off or damaged: {num_left} of 30 frames can be decoded"


def test_no_readable_video_at_all_is_an_error_of_one_line(tmp_path):
    with pytest.raises(InputError, match=r"^no flow: 2 of 2 videos can't be read \(.*a.mp4 is not"):
        run(tmp_path / "a.mp4", tmp_path / "b.mp4", "--out", tmp_path / "flow")


def test_where_there_is_no_flow_nothing_is_left(moving, tmp_path):
    out = tmp_path / "flow"
    gone = moving.parent / "deep" / "gone.mp4"
    with pytest.raises(InputError, match="no flow"):
        run(gone, "--out", out, "--root", moving.parent)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(InputError, match="no flow"):
        run(gone, "--out", out, "--root", moving.parent)
    assert not list(out.iterdir())  # the folder was there before
    run(moving, "--out", out)
    with pytest.raises(InputError, match="no flow"):
        run(gone, "--out", out, "--root", moving.parent)
    assert {path.name for path in out.iterdir()} >= {"flow.json", "right"}


def test_two_videos_never_share_a_folder(moving, tmp_path):
    out = ("--out", tmp_path / "flow")
    same_name = moving.parent / "right.avi"
    with pytest.raises(InputError, match="right.mp4 and .*right.avi would share the folder right"):
        run(moving, same_name, *out)
    inside = moving.parent / "right" / "other.mp4"
    with pytest.raises(InputError, match="would share the folder right; rename one"):
        run(inside, moving, *out, "--root", moving.parent)
    assert not (tmp_path / "flow").exists()
    assert run(moving, moving.parent / "." / "right.mp4", *out) == 0  # one video, named twice


def test_settings_stay_those_of_the_folder(moving, tmp_path):
    out = tmp_path / "flow"
    run(moving, "--out", out, "--rgb")
    settings = json.loads((out / "flow.json").read_text())
    assert (settings["bound"], settings["short_side"], settings["rgb"]) == (20, 0, True)
    message = "holds flow of --bound 20 --short-side 0 with --rgb, not --bound 10 .* without --rgb"
    with pytest.raises(InputError, match=message):
        run(moving, "--out", out, "--bound", 10)


def test_folders_of_other_things_are_left_alone(moving, tmp_path):
    (tmp_path / "used" / "right").mkdir(parents=True)
    (tmp_path / "used" / "notes").write_text("mine")
    with pytest.raises(InputError, match="used is no empty folder, nor one of this command"):
        run(moving, "--out", tmp_path / "used")
    run(moving, "--out", tmp_path / "flow")
    (tmp_path / "flow" / "down" / "mine").mkdir(parents=True)
    down = write_video(tmp_path / "down.mp4", disc_frames((0, 1), 2))
    with pytest.raises(InputError, match="down exists and holds no flow; move it away"):
        run(down, "--out", tmp_path / "flow")


def test_a_folder_that_cannot_be_written_ends_in_one_line(moving, tmp_path):
    out = tmp_path / "flow"
    run(moving, "--out", out)
    (out / "sub").write_text("a file")
    nested = write_video(moving.parent / "sub" / "down.mp4", disc_frames((0, 1), 2))
    with pytest.raises(InputError, match="down can't be written .*what is finished stays"):
        run(nested, "--out", out, "--root", moving.parent)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "give either videos or a list with --from"),
        (("a.mp4", "--from", "list.txt"), "give either videos or a list with --from"),
        (("a.mp4", "--bound", "0"), "--bound 0: give pixels above 0"),
        (("a.mp4", "--bound", "nan"), "--bound nan: give pixels above 0"),
        (("a.mp4", "--short-side", "-1"), "--short-side -1 is negative: give pixels, or 0"),
        (("a.mp4", "--threads", "0"), "--threads 0: give 1 or more"),
        (("/a.mp4", "--root", "videos"), "/a.mp4 is not below videos; set --root to a folder"),
        (("--from", "/none/list.txt"), "/none/list.txt does not exist"),
    ],
)
def test_bad_flags_end_before_anything_is_made(tmp_path, argv, message):
    with pytest.raises(InputError, match=message):
        run(*argv, "--out", tmp_path / "flow")
    assert not (tmp_path / "flow").exists()
