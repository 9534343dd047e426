"""`data bench`: figures of a tiny run, and the verdict on made-up ones."""

import argparse
import itertools
import time

import pytest

from jaxaction import data
from jaxaction.commands.data import bench, bench_rates
from jaxaction.commands.data.bench import Rates
from jaxaction.commands.data.bench_rates import Stages
from jaxaction.errors import InputError
from tests import tiny_run

CONFIG = """
from pathlib import Path
from tests import tiny_run

def get_config(variant=""):
    return tiny_run.config(Path(__file__).parent)
"""
STAGES = Stages(record=0.001, decode=0.017, transform=0.002)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    tiny_run.write_clips(folder)
    (folder / "tiny.py").write_text(CONFIG)
    return folder


def run(folder, *argv):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    args = parser.parse_args(["--config", str(folder / "tiny.py"), *argv])
    # As small as networks get, since most of the time is the compiler's.
    args.overrides = {"model.stage_blocks": "(1,)", "data.size": "(8, 8)"}
    return bench.main(args)


def test_every_figure_of_a_config_is_measured(folder, capsys):
    assert run(folder, "--seconds", "0.1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tsn (") and "on 12 videos, batch 4;" in lines[0]
    for name in ("decode", "transform", "total", "1 thread (data.num_threads)", "training step"):
        (line,) = [line for line in lines if line.startswith(name)]
        assert float(line.split()[-1]) > 0
    assert "is the bottleneck" in lines[-1] or "are the bottleneck" in lines[-1]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_seconds_that_end_at_once_or_never_are_refused(folder, seconds):
    with pytest.raises(InputError, match=f"--seconds {seconds}: give a number above 0"):
        run(folder, "--seconds", seconds)


def test_stages_leave_unreadable_videos_out(folder, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "l.txt").write_text(f"bad.mp4 0\n{folder}/train0.mp4 0\n")
    transform = data.TrainTransform("clips", 2, 1, 20, "random", (16, 16), 0.5)
    stages = bench_rates.measure_stages(data.annotation_source(tmp_path / "l.txt"), transform, 0.05)
    assert stages.decode > 0 and stages.total == sum(stages)
    (tmp_path / "l.txt").write_text("bad.mp4 0\n")
    with pytest.raises(InputError, match="none of the 1 videos can be read; the last: .*bad.mp4"):
        bench_rates.measure_stages(data.annotation_source(tmp_path / "l.txt"), transform, 0.05)


def test_a_rate_is_the_median_over_rounds(monkeypatch):
    # One call a round, since each takes as long as a round: 1, 1, 1, 10 and 1 seconds.
    clock = [0.0]
    spent = itertools.cycle([1, 1, 1, 10, 1])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def work():
        clock[0] += next(spent)
        return 8

    assert bench_rates.rate(work, seconds=10.0) == 8


def test_slow_work_is_not_measured_five_times(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def work():
        clock[0] += 15
        calls.append(1)
        return 3

    assert bench_rates.rate(work, seconds=10.0) == pytest.approx(0.2)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("cores", "configured", "counts"),
    [(1, 1, [1]), (2, 2, [1, 2]), (6, 16, [1, 2, 4, 6, 16]), (8, 0, [0, 1, 2, 4, 8])],
)
def test_threads_are_doubled_up_to_the_cores(cores, configured, counts):
    assert bench.thread_counts(cores, configured) == counts


@pytest.mark.parametrize(
    ("model", "configured", "message"),
    [
        (20.0, 1, "the model is the bottleneck: 50.0 clips/s come from 1 thread, the step takes"),
        (20.0, 4, "the step takes 20.0; 1 thread would do"),
        (80.0, 1, "data are the bottleneck: 50.0 clips/s come from 1 thread, the step takes 80.0"),
        (80.0, 1, "set data.num_threads to 2, from which come 95.0"),
        (400.0, 2, "about 9 threads on as many cores would be needed (there are 4)"),
        (400.0, 2, "85 % of a thread's time is decode"),
    ],
)
def test_the_verdict_names_the_bottleneck_and_the_threads(model, configured, message):
    rates = Rates(STAGES, {1: 50.0, 2: 95.0, 4: 180.0}, model)
    verdict = bench.verdict(rates, configured, cores=4)
    assert message in verdict and "\n" not in verdict
