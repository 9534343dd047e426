"""Every network agrees with MMAction2's figures, forward, backward and in its next losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

import jaxaction
from jaxaction.evaluation.views import average_clips
from jaxaction.interop import mmaction
from tests import memory
from tests.figures import FOLDER, Case, case_names

# Two correct float32 implementations differ by about 1e-6 of the largest logit (parity/README.md).
CLOSE = 1e-5
# Pooling in time is slices and maxima, whose gradients are JAX's: logits are compared alone.
TRAINED = [
    name for name in case_names() if Case(name).meta["train"] and "temporal_pool" not in name
]
# In training, batch statistics over few values amplify rounding, and a ReLU or a maximum that
# decides the other way changes a gradient by a step. MMAction2 computed in float64 is this far
# from its own float32 figures: logits 1.5e-4 of the largest (R(2+1)D), gradient norms 13.5 times
# their tolerance of 1e-3 + 1e-5 of the largest (SlowFast); run on one thread in place of two it is
# up to 5.7 times (R(2+1)D). Its losses differ from the third step on from run to run. That
# gradients and training are right is therefore shown in float64.
TRAINING_NOISE = 3e-4
GRADIENT_NOISE = 20
# Convolutions take the same forms in float32 and in float64, so a 2D network and a 3D one tell what
# float32 does; compiling a backward pass takes up to a minute.
IN_FLOAT32 = [name for name in TRAINED if name.startswith(("tsn_", "slowonly_"))]
# Relative errors of five losses in float64. Each step amplifies the rounding of the last: R(2+1)D's
# gradients are 1e-12 from MMAction2's, its losses were 4e-14, 8e-11, 9e-9, 1e-6 and 2e-3 away,
# and 9e-15, 6e-11, 1e-8, 1e-7 and 2e-4 with the sums of its gradients in another order.
LOSS_NOISE = (1e-11, 1e-9, 1e-6, 1e-4, 1e-2)


def network(case, **changes):
    config = mmaction.model_config(case.meta["model"])
    return jaxaction.build(config | changes), mmaction.convert(case.state_dict(), config)


def assert_close(value, expected, share=CLOSE):
    np.testing.assert_allclose(value, expected, rtol=0, atol=share * np.abs(expected).max())


def is_backbone(module, method):
    return module.name == "backbone" and method == "__call__"


@pytest.mark.parametrize("name", case_names())
def test_logits_features_and_number_of_parameters_are_those_of_mmaction2(name):
    case = Case(name)
    model, variables = network(case)

    @jax.jit
    def run(variables, clips):
        keep = {"mutable": "intermediates", "capture_intermediates": is_backbone}
        logits, kept = model.apply(variables, clips, False, **keep)
        return logits, *kept["intermediates"]["backbone"]["__call__"]

    logits, features = run(variables, case.clips())
    assert_close(logits, case["logits"])
    for number, feature in enumerate(features if isinstance(features, tuple) else (features,)):
        means = np.asarray(feature).mean(axis=(0, 1, 2, 3))
        assert_close(means, case[f"feature{number}_channel_mean"])
        shape = case[f"feature{number}_shape"]  # [n (x t), c, (t,) h, w]
        assert feature.size == np.prod(shape) and feature.shape[-1] == shape[1]
    # `convert` has held these against the model's own, one by one.
    sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
    assert sum(sizes) == case.meta["parameters"]


@pytest.mark.parametrize("name", case_names())
@pytest.mark.parametrize("average", ["prob", "score"])
def test_clips_are_averaged_as_by_mmaction2(name, average):
    case = Case(name)
    expected = case[f"average_{average}"]
    views = jnp.asarray(case["logits"].reshape(len(expected), -1, expected.shape[-1]))
    assert_close(average_clips(views, average), expected)


def loss_function(model, variables, clips, labels):
    """Returns the mean cross-entropy of parameters, with logits and statistics beside it."""

    def loss(params):
        state = {**variables, "params": params}
        logits, updates = model.apply(state, clips, True, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, updates["batch_stats"])

    return loss


def norms(tree):
    return jax.tree.map(lambda leaf: jnp.linalg.norm(leaf.ravel()), tree)


def by_mmaction_key(model, collection, tree):
    flat = traverse_util.flatten_dict({collection: tree})
    return {mmaction.mmaction_key(model, path): np.asarray(leaf) for path, leaf in flat.items()}


def make_step(model, settings, updates):
    """Returns an optimizer's `init`, and a jitted step of it that also gives logits and norms.

    The first of `updates` is the same without momentum, whose buffer is as large as the network.
    """
    optimizer = optax.chain(
        optax.add_decayed_weights(settings["weight_decay"]),
        optax.trace(settings["momentum"]) if updates > 1 else optax.identity(),
        optax.scale(-settings["lr"]),
    )

    # Float64's variables are up to 1 GiB: those of the last step are not kept beside the new ones.
    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(variables, opt_state, clips, labels):
        params = variables["params"]
        loss = loss_function(model, variables, clips, labels)
        (value, (logits, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        variables = {"params": optax.apply_updates(params, updates), "batch_stats": stats}
        return variables, opt_state, value, logits, norms(grads)

    return optimizer.init, step


@pytest.mark.parametrize("name", TRAINED)
def test_training_in_float64_is_that_of_mmaction2(name):
    jax.clear_caches()  # programs of earlier tests
    case = Case(name)
    with jax.enable_x64(True), np.load(FOLDER / "float64" / "training.npz") as expected:
        model, variables = network(case, dropout=0.0, dtype="float64")
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float64), variables)
        # The second loss tells the direction of all gradients. What comes after is the optimizer
        # again, the same for all, and amplified rounding: one network tells it.
        updates = 4 if name.startswith("tsn_") else 1
        init, step = make_step(model, case.meta["train"], updates)
        opt_state, clips = init(variables["params"]), case.clips().astype(np.float64)
        memory.give_back()
        step = step.lower(variables, opt_state, clips, case["labels"]).compile()
        memory.give_back()  # compiling takes 1 GiB, and so does the step
        variables, opt_state, loss, logits, grads = step(
            variables, opt_state, clips, case["labels"]
        )
        # What is left is the rounding of float64, amplified as that of float32 is.
        np.testing.assert_allclose(logits, expected[f"{name}/train_logits"], rtol=0, atol=1e-7)
        ours = by_mmaction_key(model, "params", grads)
        assert set(ours) == set(case["grad_names"])
        got = np.array([ours[key] for key in case["grad_names"]])
        norm = expected[f"{name}/grad_norms"]
        np.testing.assert_allclose(got, norm, rtol=1e-7, atol=1e-7 * norm.max())
        assert_running_statistics(model, variables["batch_stats"], case)
        losses = [loss]
        for _ in range(updates - 1):
            variables, opt_state, loss, *_ = step(variables, opt_state, clips, case["labels"])
            losses.append(loss)
        # The last loss needs no gradient.
        del step, opt_state
        evaluate = jax.jit(
            lambda state, *batch: loss_function(model, state, *batch)(state["params"])
        )
        losses.append(evaluate(variables, clips, case["labels"])[0])
        errors = np.abs(np.array(losses) / expected[f"{name}/losses"][: len(losses)] - 1)
        assert (errors < LOSS_NOISE[: len(losses)]).all(), errors


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_first_step_in_float32_is_that_of_mmaction2(name):
    case = Case(name)
    model, variables = network(case, dropout=0.0)
    init, step = make_step(model, case.meta["train"], updates=1)
    opt_state = init(variables["params"])
    updated, _, loss, logits, grads = step(variables, opt_state, case.clips(), case["labels"])
    np.testing.assert_allclose(loss, case["losses"][0], rtol=TRAINING_NOISE)
    assert_close(logits, case["train_logits"], TRAINING_NOISE)
    assert_gradient_norms(model, grads, case)
    assert_running_statistics(model, updated["batch_stats"], case)


def assert_gradient_norms(model, grads, case):
    ours = by_mmaction_key(model, "params", grads)
    assert set(ours) == set(case["grad_names"])
    expected = case["grad_norms"]
    error = np.abs(np.array([ours[key] for key in case["grad_names"]]) - expected)
    tolerance = 1e-3 * expected + 1e-5 * expected.max()
    assert np.median(error / tolerance) < 1
    assert (error <= GRADIENT_NOISE * tolerance).all()


def assert_running_statistics(model, stats, case):
    ours = by_mmaction_key(model, "batch_stats", stats)
    keys = [key for key in case.arrays if key.startswith("bn") and key.endswith("_key")]
    assert keys
    for key in keys:
        expected = case[key.replace("_key", "_value")]
        np.testing.assert_allclose(ours[str(case[key])], expected, rtol=1e-3, atol=1e-3)
