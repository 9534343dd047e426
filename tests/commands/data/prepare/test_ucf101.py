"""UCF101 by its name: TFDS's own builder, without TensorFlow, from the archives to eval.py."""

import argparse
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, downloader

from jaxaction.commands.data.prepare import command, ucf101
from jaxaction.config import build
from jaxaction.data import decode, tfds_video
from jaxaction.data.tfds_sources import tfds_source
from jaxaction.errors import InputError
from jaxaction.storage import checkpoint
from tests import tiny_run
from tests.data.videos import decoded, encoded
from tests.paths import ROOT

NAME = "ucf101/ucf101_1_256"
# As in the real lists, which write one class's files with another capital than the archive.
CLASSES = {"ApplyEyeMakeup": 0, "HandstandPushups": 36, "YoYo": 100}
TRAIN, TEST = ("g08", "g09"), ("g01",)

# What the builder asks of ffmpeg: -i FILE [-vf scale=WxH] FOLDER/%010d.jpeg.
STAND_IN = """#!{python}
import sys
import av
arguments = sys.argv[1:]
size = {{}}
if "-vf" in arguments:
    width, height = arguments[arguments.index("-vf") + 1].removeprefix("scale=").split("x")
    size = dict(width=int(width), height=int(height))
with av.open(arguments[arguments.index("-i") + 1]) as file:
    for number, frame in enumerate(file.decode(video=0), 1):
        with av.open(arguments[-1] % number, "w", format="image2") as picture:
            stream = picture.add_stream("mjpeg", pix_fmt="yuvj420p")
            frame = frame.reformat(format="yuvj420p", dst_color_range="JPEG", **size)
            stream.width, stream.height, frame.pts = frame.width, frame.height, None
            picture.mux(stream.encode(frame))
            picture.mux(stream.encode(None))
"""


def clips():
    """{file: AVI}, all of different lengths."""
    names = [f"v_{name}_{group}_c01.avi" for name in CLASSES for group in (*TRAIN, *TEST)]
    return {name: encoded("avi", "mpeg4", count=4 + i) for i, name in enumerate(names)}


def write_archives(folder, files):
    with zipfile.ZipFile(folder / "UCF101_videos.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(f"UCF101/{name}", data)
    lists = {"trainlist01.txt": TRAIN, "testlist01.txt": TEST}
    name = "UCF101TrainTestSplits-RecognitionTask.zip"
    with zipfile.ZipFile(folder / name, "w") as archive:
        for file, groups in lists.items():
            lines = [line(name, group, groups == TRAIN) for name in CLASSES for group in groups]
            archive.writestr(f"ucfTrainTestlist/{file}", "\r\n".join(lines))


def line(name, group, numbered):
    video = f"v_{name}_{group}_c01.avi".replace("HandstandPushups", "HandStandPushups")
    return f"{name}/{video}" + (f" {CLASSES[name] + 1}" if numbered else "")


def run_command(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.main(parser.parse_args(arguments))


@pytest.fixture(scope="module")
def files():
    return clips()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, files):
    """The data set prepared by the command; the archives come from a folder, not the network."""
    folder = tmp_path_factory.mktemp("ucf101")
    write_archives(folder, files)
    with pytest.MonkeyPatch.context() as patch:
        offline(patch, folder)
        with_ffmpeg(patch, folder)
        assert run_command(NAME, "--out", str(folder / "out")) == 0
    return folder / "out"


def offline(patch, folder):
    tfds_video.enable()
    builder = tfds.builder(NAME, data_dir=folder)

    def copied(self, url, destination, verify=True):
        path = Path(shutil.copy(folder / url.rsplit("/", 1)[1], destination))
        self._pbar_url.update(1)
        info = checksums.compute_url_info(tfds.core.Path(path))
        return downloader.DownloadResult(tfds.core.Path(path), info)

    infos = {
        url: checksums.compute_url_info(tfds.core.Path(folder / url.rsplit("/", 1)[1]))
        for url in builder.url_infos
    }
    patch.setattr(type(builder), "url_infos", infos)
    patch.setattr(downloader._Downloader, "_sync_download", copied)


def with_ffmpeg(patch, folder):
    """The machine's own, where there is one."""
    try:
        with ucf101._ffmpeg_on_path():
            return
    except InputError:
        script = folder / "bin" / "ffmpeg"
        script.parent.mkdir()
        script.write_text(STAND_IN.format(python=sys.executable))
        script.chmod(0o755)
        patch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")


def test_it_is_prepared_and_read_without_tensorflow(data_dir, files):
    train = tfds_source(NAME, "train", data_dir)
    test = tfds_source(NAME, "test", data_dir)
    assert (len(train), len(test), len(train.label_names)) == (6, 3, 101)
    assert "tensorflow" not in sys.modules
    lengths = {len(decoded(data)): name for name, data in files.items()}
    for source, groups in ((train, TRAIN), (test, TEST)):
        records = [source[i] for i in range(len(source))]
        labels_by_clip = {
            lengths[decode.num_frames(record.video)]: record.label for record in records
        }
        expected = {
            f"v_{name}_{group}_c01.avi": label
            for name, label in CLASSES.items()
            for group in groups
        }
        assert labels_by_clip == expected


def test_every_frame_is_the_file_s_in_256_pixels(data_dir, files):
    by_length = {len(frames): frames for frames in map(decoded, files.values())}
    source = tfds_source(NAME, "train", data_dir)
    for i in range(len(source)):
        expected = by_length[decode.num_frames(source[i].video)]
        frames = decode.read_frames(source[i].video, range(len(expected)))
        assert frames.shape[1:] == (256, 256, 3)
        for frame, original in zip(frames, expected, strict=True):
            # JPEG, and another scaling than OpenCV's; the next frame is 20 away.
            difference = frame - cv2.resize(original, (256, 256)).astype(float)
            assert np.sqrt(np.mean(difference**2)) < 12


def test_eval_runs_on_it_by_name(data_dir, tmp_path):
    config = tiny_run.config(tmp_path)
    config.model.num_classes = 101
    config.data.update(source="tfds", name="", train_split="train", test_split="test")
    config.data.update(train_file="", test_file="")
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), build.abstract_variables(config))
    names = tfds_source(NAME, "test", data_dir).label_names
    checkpoint.save_run(str(tmp_path / "run"), config, variables, names, step=1)
    command = [sys.executable, "eval.py", "--workdir", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, f"--config.data.name={NAME}", f"--config.data.data_dir={data_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    # All classes are as probable, and the first of them is one video's in three.
    assert done.stdout.splitlines()[-1].startswith("test top-1 33.3 %, top-5 33.3 %")
    assert done.stdout.splitlines()[-1].endswith("(3 videos)")
    assert done.stderr == ""


def test_it_is_not_prepared_twice(data_dir):
    with pytest.raises(InputError, match="ucf101_1_256/2.0.0 is there already; delete it"):
        run_command(NAME, "--out", str(data_dir))


def test_without_an_ffmpeg_the_package_that_has_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match="needs ffmpeg to be prepared; pip install imageio-ffmpeg"):
        run_command("ucf101", "--out", str(tmp_path))


def test_the_ffmpeg_of_that_package_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    package = types.SimpleNamespace(get_ffmpeg_exe=lambda: sys.executable)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", package)
    with ucf101._ffmpeg_on_path():
        assert os.path.samefile(shutil.which("ffmpeg"), sys.executable)
    assert os.environ["PATH"] == str(tmp_path)


def test_without_a_network_one_line_says_so(tmp_path, monkeypatch):
    script = tmp_path / "ffmpeg"
    script.write_text("")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def unreachable(self, url, destination, verify=True):
        raise ucf101.requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr(downloader._Downloader, "_sync_download", unreachable)
    with pytest.raises(InputError, match=r"ucf101 can't be downloaded \(no route to host\); run"):
        run_command("ucf101", "--out", str(tmp_path / "out"))
