"""Which modules `eval.py` loads. `tests/training/test_loop.py` tests its results and files."""

import os
import subprocess
import sys

import pytest

from tests.paths import ROOT

SCRIPT = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*[name for name in sys.modules if name.startswith("jaxaction.training")])
"""


@pytest.mark.parametrize("module", ["jaxaction.commands.eval", "jaxaction.storage.checkpoint"])
def test_evaluation_loads_no_training_code(module):
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, module]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
