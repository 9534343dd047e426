"""What a training step on several devices sends, and the formula of `benchmarks.scale`."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import scale
from tests.paths import ROOT

HLO = """
%a = f32[3,4]{1,0} all-reduce(f32[3,4]{1,0} %x), replica_groups={{0,1}}
%b = (f32[2]{0}, bf16[3]{0:T(8)}, s32[]) all-reduce-start(%c, %d, %e)
%f = (f32[2]{0}, bf16[3]{0}) all-reduce-done(%b)
"""


def test_all_reduces_are_counted_once_with_all_that_they_carry():
    assert scale.all_reduces(HLO) == [3 * 4 * 4, 2 * 4 + 3 * 2 + 4]


def test_a_ring_sends_nearly_twice_the_bytes_and_waits_for_each_message():
    assert scale.ring(4, 8e9, 1e9, 0.5) == pytest.approx(2 * 3 / 4 * 8 + 2 * 3 * 0.5)


def test_the_table_says_what_part_of_a_step_is_computing():
    lines = scale.table(10**9, 1.0, 1, scale.Links(1e9, 1e9, 0.0)).splitlines()
    assert lines[2] == "| 1 | 1 | 0.0 | 1000.0 | 100.0 % |"
    assert lines[3] == "| 2 | 2 | 1000.0 | 2000.0 | 50.0 % |"


MEASURE = """
import json, sys, jax
jax.config.update("jax_num_cpu_devices", 4)
from benchmarks import scale
from tests.paths import ROOT
from tests import tiny_run
sent = []
for bn_group, batch_size in ((4, 16), (0, 16)):
    config = tiny_run.config("unused", batch_size=batch_size)
    config.model.bn_group = bn_group
    sent.append(scale.measure(config))
print(json.dumps(sent))
"""


def test_several_devices_send_each_other_gradients_and_little_else():
    """With groups of batch norm on single devices, and with statistics of the whole batch."""
    flags = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", MEASURE]
    environment = os.environ | flags | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for total, _, gradients in json.loads(done.stdout):
        # Running statistics, sums of normalisation and metrics: small beside a kernel, and
        # activations (16 x 2 frames of 8x8 pixels and 4 channels and more) are not.
        assert gradients <= total < 1.2 * gradients
