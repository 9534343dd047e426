import os
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxaction import train_state
from jaxaction.errors import InputError
from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import BatchNorm
from jaxaction.models.pixels import normalize
from jaxaction.runtime import device_memory, sharding, xla_options
from jaxaction.training import accumulation, train_step
from tests.paths import ROOT

ONCE = xla_options.for_one_run()
# Class weights, since the mean of the parts' weighted means would be another loss.
WEIGHTED = train_step.Recipe(class_weights=(1.0, 5.0, 0.5))


class Network(nn.Module):
    """Two convolutions with norms over pairs of clips."""

    bn_group: int = 2
    num_classes: int = 3

    @nn.compact
    def __call__(self, clip, train):
        x = clip[:, 0]
        for i in range(2):
            x = nn.Conv(8, (3, 3), name=f"conv{i}")(x)
            x = nn.relu(BatchNorm(LayerOptions(bn_group=self.bn_group), name=f"bn{i}")(x, train))
        return nn.Dense(self.num_classes, name="fc")(x.mean(axis=(1, 2)))


def compiled(recipe, bn_group=2, devices=1):
    """The step on so many devices, compiled, its state, and a batch of 8 clips."""
    model, optimizer, rng = Network(bn_group), optax.sgd(0.1), np.random.default_rng(0)
    batch = {
        "clip": rng.integers(0, 256, (8, 1, 16, 16, 3), np.uint8),
        "label": rng.integers(0, 3, 8).astype(np.int32),
    }
    init = jax.jit(model.init, static_argnums=2, compiler_options=ONCE)
    variables = init(jax.random.key(0), batch["clip"][:1] / 1.0, False)
    step = train_step.make_train_step(model, optimizer, (128.0,) * 3, (60.0,) * 3, 0, recipe)
    mesh = sharding.device_mesh()
    assert mesh.size == devices
    replicated, split = sharding.replicated(mesh), sharding.split(mesh)
    state = jax.device_put(train_state.create(variables, optimizer), replicated)
    batch = sharding.put(batch, mesh)
    shardings = {"in_shardings": (replicated, split), "out_shardings": (replicated, replicated)}
    jitted = jax.jit(step, **shardings)
    return jitted.lower(state, batch).compile(compiler_options=ONCE), state, batch


def taken(program, state, batch):
    """What a step leaves behind, as numpy arrays."""
    new, metrics = program(state, batch)
    return jax.device_get((new.variables, metrics))


def assert_close(got, expected, atol=1e-6):
    # float32: sums over clips in another order
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol), got, expected)


@pytest.fixture(scope="module")
def undivided():
    return compiled(WEIGHTED)


@pytest.fixture(scope="module")
def in_parts():
    return compiled(WEIGHTED._replace(accumulate=4, group_size=2))


def test_a_step_in_parts_is_the_whole_step(undivided, in_parts):
    """Parameters, statistics, loss and gradient norm: a part holds whole groups of the norms."""
    assert_close(taken(*in_parts), taken(*undivided))


def test_a_step_in_parts_takes_less_memory(undivided, in_parts):
    """A quarter of the activations, and the sums of the gradients."""
    before, after = (program.memory_analysis() for program, *_ in (undivided, in_parts))
    assert after.temp_size_in_bytes < before.temp_size_in_bytes / 2
    assert device_memory.needed(in_parts[0]) < device_memory.needed(undivided[0])


def test_norms_over_the_whole_batch_are_over_a_part_then(undivided):
    parts = compiled(train_step.Recipe(accumulate=4), bn_group=0)
    one, (_, state, batch) = taken(*parts), undivided

    @jax.jit
    def statistics(variables, clips):
        clips = normalize(clips, (128.0,) * 3, (60.0,) * 3)
        network = Network(bn_group=0)
        return network.apply(variables, clips, True, mutable=["batch_stats"])[1]["batch_stats"]

    stats = [statistics(state.variables, batch["clip"][i::4]) for i in range(4)]
    assert_close(one[0]["batch_stats"], jax.tree.map(lambda *x: np.mean(x, axis=0), *stats))


def test_each_part_has_a_key_of_its_own():
    key = jax.random.key(0)
    mean = accumulation.mean_over_parts(lambda x, key: jax.random.uniform(key), 3)
    got = mean(jnp.zeros(6), key)
    draws = [jax.random.uniform(jax.random.fold_in(key, i)) for i in range(3)]
    assert len({float(draw) for draw in draws}) == 3
    np.testing.assert_allclose(got, np.mean(draws), rtol=1e-6)


def test_a_single_part_is_the_batch_with_the_key_as_it_is():
    got = accumulation.mean_over_parts(lambda x, key: (x, key), 1)("batch", "key")
    assert got == ("batch", "key")


def test_parts_have_rows_from_all_over_the_batch():
    rows = jnp.arange(8)
    parts = [accumulation.take(accumulation.divide(rows, 2, 1), i).tolist() for i in range(2)]
    assert parts == [[0, 2, 4, 6], [1, 3, 5, 7]]
    pairs = [accumulation.take(accumulation.divide(rows, 2, 2), i).tolist() for i in range(2)]
    assert pairs == [[0, 1, 4, 5], [2, 3, 6, 7]]


@pytest.mark.parametrize(
    ("batch_size", "count", "devices", "bn_group", "expected"),
    [(64, 8, 1, 8, 8), (64, 4, 2, 8, 8), (64, 2, 8, 8, 1), (64, 8, 1, 0, 1), (64, 16, 1, 8, 1)],
)
def test_groups_stay_together_where_they_divide(batch_size, count, devices, bn_group, expected):
    assert accumulation.group_size(batch_size, count, devices, bn_group) == expected


def test_parts_that_do_not_divide_over_the_devices_are_refused():
    accumulation.check_batch_divides(16, 4, 2)
    line = (
        "train.batch_size 12 is not a multiple of train.accumulate 4 times 2 devices;"
        " set train.batch_size to 8, or train.accumulate to 1"
    )
    with pytest.raises(InputError, match=f"^{line}$"):
        accumulation.check_batch_divides(12, 4, 2)


TWO = """
import re
from tests.training import test_accumulation as here

for recipe in (here.WEIGHTED, here.WEIGHTED._replace(accumulate=2, group_size=2)):
    program, state, batch = here.compiled(recipe, devices=2)
    kinds = "|".join(("all-reduce", "all-gather", "all-to-all", "collective-permute"))
    messages = re.findall(f" ({kinds})[-a-z]*\\(", program.as_text())
    print(*messages, float(here.taken(program, state, batch)[1]["loss"]))
"""


def test_devices_keep_their_clips(undivided):
    """Two devices: of a whole batch and of each part, only sums of gradients leave a device."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    env = os.environ | flags | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TWO]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:-1] for row in rows] == [["all-reduce"]] * 2
    loss = taken(*undivided)[1]["loss"]
    np.testing.assert_allclose([float(row[-1]) for row in rows], loss, rtol=1e-5)  # float32
