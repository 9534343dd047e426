"""A preparation that is stopped, run again, run twice, or run with something else."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxaction.commands.data.prepare import command, shards
from jaxaction.commands.data.prepare.listing import ListedVideo, Listing
from jaxaction.errors import InputError
from tests.commands.data.prepare.preparing import contents, exit_code, run, write
from tests.paths import ROOT

FILES = {f"train/archery/{i}.mp4": 1 + i for i in range(7)}
INCOMPLETE = Path("kinetics/400/1.0.0.incomplete")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SPLIT_SHARDS", 3)  # of 2 videos
    return write(tmp_path / "in", FILES)


@pytest.fixture
def prepared_files(monkeypatch):
    """The names of the videos that were read, in order; Ctrl-C comes at `stop`."""
    real, names = command.prepare_video, []

    def watched(path, encoding):
        if path.name == names_to_stop[0]:
            raise KeyboardInterrupt
        names.append(path.name)
        return real(path, encoding)

    names_to_stop = [""]
    monkeypatch.setattr(command, "prepare_video", watched)
    return names, names_to_stop


def stop_at(name, root, out, prepared_files):
    names, stop = prepared_files
    stop[0] = name
    assert exit_code("kinetics/400", root, out, "--threads", "1") == 130
    names.clear()
    stop[0] = ""


def test_finished_shards_are_not_done_again(tmp_path, root, prepared_files, capsys):
    stop_at("5.mp4", root, tmp_path, prepared_files)
    done = sorted((tmp_path / INCOMPLETE / "shards").glob("*.json"))
    assert [path.name for path in done] == ["train-00000.json", "train-00001.json"]
    run("kinetics/400", root, tmp_path, "--threads", "2")
    assert sorted(prepared_files[0]) == ["4.mp4", "5.mp4", "6.mp4"]
    assert "4 of 7 videos are done already" in capsys.readouterr().err
    assert [frames for *_, frames in contents("kinetics/400", "train", tmp_path)] == [*range(1, 8)]
    assert sorted(os.listdir(tmp_path / "kinetics/400")) == ["1.0.0"]
    names = {path.name for path in (tmp_path / "kinetics/400/1.0.0").iterdir()}
    assert not names & {"shards", "plan.json", "lock"}


def test_a_stop_in_a_small_data_set_costs_only_the_videos_under_way(
    tmp_path, prepared_files, capsys
):
    root = write(tmp_path / "in", {f"train/archery/{i:02}.mp4": 1 for i in range(40)})
    stop_at("37.mp4", root, tmp_path, prepared_files)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("jaxaction: stopped; what is whole is kept, and the same command ")
    run("kinetics/400", root, tmp_path, "--threads", "1")
    # One thread hands a video over once four are under way or wait.
    assert sorted(prepared_files[0])[0] >= "33.mp4"
    num_kept = 40 - len(prepared_files[0])
    assert f"{num_kept} of 40 videos are done already" in capsys.readouterr().err
    assert len(contents("kinetics/400", "train", tmp_path)) == 40


def test_a_data_set_that_version_0_1_0_began_is_continued(tmp_path, root, prepared_files):
    # Its plan for these videos, word for word, and the keys of its marks of finished shards.
    stop_at("5.mp4", root, tmp_path, prepared_files)
    plan = {
        "arguments": {"short_side": 0, "gop": 0},
        "videos": 7,
        "without a file": 0,
        "fingerprint": "fe12f4c31d8503f681a5263f5251c2da9789481c83d8595d2e3970c8a0e5ef8d",
    }
    (tmp_path / INCOMPLETE / "plan.json").write_text(json.dumps(plan, indent=2) + "\n")
    mark = tmp_path / INCOMPLETE / "shards" / "train-00001.json"
    stored = json.loads(mark.read_text())
    sizes = {name: stored[name] for name in ("video_bytes", "record_bytes")}
    counts = {"records": 2, "frames": 7, **sizes, "classes": {"5": 2}}
    mark.write_text(json.dumps(counts | {"skipped": [], "problems": []}, indent=2) + "\n")
    assert run("kinetics/400", root, tmp_path)["splits"]["train"]["frames"] == sum(range(1, 8))
    assert sorted(prepared_files[0]) == ["4.mp4", "5.mp4", "6.mp4"]


@pytest.mark.parametrize(
    ("videos", "sizes"),
    [(1, [1]), (40, [1] * 40), (100, [3] * 33 + [1]), (5000, [128] * 39 + [8])],
)
def test_a_shard_s_size_follows_the_split_s(videos, sizes):
    listed = [ListedVideo(str(i), f"{i}.mp4", 0) for i in range(videos)]
    listing = Listing("video_list", "", ("a",), {"train": listed})
    assert [len(shard.videos) for shard in shards.cut_into_shards(listing)] == sizes


@pytest.mark.parametrize("step", ["place", "publish"])
def test_a_stop_while_finishing_does_no_harm(tmp_path, root, monkeypatch, prepared_files, step):
    real, calls = getattr(shards.Workspace, step), []

    def second_time(*arguments):
        calls.append(1)
        if len(calls) == (2 if step == "place" else 1):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(shards.Workspace, step, second_time)
    assert exit_code("kinetics/400", root, tmp_path) == 130
    prepared_files[0].clear()
    run("kinetics/400", root, tmp_path)
    assert prepared_files[0] == []
    assert len(contents("kinetics/400", "train", tmp_path)) == 7


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(tmp_path, root):
    slow = (
        "import argparse, sys, time\n"
        "from jaxaction.commands.data.prepare import command, shards\n"
        "shards.SPLIT_SHARDS = 3\n"
        "real = command.prepare_video\n"
        "command.prepare_video = lambda *a: (time.sleep(0.3 * (a[0].name > '3')), real(*a))[1]\n"
        "parser = argparse.ArgumentParser()\n"
        "command.add_arguments(parser)\n"
        "command.main(parser.parse_args(sys.argv[1:]))\n"
    )
    arguments = ["kinetics/400", "--from", root, "--out", tmp_path, "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-c", slow, *arguments], cwd=ROOT)
    mark = tmp_path / INCOMPLETE / "shards" / "train-00001.json"
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = mark.with_suffix(".array_record").stat().st_mtime_ns
    assert run("kinetics/400", root, tmp_path)["splits"]["train"]["stored"] == 7
    (second,) = (tmp_path / "kinetics/400/1.0.0").glob("*array_record-00001-of-00004")
    assert second.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--gop", "4"), "was begun with gop 0, not 4; go on with what it was begun with"),
        (("--short-side", "24"), "was begun with short_side 0, not 24"),
    ],
)
def test_other_arguments_don_t_go_on_with_it(tmp_path, root, prepared_files, flags, message):
    stop_at("5.mp4", root, tmp_path, prepared_files)
    with pytest.raises(InputError, match=message):
        run("kinetics/400", root, tmp_path, *flags)
    assert (tmp_path / INCOMPLETE / "shards/train-00000.json").exists()


def test_another_list_of_videos_doesn_t_go_on_with_it(tmp_path, root, prepared_files):
    stop_at("5.mp4", root, tmp_path, prepared_files)
    write(root, {"train/archery/new.mp4": 2})
    with pytest.raises(InputError, match="with another list of videos .7 videos, .*; now 8 videos"):
        run("kinetics/400", root, tmp_path)


def test_shards_of_another_size_are_not_gone_on_with(tmp_path, root, prepared_files, monkeypatch):
    stop_at("5.mp4", root, tmp_path, prepared_files)
    monkeypatch.setattr(shards, "SPLIT_SHARDS", 32)
    with pytest.raises(InputError, match="with other videos .7 videos, .*, or by another version"):
        run("kinetics/400", root, tmp_path)


def test_a_finished_data_set_is_never_written_over(tmp_path, root):
    run("kinetics/400", root, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("kinetics/**/*")}
    with pytest.raises(InputError, match=r"400/1.0.0 is there already; delete it, or give another"):
        run("kinetics/400", root, tmp_path, "--gop", "4")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("kinetics/**/*")} == before


def test_two_processes_don_t_write_the_same_data_set(tmp_path, root):
    (tmp_path / INCOMPLETE).mkdir(parents=True)
    with open(tmp_path / INCOMPLETE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is preparing .*; wait for it"):
            run("kinetics/400", root, tmp_path)


def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on_later(tmp_path, root, monkeypatch):
    class Full:
        def __init__(self, path, options):
            del options
            self.path = path

        def write(self, record):
            raise RuntimeError(f"write() failed: No space left on device; writing {self.path}; x")

    with monkeypatch.context() as patch:
        patch.setattr(shards.array_record_module, "ArrayRecordWriter", Full)
        with pytest.raises(InputError, match=r"can't be written \(No space left on device\); mend"):
            run("kinetics/400", root, tmp_path)
    assert run("kinetics/400", root, tmp_path)["splits"]["train"]["stored"] == 7


def test_a_folder_that_cannot_be_made_is_named(tmp_path, root):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="400/1.0.0.incomplete can't be written .*; give another"):
        run("kinetics/400", root, tmp_path / "file")
