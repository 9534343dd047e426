"""How many functions of this repository lie between `train.py` and the network."""

import os
import subprocess
import sys

from tests import tiny_run
from tests.paths import ROOT
from tests.training.test_loop import CONFIG

MOST_BEFORE_THE_MODEL = 7
# Runs `train.py` until its step reaches a convolution, then prints the repository's own frames.
SCRIPT = """
import os, runpy, sys, traceback
import jax
root, convolve = sys.argv.pop(1) + os.sep, jax.lax.conv_general_dilated

def traced(*args, **kwargs):
    stack = [f for f in traceback.extract_stack() if "site-packages" not in f.filename]
    own = [frame for frame in stack if frame.filename.startswith(root)]
    if any(frame.name == "compile_step" for frame in own):
        print(*(frame.filename.removeprefix(root) + ":" + frame.name for frame in own), flush=True)
        os._exit(0)
    return convolve(*args, **kwargs)

jax.lax.conv_general_dilated = traced
sys.argv[0] = root + "train.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def own_frames(folder) -> list[str]:
    """`file:function` of every own frame from `train.py` to the step's first convolution."""
    tiny_run.write_clips(folder)
    (folder / "tiny.py").write_text(CONFIG)
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(ROOT), "--config", str(folder / "tiny.py")]
    command += ["--workdir", str(folder / "run")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def test_few_functions_lie_between_train_py_and_the_model(tmp_path):
    frames = own_frames(tmp_path)
    before = [frame for frame in frames if not frame.startswith("jaxaction/models/")]
    assert frames[0] == "train.py:<module>"
    assert frames[: len(before)] == before  # the model calls nothing but models
    assert len(before) <= MOST_BEFORE_THE_MODEL, before
