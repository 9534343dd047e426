"""Computing activations again changes no name and no number, and takes less memory."""

import jax
import numpy as np
import pytest

from jaxaction.models import abstract_variables, mobilenet
from jaxaction.runtime import xla_options
from jaxaction.training import setup
from tests import tiny_run
from tests.models.networks import each_model, network

STAGES = {"tsn": (0, 1), "tsm_mobilenetv2": (0, 2, 3), "slowfast lateral norm": (0, 1)}


@pytest.fixture(autouse=True)
def short_mobilenet(monkeypatch):
    """Two of the seven stages, and `conv2`."""
    monkeypatch.setattr(mobilenet, "STAGES", mobilenet.STAGES[:2])


def step(name, **fields):
    """Loss, gradients and new statistics of a training step, computed without optimisations."""
    small = {} if "mobilenet" in name else {"depth": 18, "stage_blocks": (1,)}
    model, variables, clip = network(name, **small, **fields)

    def loss(params):
        variables_ = {"params": params, "batch_stats": variables["batch_stats"]}
        rngs = {"dropout": jax.random.key(0)}
        logits, new = model.apply(variables_, clip, True, mutable=["batch_stats"], rngs=rngs)
        return (logits**2).sum(), new["batch_stats"]

    jitted = jax.jit(jax.value_and_grad(loss, has_aux=True))
    lowered = jitted.lower(variables["params"])
    options = xla_options.for_training(remat=model.uses_remat) | xla_options.for_one_run()
    return lowered, lowered.compile(compiler_options=options)(variables["params"])


@pytest.mark.parametrize("name", STAGES)
def test_loss_gradients_and_statistics_are_the_same(name):
    (kept, expected), (again, actual) = step(name), step(name, remat=STAGES[name])
    convolutions = [lowered.as_text().count("stablehlo.convolution") for lowered in (kept, again)]
    assert convolutions[0] < convolutions[1]
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for one, two in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        # The same operations, fused in other ways: float32, sums of hundreds that may cancel.
        tolerance = 1e-4 * np.abs(two).max() + 1e-6 * largest
        np.testing.assert_allclose(one, two, rtol=0, atol=tolerance)


@each_model
def test_names_and_shapes_of_the_variables_are_the_same(name):
    again = network(name, remat=(0, 1))[0]
    assert abstract_variables(again) == abstract_variables(network(name)[0])


def test_a_path_of_slowfast_can_have_stages_of_its_own():
    model = network("slowfast", slow={"remat": (1,)})[0]
    assert model.uses_remat and not network("slowfast")[0].uses_remat
    slow, fast = model.paths()
    assert (slow["remat"], fast["remat"]) == ((1,), ())


def temporary_bytes(config):
    """What the compiled training step of a run needs beside its arguments."""
    config.model.update(stage_blocks=(4,), width=24)
    config.data.update(size=(32, 32), short_side=32)
    training = setup.prepare(config)
    state = jax.eval_shape(lambda: setup.create_state(training))
    compiled = setup.compile_step(training, state, lambda line: None)
    return compiled.memory_analysis().temp_size_in_bytes


def test_a_runs_step_takes_less_memory(tmp_path):
    tiny_run.write_clips(tmp_path)
    kept, again = (tiny_run.config(tmp_path) for _ in range(2))
    again.model.remat = (1,)
    # Of four blocks with six arrays each, the inputs and one whole block are left (and the stem).
    assert temporary_bytes(again) < 0.7 * temporary_bytes(kept)
