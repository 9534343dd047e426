"""The benchmarks run, and say what they found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import hlo, models

ROOT = Path(__file__).parent.parent


def run(module, *arguments):
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )


def row(side, seconds):
    about = {"family": "tsn", "mode": "inference", "batch": 2, "size": 224, "dtype": "float32"}
    about |= {"flops": 30e9, "flops_per_second": 100e9}
    found = {"side": side, "versions": {}, "seconds": seconds}
    return about | found | {"first_step_s": 3.0, "peak_bytes": 2**30}


def test_table_gives_medians_and_the_ratio_to_each_side():
    rows = [row("jaxaction", [0.9, 1.0, 5.0]), row("mmaction2", [2.0, 2.0, 2.1])]
    text = models.table(rows)
    assert "| tsn inference | 2 | jaxaction | 2.00 |  | 30% | 3.0 | 1.00 |" in text
    assert "| tsn inference | 2 | mmaction2 | 1.00 | 2.00 | 15% | 3.0 | 1.00 |" in text
    assert text.endswith("geometric mean, inference against mmaction2: 2.00")


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
    assert written["machine"]["cores"] >= 1


@pytest.mark.parametrize("module", ["models", "layers", "hlo"])
def test_unknown_family_ends_with_exit_code_2_and_the_known_ones(module):
    done = run(module, "--families", "tsx")
    assert done.returncode == 2
    assert "--families tsx is none of tsn, tsm, i3d" in done.stderr
    assert "Traceback" not in done.stderr


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
    assert hlo.left_over(text) == ["f32[8,2,2,32] window={size=3x3} a/b"]
