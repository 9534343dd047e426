"""`jaxaction data prepare`, from files on disk to the records that training reads."""

import json
import shlex
import time

import numpy as np
import pytest

from jaxaction.commands.data.prepare import command, progress, shards
from jaxaction.commands.data.prepare.threads import in_order
from jaxaction.data import decode, tfds_sources
from jaxaction.errors import InputError
from tests.commands.data.prepare.preparing import clip, contents, run, write
from tests.data.videos import encoded

FOLDERS = {
    "train/archery/a.mp4": 3,
    "train/arm_wrestling/b.mp4": 4,
    "train/arm_wrestling/c.webm": clip(5, "webm", "libvpx"),
    "val/massaging_persons_head/d.avi": clip(6, "avi", "mpeg4"),
}


def test_videos_are_stored_byte_for_byte_and_read_by_name(tmp_path):
    root = write(tmp_path / "in", FOLDERS)
    run("kinetics/400", root, tmp_path)
    assert contents("kinetics/400", "train", tmp_path) == [
        ("train/archery/a.mp4", "archery", 3),
        ("train/arm_wrestling/b.mp4", "arm wrestling", 4),
        ("train/arm_wrestling/c.webm", "arm wrestling", 5),
    ]
    assert contents("kinetics/400", "validation", tmp_path) == [
        ("val/massaging_persons_head/d.avi", "massaging person's head", 6)
    ]
    source = tfds_sources.tfds_source("kinetics/400", "train", tmp_path)
    assert [source[i].video for i in range(3)] == [
        (root / source.id(i)).read_bytes() for i in range(3)
    ]


def test_with_a_short_side_videos_are_encoded_again(tmp_path):
    root = write(tmp_path / "in", FOLDERS)
    report = run("kinetics/400", root, tmp_path, "--short-side", "24")
    assert report["encoding"] == {"short_side": 24, "gop": 16}
    source = tfds_sources.tfds_source("kinetics/400", "train", tmp_path)
    assert decode.read_frames(source[2].video, [4]).shape == (1, 24, 32, 3)


def test_a_gop_alone_keeps_the_size(tmp_path):
    report = run("kinetics/400", write(tmp_path / "in", FOLDERS), tmp_path, "--gop", "2")
    assert report["encoding"] == {"short_side": 0, "gop": 2}
    source = tfds_sources.tfds_source("kinetics/400", "train", tmp_path)
    assert decode.read_frames(source[2].video, [4]).shape == (1, 48, 64, 3)


def test_every_video_is_stored_or_named_with_the_reason(tmp_path, capsys):
    bad = {"train/archery/bad.mp4": b"nothing", "train/archery/empty.mp4": b""}
    root = write(tmp_path / "in", FOLDERS | bad | {"train/archery/notes.txt": "no video"})
    report = run("kinetics/400", root, tmp_path)
    assert [(each["id"], each["reason"].split(":")[0]) for each in report["skipped"]] == [
        ("train/archery/bad.mp4", "cannot be opened as a video"),
        ("train/archery/empty.mp4", "empty"),
    ]
    train = report["splits"]["train"]
    assert (train["listed"], train["stored"], train["frames"]) == (5, 3, 12)
    assert train["bytes"] == sum(len(clip) for clip in map(clip, (3, 4))) + len(
        FOLDERS["train/arm_wrestling/c.webm"]
    )
    counts = {name: count for name, count in train["classes"].items() if count}
    assert counts == {"archery": 1, "arm wrestling": 2}
    out = capsys.readouterr().out
    assert "train: 3 of 5 videos, 12 frames" in out
    assert "left out 1: empty: 0 bytes" in out


@pytest.mark.parametrize("flags", [(), ("--gop", "8")])
def test_a_video_that_is_cut_off_is_stored_and_noted(tmp_path, capsys, flags):
    root = write(tmp_path / "in", FOLDERS)
    cut = root / "train/archery/cut.mp4"
    complete = encoded(count=60, path=cut, muxer={"movflags": "faststart"})
    cut.write_bytes(complete[: len(complete) // 2])
    report = run("kinetics/400", root, tmp_path, *flags)
    frames = {id: frames for id, _, frames in contents("kinetics/400", "train", tmp_path)}
    num_left = frames["train/archery/cut.mp4"]
    assert 0 < num_left < 50
    assert report["notes"] == [
        "train: train/archery/cut.mp4 is cut off or damaged:"
        f" {num_left} of 60 frames can be decoded"
    ]
    splits = report["splits"]
    assert [splits[name]["damaged"] for name in ("train", "validation")] == [1, 0]
    assert "stored 1, but cut off or damaged: " in capsys.readouterr().out


def test_the_flags_that_it_prints_open_it(tmp_path, capsys):
    run("kinetics/400", write(tmp_path / "in", FOLDERS), tmp_path)
    last = capsys.readouterr().out.splitlines()[-1]
    flags = dict(flag.split("=") for flag in shlex.split(last.removeprefix("use it with ")))
    assert flags.pop("--config.data.source") == "tfds"
    split = flags.pop("--config.data.test_split")
    name, folder = flags.pop("--config.data.name"), flags.pop("--config.data.data_dir")
    assert not flags
    assert len(tfds_sources.tfds_source(name, split, folder)) == 1


def test_the_flags_of_several_labels_say_so(tmp_path, capsys):
    root = write(tmp_path / "in", {"train.txt": "a.mp4 1 0\n", "a.mp4": 3})
    run("video_list", root, tmp_path, "--multi-label")
    assert "--config.data.multi_label=True" in capsys.readouterr().out.splitlines()[-1].split()


def test_several_shards_keep_the_order_of_the_list(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SPLIT_SHARDS", 3)  # of 2 videos
    files = {f"train/archery/{i}.mp4": 1 + i for i in range(7)}
    files["train/archery/2.mp4"] = files["train/archery/3.mp4"] = b""  # a whole shard
    run("kinetics/400", write(tmp_path / "in", files), tmp_path, "--threads", "3")
    records = contents("kinetics/400", "train", tmp_path)
    assert [frames for _, _, frames in records] == [1, 2, 5, 6, 7]
    names = sorted(path.name for path in (tmp_path / "kinetics/400/1.0.0").glob("*array_record*"))
    assert names == [f"kinetics-train.array_record-0000{i}-of-00003" for i in range(3)]


def test_where_nothing_can_be_stored_nothing_is_left(tmp_path):
    root = write(tmp_path / "in", {"train/archery/a.mp4": b""})
    with pytest.raises(
        InputError, match=r"no video in .* can be stored; the first, .*a.mp4: empty"
    ):
        run("kinetics/400", root, tmp_path)
    assert not list((tmp_path / "kinetics/400").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kinetics/500",), "there is no kinetics/500; NAME is kinetics/400, kinetics/600"),
        (("kinetic",), "no data set 'kinetic' to prepare; NAME is kinetics, something"),
        (("kinetics/400", "--short-side", "25"), "--short-side 25: give an even number"),
        (("kinetics/400", "--short-side", "-5"), "--short-side -5: give 2 pixels or more"),
        (("kinetics/400", "--gop", "0"), "--gop 0: give 1 or more"),
        (("kinetics/400", "--threads", "0"), "--threads 0: give 1 or more"),
        (("kinetics/400", "--multi-label"), "--multi-label is for video_list"),
        (("kinetics/400",), "holds neither train.csv or val.csv nor folders"),
        (("ucf101",), "ucf101 is prepared by TFDS's own builder; leave out --from"),
    ],
)
def test_wrong_arguments_end_in_one_line(tmp_path, arguments, message):
    name, *flags = arguments
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=message) as raised:
        run(name, tmp_path / "in", tmp_path / "out", *flags)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="--from .*nowhere: no such folder"):
        run("kinetics/400", tmp_path / "nowhere", tmp_path / "out")


def test_the_reader_names_the_command_for_all_that_is_made_of_files():
    assert {*tfds_sources.FROM_FILES, "ucf101"} == set(command.DATA_SETS)


def test_a_name_without_its_config_is_told_which_there_are(tmp_path):
    run("kinetics/400", write(tmp_path / "in", FOLDERS), tmp_path)
    with pytest.raises(
        InputError, match="kinetics lacks its second part; set it to one of kinetics/400 in"
    ):
        tfds_sources.tfds_source("kinetics", "train", tmp_path)


def test_videos_run_ahead_no_further_than_they_may():
    started, results, most_waiting = [], [], 0

    def work(item):
        started.append(item)
        time.sleep(0.002 * (item % 3))
        return item

    for item in in_order(work, range(40), threads=4, ahead=6):
        most_waiting = max(most_waiting, len(started) - len(results))
        results.append(item)
    assert results == list(range(40))
    assert most_waiting <= 6


def test_progress_tells_rate_and_time_left(capsys, monkeypatch):
    clock = iter(np.arange(0, 1000, 5.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    counter = progress.Progress(total=8, done=2)
    assert list(counter.count(iter("abcdef"))) == list("abcdef")
    counter.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "2 of 8 videos are done already"
    assert lines[1] == "4/8  0.1 videos/s  left 0:30"
    assert lines[-1].startswith("8/8 ") and lines[-1].endswith("left 0:00")


def test_the_report_says_what_it_was_made_of(tmp_path):
    root = write(tmp_path / "in", FOLDERS)
    report = run("kinetics/400", root, tmp_path)
    assert (report["name"], report["version"]) == ("kinetics/400", "1.0.0")
    assert report["from"] == str(root)
    assert {"av", "jaxaction"} <= set(report["versions"])
    assert list(report).index("splits") > max(map(list(report).index, ("skipped", "notes")))
    json.dumps(report)
