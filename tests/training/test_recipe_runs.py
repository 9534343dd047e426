"""Runs in their smallest form with averages, parts of a batch and precise batch norm."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxaction.config import build
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate
from jaxaction.evaluation.settings import eval_settings
from jaxaction.storage import checkpoint
from jaxaction.training import loop
from tests import tiny_run

ITEMS = ("variables", "optimizer", "averaged", "statistics")
RECIPE = {
    "ema_decay": 0.9,
    "accumulate": 2,
    "precise_bn_clips": 6,
    "label_smoothing": 0.1,
    "class_weights": (1.0, 2.0, 0.5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    tiny_run.write_clips(folder)
    with tiny_run.kept_programs(folder):
        yield folder


@pytest.fixture(scope="module")
def undisturbed(folder):
    """Six steps at one go, with a validation after the third."""
    every = {"eval_every_epochs": 1, "checkpoint_every_steps": 3}
    config = tiny_run.config(folder, epochs=2.0, **every, **RECIPE)
    return folder / "a", loop.train(config, str(folder / "a"))


def items(workdir):
    with ocp.CheckpointManager(workdir / "checkpoints") as manager:
        args = {name: ocp.args.StandardRestore() for name in ITEMS}
        return dict(manager.restore(6, args=ocp.args.Composite(**args)).items())


def test_a_run_that_stopped_goes_on_to_the_same_bits(undisturbed, folder):
    """Neither validation nor what it computes for it leaves a trace in training."""
    for epochs in (1.0, 2.0):
        config = tiny_run.config(folder, epochs=epochs, eval_every_epochs=0, **RECIPE)
        loop.train(config, str(folder / "b"))
    one, two = items(undisturbed[0]), items(folder / "b")
    assert set(one) == set(ITEMS)
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_tests_are_made_with_averages_and_their_precise_statistics(undisturbed):
    workdir, evaluation = undisturbed
    run, stored = checkpoint.load_run(str(workdir)), items(workdir)
    same = {"params": stored["averaged"]["params"], **stored["statistics"]}
    jax.tree.map(np.testing.assert_array_equal, run.variables, same)
    videos, settings = build.source(run.config, "test"), eval_settings(run.config)
    model = build.model(run.config)
    again = evaluate.run(model, run.variables, videos, run.protocol, settings)
    np.testing.assert_array_equal(evaluation.scores, again.scores)
    for other in (stored["variables"], stored["averaged"]):
        scores = evaluate.run(model, other, videos, run.protocol, settings).scores
        assert not np.array_equal(evaluation.scores, scores)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("class_weights", (1.0, 2.0), "class_weights has 2 numbers, but model.num_classes is 3"),
        ("accumulate", 3, "batch_size 4 is not a multiple of train.accumulate 3 times 1 devices"),
    ],
)
def test_nothing_is_written_for_a_recipe_that_does_not_fit(folder, key, value, words):
    with pytest.raises(InputError, match=words):
        loop.train(tiny_run.config(folder, **{key: value}), str(folder / "unfit"), str)
    assert not (folder / "unfit").exists()
