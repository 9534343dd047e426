"""The benchmarks run, and say what they found."""

import json
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from benchmarks import damage, faults, hlo, layers, loop, models, motion, stand_ins, worker
from jaxaction.errors import InputError
from tests.paths import ROOT


def run(module, *arguments):
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )


def row(side, seconds):
    setting = {"family": "tsn", "mode": "inference", "batch": 2, "size": 224, "dtype": "float32"}
    setting |= {"flops": 30e9, "flops_per_second": 100e9}
    samples = {"side": side, "versions": {}, "seconds": seconds}
    return setting | samples | {"first_step_s": 3.0, "peak_bytes": 2**30}


def script(folder, text):
    """A program that does what the shell's `text` says."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_table_gives_medians_and_the_ratio_to_each_side():
    rows = [row("jaxaction", [0.9, 1.0, 5.0]), row("mmaction2", [2.0, 2.0, 2.1])]
    text = models.table(rows)
    assert "| tsn inference | 8 | 15 | 2 | jaxaction | 2.00 |  | 30% | 3.0 | 1.00 |" in text
    assert "| tsn inference | 8 | 15 | 2 | mmaction2 | 1.00 | 2.00 | 15% | 3.0 | 1.00 |" in text
    assert text.endswith("geometric mean, inference against mmaction2: 2.00")


def test_table_says_what_its_columns_mean():
    text = models.table([row("jaxaction", [1.0])])
    assert "above 1, jaxaction is faster" in text
    assert "100 GFLOP/s" in text and "building and compiling included" in text


def test_models_are_timed_and_absent_peers_named(tmp_path):
    out = tmp_path / "models.json"
    small = ("--families", "tsn", "--modes", "inference", "--size", 32, "--batch", 1)
    once = ("--rounds", 1, "--steps", 2, "--out", out, "--sides", "jaxaction,pytorchvideo")
    done = run("models", *small, *once)
    assert done.returncode == 0, done.stderr
    assert "tsn inference: pytorchvideo left out" in done.stderr
    written = json.loads(out.read_text())
    assert [r["side"] for r in written["rows"]] == ["jaxaction"]
    assert len(written["rows"][0]["seconds"]) == 2
    assert written["rows"][0]["versions"].keys() == {"jax", "jaxaction"}
    assert written["rows"][0]["flops"] == pytest.approx(8 * 4.1e9 * 2 * (32 / 224) ** 2, rel=0.02)
    assert [found["side"] for found in written["left_out"]] == ["pytorchvideo"]
    assert written["machine"]["cores"] >= 1


PEERS = """
ready() { echo '{"versions": {}}'; echo '{}'; }
case "$3" in
mmaction2) ready; while read n; do echo '{"seconds": [1, 1, 1], "peak_bytes": 1}'; done ;;
mmaction2-compile) exit 3 ;;
pytorchvideo) echo '{"reason": "not installed", "details": "No module named fvcore"}' ;;
pytorchvideo-compile) ready; read n; exit 4 ;;
esac"""


def run_peers(folder, sides, **changes):
    options = {"families": "tsn,i3d", "modes": "training", "sides": sides, "rounds": 2} | changes
    options |= {"peer-python": script(folder, PEERS), "out": folder / "models.json"}
    code = models.main([f"--{name}={value}" for name, value in options.items()])
    return code, json.loads((folder / "models.json").read_text())


@pytest.mark.parametrize("side, exit_code", [("mmaction2-compile", 3), ("pytorchvideo-compile", 4)])
def test_crash_of_a_side_is_recorded_and_makes_the_exit_code_1(tmp_path, capsys, side, exit_code):
    code, written = run_peers(tmp_path, f"mmaction2,{side}", families="i3d")
    assert code == 1
    assert [(r["side"], len(r["seconds"])) for r in written["rows"]] == [("mmaction2", 4)]
    (failure,) = written["left_out"]
    assert (failure["family"], failure["mode"], failure["side"]) == ("i3d", "training", side)
    assert (failure["reason"], failure["details"]) == ("crashed", f"exit code {exit_code}")
    assert "| i3d training | 32 |" in capsys.readouterr().out


def test_side_that_is_not_installed_is_named_once_and_is_no_failure(tmp_path, capsys):
    code, written = run_peers(tmp_path, "mmaction2,pytorchvideo")
    assert code == 0
    failures = [(failure["family"], failure["reason"]) for failure in written["left_out"]]
    assert failures == [("tsn", "not installed"), ("i3d", "not installed")]
    assert capsys.readouterr().err.count("No module named fvcore") == 1


def test_nothing_timed_makes_the_exit_code_1(tmp_path):
    assert run_peers(tmp_path, "pytorchvideo")[0] == 1


def test_worker_tells_the_first_line_of_what_it_crashed_by(capfd):
    error = RuntimeError("no memory\nand much more")
    with mock.patch.object(worker, "serve", side_effect=error):
        assert worker.main([]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out) == {"reason": "crashed", "details": "RuntimeError: no memory"}
    assert "Traceback" in err


def test_stand_in_has_what_peers_import_but_not_what_python_asks_of_modules():
    with mock.patch.dict(sys.modules):
        module = stand_ins.stand_in("a_module_that_is_not_there")
        from a_module_that_is_not_there import Compose
    assert isinstance(Compose, type)
    assert not hasattr(module, "__file__")


def test_pytorchvideo_takes_other_sizes_than_224():
    pytest.importorskip("pytorchvideo")
    arguments = ["-m", "benchmarks.worker", "pytorchvideo", "slowonly", "inference", "1", "40"]
    done = subprocess.run(
        [sys.executable, *arguments, "float32"],
        cwd=ROOT,
        input="1\n",
        capture_output=True,
        text=True,
    )
    assert "seconds" in json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("module", ["models", "layers", "hlo"])
def test_unknown_family_ends_with_exit_code_2_and_the_known_ones(module):
    done = run(module, "--families", "tsx")
    assert done.returncode == 2
    assert "--families: 'tsx' is none of tsn, tsm, i3d" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "module, flag, value",
    [
        (models, "--batch", "0"),
        (models, "--batch", "2,x"),
        (models, "--size", "0"),
        (models, "--size", "-5"),
        (models, "--rounds", "0"),
        (models, "--steps", "0"),
        (models, "--modes", "trainin"),
        (models, "--peer-python", "/nope/python"),
        (layers, "--batch", "0"),
        (layers, "--size", "-5"),
        (layers, "--seconds", "0"),
        (layers, "--seconds", "-1"),
        (layers, "--seconds", "nan"),
        (hlo, "--batch", "1.5"),
        (loop, "--turns", "1"),
        (loop, "--steps", "0"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_the_flag(module, flag, value):
    with pytest.raises(InputError, match=f"^{flag}: '{value.split(',')[-1]}' is n") as error:
        module.parse([flag, value])  # what `main` does first
    assert "\n" not in str(error.value)


def test_motion_without_a_run_says_what_is_missing():
    with pytest.raises(InputError, match="required: workdir; see python -m benchmarks.motion"):
        motion.main([])


@pytest.mark.parametrize("module", [models, layers, hlo, loop])
def test_help_shows_defaults(module, capsys):
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.count("(default:") >= 4


@pytest.mark.parametrize("module", [models, layers, loop])
def test_results_go_where_git_ignores_them(module):
    assert module.parse([]).out.parts[0] == "runs"


def run_gpu(*arguments, **environment):
    command = ["bash", "benchmarks/gpu.sh", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )


def test_failing_part_on_a_gpu_is_named_at_the_end_and_stops_no_other(tmp_path):
    script(tmp_path, 'case "$*" in *benchmarks.hlo*) exit 5 ;; *) echo "$*" ;; esac')
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run_gpu(tmp_path / "out", PATH=path, FAMILIES="tsm,i3d", BATCHES="3,6", SIZE="32")
    assert done.returncode == 1
    assert done.stderr == "gpu.sh: hlo failed with exit code 5\n"
    outputs = {file.stem: file.read_text() for file in (tmp_path / "out").iterdir()}
    models_parts = {"smoke_float32", "smoke_bfloat16", "models_tsm", "models_i3d"}
    assert outputs.keys() == {"parity", "hlo", "loop", "layers"} | models_parts
    assert "--families tsm,i3d --size 32 --batch 3 " in outputs["layers"]
    assert "--turns 2 --steps 1 " in outputs["loop"]


def test_unknown_family_on_a_gpu_is_refused_first(tmp_path):
    done = run_gpu(tmp_path / "out", FAMILIES="tsn,tsx")
    assert done.returncode == 2 and done.stdout == ""
    assert "'tsx' is none of tsn, tsm" in done.stderr
    assert not (tmp_path / "out").exists()


def test_missing_pytest_on_a_gpu_ends_with_one_line(tmp_path):
    script(tmp_path, "exit 1")
    done = run_gpu(tmp_path / "out", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "cuda,test" in done.stderr


def test_gpu_help_prints_the_usage():
    done = run_gpu("--help")
    assert done.returncode == 0 and "bash benchmarks/gpu.sh [OUT]" in done.stdout


def test_loop_of_a_missing_config_ends_with_exit_code_2_and_one_line():
    done = run("loop", "--config", "configs/nothing.py")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "no such file" in done.stderr


def test_convolution_that_a_library_takes_is_not_left_over():
    text = """
%fused (p: f32[8,4,4,32], k: f32[3,3,32,32]) -> f32[8,4,4,32] {
  ROOT %c = f32[8,4,4,32]{3,2,1,0} convolution(%p, %k), window={size=3x3 pad=1_1x1_1}
}

ENTRY %main (x: f32[8,4,4,32], k: f32[3,3,32,32]) -> f32[8,4,4,32] {
  %y = f32[8,4,4,32]{3,2,1,0} fusion(%x, %k), calls=%fused, backend_config={"kind":"__ynn_fusion"}
  ROOT %z = f32[8,2,2,32]{3,2,1,0} convolution(%y, %k), window={size=3x3}, metadata={op_name="a/b"}
}
"""
    assert hlo.convolutions_left(text) == ["f32[8,2,2,32] window={size=3x3} a/b"]


def test_the_loss_of_disturbed_runs_is_listed_by_kind():
    measured = json.loads((ROOT / "benchmarks" / "results" / "cpu_faults.json").read_text())
    text = faults.table(measured)
    assert "| kill -9 in a save | 5 | -9 | 0.0 to 0.0 | 9 to 10 |" in text
    assert "in the end: the same bits as without disturbance" in text
    assert text in (ROOT / "docs" / "reliability.md").read_text()
    measured["same_bits_in_the_end"] = False
    assert "in the end: OTHER bits" in faults.table(measured)


def test_states_that_differ_in_a_bit_or_in_a_name_are_not_the_same():
    state = {"step": 1, "arrays": {"a": np.float32([1.0, 2.0])}}
    changed = {"step": 1, "arrays": {"a": np.nextafter(state["arrays"]["a"], np.float32(3))}}
    assert damage.same(state, {"step": 1, "arrays": {"a": np.float32([1.0, 2.0])}})
    assert not damage.same(state, changed)
    assert not damage.same(state, {"step": 1, "arrays": {"b": np.float32([1.0, 2.0])}})
