"""Two processes of two devices each, through `train.py` on loopback, beside one of one device."""

import json
import os
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxaction.errors import InputError
from jaxaction.runtime import distributed
from jaxaction.storage import checkpoint
from jaxaction.training import loop
from tests import tiny_run
from tests.paths import ROOT
from tests.training.test_loop import CONFIG, losses


@pytest.fixture
def folder(tmp_path):
    """Clips, one of them unreadable, five of them for tests; a cache of compiled programs."""
    tiny_run.write_clips(tmp_path)
    (tmp_path / "train5.mp4").write_bytes(b"no video")
    lines = (tmp_path / "test.txt").read_text().splitlines()
    (tmp_path / "test.txt").write_text("\n".join(lines[:5]))
    (tmp_path / "tiny.py").write_text(CONFIG)
    with tiny_run.kept_programs(tmp_path):
        yield tmp_path


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def start(folder, workdir, *last):
    """Two processes of two devices that run `train.py`; the second one also gets `last`."""
    # Compiled fast: that each process compiles for itself is most of what this test costs.
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=1"
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": paths}
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(folder / "tiny.py")]
    command += ["--workdir", str(workdir), "--config.train.epochs=2"]
    command += ["--config.train.log_every_steps=1", "--processes=2"]
    command += ["--coordinator", f"localhost:{free_port()}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return [
        subprocess.Popen(
            [*command, "--process-id", str(process), *(last if process else ())],
            env=env,
            text=True,
            **pipes,
        )
        for process in range(2)
    ]


def finish(processes, code=0):
    """What each said on stdout and on stderr."""
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [code, code], said
    return said


def alone(folder, workdir, **train):
    """The same run in this process, on one device."""
    lines = []
    config = tiny_run.config(folder, epochs=2.0, log_every_steps=1, **train)
    loop.train(config, str(workdir), lines.append)
    return lines


def go_back(workdir, copy, step):
    """A copy of a run as it was after `step`."""
    shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns("events*", "eval"))
    for later in checkpoint.steps(str(copy)):
        if later > step:
            shutil.rmtree(copy / "checkpoints" / str(later))


def meta(workdir, step):
    text = (workdir / "checkpoints" / str(step) / "meta" / "metadata").read_text()
    values = {key: value for key, value in json.loads(text).items() if key != "metrics"}
    assert values["config"].pop("written")["workdir"] == str(workdir)
    return values


def test_two_processes_train_and_test_as_one_and_checkpoints_move_both_ways(folder):
    one, two, back = folder / "one", folder / "two", folder / "back"
    alone(folder, one)
    assert checkpoint.steps(str(one)) == [2, 4, 6]
    go_back(one, two, 2)
    (out, err), second = finish(start(folder, two))
    assert second == ("", ""), "only the first process speaks"
    assert "goes on after step 2 of 6 steps" in out and "batch 4 on 4 cpu devices" in out
    assert out.count("train5.mp4 can't be read") <= 1 and err == f"report: {two}/report.html\n"
    assert len(list(two.glob("events*"))) == 1
    go_back(two, back, 4)
    lines = alone(folder, back)
    assert lines[0].startswith("tsn goes on after step 4 of 6 steps")
    assert meta(one, 6)["bad"] == [5]
    assert meta(one, 6) == meta(two, 6) == meta(back, 6)
    expected, resumed, later = (losses(workdir) for workdir in (one, two, back))
    assert (list(expected), list(resumed), list(later)) == ([*range(1, 7)], [3, 4, 5, 6], [5, 6])
    for step, loss in (resumed | later).items():
        # Sums in another order, float32; Adam's first steps divide by tiny gradients.
        assert loss == pytest.approx(expected[step], rel=1e-4), step
    by_one, by_two = (np.load(workdir / "eval" / "test.npz") for workdir in (one, two))
    np.testing.assert_array_equal(by_one["ids"], [f"test{i}.mp4" for i in range(5)])
    np.testing.assert_array_equal(by_one["ids"], by_two["ids"])
    np.testing.assert_allclose(by_one["scores"], by_two["scores"], rtol=1e-3, atol=1e-4)
    files = (two / "checkpoints" / "6" / "variables").glob("ocdbt.process_*/d/*")
    assert {path.parts[-3] for path in files} == {"ocdbt.process_0", "ocdbt.process_1"}


def test_all_processes_end_where_one_fails_and_it_is_said_once(folder):
    said = finish(start(folder, folder / "unused", "--config.train.epoch=1"), code=2)
    (_, first), (out, second) = said
    assert (first, out) == ("", "")
    assert second == (
        "train.py: --config.train.epoch: the config has no such key; did you mean"
        " --config.train.epochs?\n"
    )


def test_a_process_that_finds_no_other_says_so_in_time(tmp_path):
    lines = "import sys; from jaxaction.runtime.distributed import start; start(sys.argv[1:], 0.5)"
    flags = ["--coordinator", f"localhost:{free_port()}", "--processes=2", "--process-id=1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", lines, *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"the 2 processes at {flags[1]} did not all meet in 0.5 s; ")
    assert done.stderr.count("\n") == 1


def test_flags_of_a_group_are_taken_out_of_the_command_line():
    argv = ["--config", "a.py", "--coordinator=node1:1234", "--processes", "4", "--process-id=3"]
    rest, group = distributed.take_group(argv)
    assert rest == ["--config", "a.py"]
    assert group == ("node1:1234", 3, 4)
    assert distributed.take_group(rest) == (rest, None)


@pytest.mark.parametrize(
    ("coordinator", "processes", "index", "message"),
    [
        ("node1:1234", "", "0", "--processes missing; give all of --coordinator HOST:PORT"),
        ("node1", "2", "0", "--coordinator node1 is not HOST:PORT, as in node1:12345"),
        ("node1:99999", "2", "0", "--coordinator node1:99999 is not HOST:PORT"),
        ("node1:1", "0", "0", "--processes 0 is not a whole number from 1"),
        ("node1:1", "2", "2", "--process-id 2 is not a whole number from 0 to 1"),
    ],
)
def test_a_group_that_cannot_be_is_refused(coordinator, processes, index, message):
    flags = {"coordinator": coordinator, "processes": processes, "process-id": index}
    argv = [f"--{name}={value}" for name, value in flags.items() if value]
    with pytest.raises(InputError, match=message):
        distributed.take_group(argv)


def test_a_port_that_is_taken_is_refused_before_jax_crashes():
    with socket.create_server(("", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
        flags = ["--coordinator", address, "--processes=2", "--process-id=0"]
        with pytest.raises(InputError, match=f"{address}: can't listen there"):
            distributed.start(flags)


def test_one_process_by_hand_is_a_program_of_its_own():
    flags = ["--coordinator", "nowhere:1", "--processes=1", "--process-id=0"]
    assert distributed.start(["--x", *flags]) == ["--x"]
    assert not jax.distributed.is_initialized()
