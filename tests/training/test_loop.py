"""Whole runs in their smallest form: `loop.train` here, `train.py` in processes of its own."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from jaxaction import report
from jaxaction.commands import eval
from jaxaction.errors import InputError
from jaxaction.storage import checkpoint, digests, history
from jaxaction.training import loop
from tests import tiny_run
from tests.paths import ROOT

CONFIG = """
import os, signal, time
from pathlib import Path
from jaxaction.evaluation import evaluate
from jaxaction.data.annotations import AnnotationSource
from tests import tiny_run

def get_config(variant=""):
    if variant == "preempted":
        evaluate.run = preempted
    if variant == "stuck":
        AnnotationSource.__getitem__ = unanswered
    return tiny_run.config(Path(__file__).parent)

def preempted(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

def unanswered(source, index):
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The clips, a config file for `train.py`, and a cache of compiled programs."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_run.write_clips(folder)
    (folder / "tiny.py").write_text(CONFIG)
    with tiny_run.kept_programs(folder):
        yield folder


def start(folder, workdir, *overrides, devices=1, variant=""):
    """A process that runs `train.py` on the tiny config."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": paths}
    env |= {"JAX_COMPILATION_CACHE_DIR": str(folder / "xla")}
    command = [sys.executable, str(ROOT / "train.py"), "--config", f"{folder}/tiny.py:{variant}"]
    return subprocess.Popen(
        [*command, "--workdir", str(workdir), *(f"--config.{o}" for o in overrides)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, code=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    return out, err


def losses(workdir):
    """The loss of every step, from the event files."""
    events = [
        e for f in sorted(Path(workdir).glob("events*")) for e in EventFileLoader(str(f)).Load()
    ]
    return {
        event.step: value.tensor.float_val[0]
        for event in events
        for value in event.summary.value
        if value.tag == "train/loss"
    }


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def everything(workdir):
    """All that the newest checkpoint holds, arrays and the rest, but for its own directory."""
    with ocp.CheckpointManager(Path(workdir) / "checkpoints") as manager:
        step = manager.latest_step()
        items = {name: ocp.args.StandardRestore() for name in ("variables", "optimizer")}
        args = ocp.args.Composite(meta=ocp.args.JsonRestore(), **items)
        restored = manager.restore(step, args=args)
    assert restored.meta["config"].pop("written")["workdir"] == str(workdir)
    return {"step": step, **dict(restored.items())}


@pytest.fixture(scope="module")
def undisturbed(folder):
    """A run of 9 steps in this process, on one device, with a line for every step."""
    workdir, lines = folder / "undisturbed", []
    loop.train(tiny_run.config(folder, log_every_steps=1), str(workdir), lines.append)
    return workdir, lines


def test_a_run_says_what_it_does_and_ends_with_the_test(undisturbed):
    _, lines = undisturbed
    assert lines[0] == (
        "tsn takes 9 steps on 12 videos (3 an epoch); batch 4 on 1 cpu devices, learning rate 0.001"
    )
    assert any(line.startswith("step 5/9  epoch 1.7  loss ") for line in lines)
    assert any("val top-1" in line for line in lines)
    assert lines[-1].splitlines()[-1].startswith("test top-1 ")
    assert lines[-1].endswith("(6 videos)")


def test_a_run_writes_checkpoints_and_event_files(undisturbed):
    workdir, _ = undisturbed
    assert checkpoint.steps(str(workdir)) == [6, 8, 9]
    assert sorted(losses(workdir)) == list(range(1, 10))


def test_a_run_leaves_its_figures_and_a_report(undisturbed):
    workdir, _ = undisturbed
    curves = history.curves(str(workdir))
    assert curves["train/loss"] == pytest.approx(losses(workdir))  # float32 there
    assert list(curves["val/top1"]) == [6] and list(curves["test/top1"]) == [9]
    page = (workdir / report.NAME).read_text()
    assert page.startswith("<!DOCTYPE html>") and "<title>undisturbed: test top-1 " in page


def test_a_finished_run_leaves_what_eval_writes(undisturbed):
    workdir, _ = undisturbed
    by_train = np.load(workdir / "eval" / "test.npz")
    record = json.loads((workdir / "eval" / "test.json").read_text())
    eval.main(["--workdir", str(workdir)])
    by_eval = np.load(workdir / "eval" / "test.npz")
    assert {path.name for path in (workdir / "eval").iterdir()} == {"test.json", "test.npz"}
    assert record == json.loads((workdir / "eval" / "test.json").read_text())
    for name in by_eval.files:
        np.testing.assert_array_equal(by_train[name], by_eval[name])


def test_a_finished_run_is_only_tested_again(undisturbed, folder):
    workdir, _ = undisturbed
    lines = []
    loop.train(tiny_run.config(folder), str(workdir), lines.append)
    assert lines[0].startswith("tsn goes on after step 9 of 9 steps")
    assert not any(line.startswith("step ") for line in lines)
    assert lines[-1].splitlines()[-1].startswith("test top-1 ")


def wait_for(pattern, process):
    """Waits until something of that name is there, or the process has ended."""
    while not list(pattern.parent.parent.glob(f"{pattern.parent.name}/{pattern.name}")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def preempted_while_validating(begin, checkpoints):
    _, err = finish(begin(variant="preempted"), code=143)
    assert err == "ended by SIGTERM; saved; the same command goes on\n"
    return 6, 6


def killed_while_saving(begin, checkpoints):
    process = begin()
    wait_for(checkpoints / "20*", process)  # Orbax's name for it while it is being written, mostly
    process.kill()
    out, _ = process.communicate()
    assert out.index("val top-1") < out.index("step 10/")  # of step 6, which SIGTERM had cut off
    return 10, 29


def preempted_while_training(begin, checkpoints):
    process = begin()
    while not (line := process.stdout.readline()).startswith("step 45/"):
        assert line, process.communicate()
    process.send_signal(signal.SIGTERM)
    _, err = finish(process, code=143)
    assert err.endswith("the same command goes on\n") and err.count("\n") == 1
    return 45, 119


def disk_full(begin, checkpoints):
    """A limit for sizes of files, since a full disk needs a disk; `test_checkpoint` has one."""
    process = begin()
    wait_for(checkpoints / "60" / digests.NAME, process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (9000, 9000))
    _, err = finish(process, code=2)
    assert re.fullmatch(
        r"train.py: checkpoint \S+ can't be written \(File too large\); older ones are kept: make"
        r" room there, then give the same command\n",
        err,
    )
    return 60, 119


DISTURBANCES = [
    preempted_while_validating,
    killed_while_saving,
    preempted_while_training,
    disk_full,
]


def test_a_disturbed_run_goes_on_to_the_same_bits(folder):
    """Each disturbance, in turn, and the same command again."""
    overrides = ("train.epochs=40", "train.checkpoint_every_steps=10", "train.log_every_steps=5")
    process = start(folder, folder / "in one go", *overrides)
    disturbed = folder / "disturbed"
    for disturb in DISTURBANCES:
        begin = partial(start, folder, disturbed, *overrides)
        least, most = disturb(begin, disturbed / "checkpoints")
        assert least <= checkpoint.newest_good(str(disturbed), str) <= most, disturb.__name__
    out, _ = finish(start(folder, disturbed, *overrides))
    assert "tsn goes on after step " in out
    finish(process)
    lines = (disturbed / history.NAME).read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if "train/loss" in line]
    assert steps == list(range(5, 121, 5))
    expected, resumed = everything(folder / "in one go"), everything(disturbed)
    assert expected["step"] == 120
    assert {"step", "meta", "variables", "optimizer"} == set(expected)
    assert jax.tree.leaves(expected["optimizer"])
    jax.tree.map(np.testing.assert_array_equal, expected, resumed)


def test_a_run_with_the_same_seed_has_the_same_bits(undisturbed, folder):
    config = tiny_run.config(folder, log_every_steps=1)
    loop.train(config, str(folder / "again"), str)
    first, second = everything(undisturbed[0]), everything(folder / "again")
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_a_step_that_hangs_shows_every_threads_stack(folder):
    process = start(folder, folder / "stuck", "train.hang_seconds=0.5", variant="stuck")
    seen = []
    while not any("in next_batch" in line for line in seen):
        seen.append(process.stderr.readline())
        assert seen[-1], process.communicate()
    assert process.poll() is None  # it goes on waiting
    process.terminate()  # the first batch hasn't come, so there is nothing to save
    assert process.wait(timeout=10) == 143
    process.communicate()
    assert seen[0] == "Timeout (0:00:00.500000)!\n"
    assert any(line.endswith("in unanswered\n") for line in seen)


def test_two_devices_train_as_one_and_checkpoints_move_both_ways(undisturbed, folder):
    one, two = folder / "one_to_two", folder / "two_to_one"
    short, every = "train.epochs=1", "train.log_every_steps=1"
    first_epoch = start(folder, two, short, every, devices=2)
    loop.train(tiny_run.config(folder, epochs=1.0, log_every_steps=1), str(one), str)
    out, _ = finish(first_epoch)
    assert "batch 4 on 2 cpu devices" in out
    later_epochs = start(folder, one, every, devices=2)
    loop.train(tiny_run.config(folder, log_every_steps=1), str(two), str)
    out, _ = finish(later_epochs)
    assert "goes on after step 3 of 9 steps" in out
    expected = losses(undisturbed[0])
    for workdir in (one, two):
        curve = losses(workdir)
        assert sorted(curve) == sorted(expected)
        for step, loss in expected.items():
            # Sums in another order, float32; Adam's first steps divide by tiny gradients.
            assert curve[step] == pytest.approx(loss, rel=1e-4), (workdir.name, step)


def test_a_damaged_newest_checkpoint_is_named_and_training_goes_on_before_it(undisturbed, folder):
    workdir, lines = folder / "damaged", []
    shutil.copytree(undisturbed[0], workdir)
    (workdir / "checkpoints" / "9" / "meta" / "metadata").write_text("{}")
    (workdir / "config.json").write_text("{")  # the checkpoint has it, too
    loop.train(tiny_run.config(folder), str(workdir), lines.append)
    assert lines[0] == f"checkpoint {workdir}/checkpoints/9 is not used: meta/metadata is damaged"
    assert lines[1].startswith("tsn goes on after step 8 of 9 steps")
    runs = (checkpoint.load_run(str(path)) for path in (undisturbed[0], workdir))
    assert_same_bits(*runs)


def test_a_directory_of_another_config_stays_as_it_was(undisturbed, folder):
    workdir, _ = undisturbed
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
    _, err = finish(start(folder, workdir, "train.seed=1", "optim.learning_rate=0.1"), code=2)
    assert err == (
        f"train.py: {workdir} contains a run of another config: optim.learning_rate 0.001 there, "
        "0.1 now, train.seed 0 there, 1 now; give another --workdir\n"
    )
    assert before == {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}


LOST = (
    r"^step [2-9]: ((loss|grad_norm) is (nan|inf)|loss \S+ is above 54\.93|\S+ is not finite).*"
    r" checkpoints before it are kept; learning rate \S+, videos (train\d+\.mp4(, |;)){4}"
)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(folder):
    config = tiny_run.config(folder, log_every_steps=50)
    config.optim.update(learning_rate=1e6, warmup_epochs=2.0, warmup_start=0.0)
    with pytest.raises(InputError, match=LOST):
        loop.train(config, str(folder / "nan"), str)
    run = checkpoint.load_run(str(folder / "nan"))
    assert run.step == 2
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(run.variables))


def test_a_bad_video_is_named_once_and_training_goes_on(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "clips", ignore=shutil.ignore_patterns("xla"))
    (tmp_path / "clips" / "train5.mp4").write_bytes(b"no video")
    lines = []
    config = tiny_run.config(tmp_path / "clips")
    loop.train(config, str(tmp_path / "run"), lines.append)
    named = [line for line in lines if "train5.mp4" in line]
    assert named == [
        "train5.mp4 can't be read (cannot be opened as a video: Invalid data found when processing"
        " input), another video takes its place; bad videos so far: 1 of 12"
    ]
    config.data.max_bad_share = 0.0
    with pytest.raises(InputError, match="1 of 12 videos can't be read"):
        loop.train(config, str(tmp_path / "strict"), lines.append)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train", "cannot be read .*; correct the list and data.root, or remove"),
        ("test", "videos can't be read"),
    ],
)
def test_a_split_without_a_readable_video_ends_the_run(folder, tmp_path, split, message):
    shutil.copytree(folder, tmp_path / "clips", ignore=shutil.ignore_patterns("xla", "checkpoints"))
    for path in (tmp_path / "clips").glob(f"{split}*.mp4"):
        path.write_bytes(b"no video")
    with pytest.raises(InputError, match=message) as caught:
        loop.train(tiny_run.config(tmp_path / "clips"), str(tmp_path / "run"), str)
    assert "\n" not in str(caught.value)


def test_bfloat16_trains_with_parameters_and_statistics_in_float32(folder):
    lines = []
    config = tiny_run.config(folder, epochs=8.0, log_every_steps=1, eval_every_epochs=0)
    config.compute, config.optim.learning_rate = "bfloat16", 0.01
    config.optim.warmup_epochs = 0.0
    try:
        evaluation = loop.train(config, str(folder / "bf16"), lines.append)
    finally:
        jax.config.update("jax_default_matmul_precision", "highest")
    curve = list(losses(folder / "bf16").values())
    assert len(curve) == 24 and np.isfinite(curve).all()
    assert np.mean(curve[-6:]) < np.mean(curve[:6]) - 0.1
    assert evaluation.scores.dtype == np.float32 and np.isfinite(evaluation.scores).all()
    saved = everything(folder / "bf16")
    kinds = {x.dtype for x in jax.tree.leaves([saved["variables"], saved["optimizer"]])}
    assert kinds <= {np.dtype("float32"), np.dtype("int32")}


def test_nothing_is_written_for_a_config_that_does_not_fit(folder):
    config = tiny_run.config(folder, batch_size=6)
    config.model.bn_group = 4
    with pytest.raises(InputError, match="bn_group 4 does not divide the batch of 6"):
        loop.train(config, str(folder / "unfit"), str)
    assert not (folder / "unfit").exists()


def test_the_weights_of_the_best_validation_are_a_run_of_their_own(undisturbed):
    workdir, _ = undisturbed
    with ocp.CheckpointManager(workdir / "checkpoints") as manager:
        metas = ocp.args.Composite(meta=ocp.args.JsonRestore())
        value, step, since = manager.restore(9, args=metas).meta["best"]
    kept = checkpoint.load_run(str(workdir / "best"))
    validated = history.curves(str(workdir))["val/top1"]
    assert validated == {6: value} and (kept.step, step, since) == (6, 6, 0)
    with ocp.CheckpointManager(workdir / "checkpoints") as manager:
        items = ocp.args.Composite(variables=ocp.args.StandardRestore())
        same = manager.restore(6, args=items).variables
    jax.tree.map(np.testing.assert_array_equal, kept.variables, same)


def test_a_run_stops_once_validations_are_no_better_and_stays_stopped(folder):
    workdir, lines = folder / "patient", []
    # Of three classes, the five most probable ones are right: none is better.
    config = tiny_run.config(folder, epochs=40.0, eval_every_epochs=1, best_by="top5", patience=1)
    config.train.checkpoint_every_steps = 100
    loop.train(config, str(workdir), lines.append)
    line = "stops early: no better top5 than 1.0000, that of step 3, in so many validations: 1"
    assert line in lines
    assert checkpoint.steps(str(workdir)) == [6] and checkpoint.steps(f"{workdir}/best") == [3]
    loop.train(config, str(workdir), lines.append)
    assert checkpoint.steps(str(workdir)) == [6]
    assert lines[-1].splitlines()[-1].startswith("test top-1 ")


def test_a_run_without_a_metric_to_follow_keeps_no_best(folder):
    config = tiny_run.config(folder, best_by="")
    loop.train(config, str(folder / "unfollowed"), str)
    assert not (folder / "unfollowed" / "best").exists()
