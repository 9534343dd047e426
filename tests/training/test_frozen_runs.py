"""A run with frozen stages, saved and gone on with, leaves them as they are to the bit."""

import jax
import pytest
from flax.traverse_util import flatten_dict

from jaxaction.runtime import xla_options
from jaxaction.storage import checkpoint
from jaxaction.training import loop, setup
from tests import tiny_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    tiny_run.write_clips(folder)
    with tiny_run.kept_programs(folder):
        yield folder


def config(folder, epochs):
    config = tiny_run.config(folder, epochs=epochs, eval_every_epochs=0)
    config.model.update(frozen_stages=0, remat=(1,))
    config.optim.update(name="adamw", weight_decay=0.5, clip_norm=1.0)
    return config


def leaves(variables):
    return flatten_dict(dict(variables), sep="/")


def test_frozen_stages_keep_their_bits_in_a_run_that_is_stopped_and_goes_on(folder):
    for epochs in (1.0, 2.0):
        loop.train(config(folder, epochs), str(folder / "run"), lambda line: None)
    run = checkpoint.load_run(str(folder / "run"))
    training, options = setup.prepare(config(folder, 1.0)), xla_options.for_one_run()
    fresh = jax.jit(lambda: setup.create_state(training), compiler_options=options)()
    before, after = leaves(fresh.variables), leaves(run.variables)
    assert run.step == 6
    same = {name for name in before if before[name].tobytes() == after[name].tobytes()}
    assert same == {name for name in before if "backbone/conv1/" in name}
