import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxaction
from jaxaction import train_state
from jaxaction.models.pixels import normalize
from jaxaction.training import losses, mixup, train_step

MEAN, STD = (128.0,), (2.0,)


class Probe(nn.Module):
    """Logits that are a linear map of the clip's mean, with dropout and a running mean."""

    rate: float = 0.0
    num_classes: int = 2

    @nn.compact
    def __call__(self, clip, train):
        x = clip.mean(axis=(1, 2, 3))
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(1))
        if train:
            mean.value = x.mean(0)
        x = nn.Dropout(self.rate, deterministic=not train)(jnp.tile(x, 64))
        return nn.Dense(2, name="fc")(x)


def batch():
    clip = np.array([126, 130, 132], np.uint8).reshape(3, 1, 1, 1, 1) * np.ones(
        (1, 1, 2, 2, 1), np.uint8
    )
    return {"clip": jnp.asarray(clip), "label": jnp.array([0, 1, 1])}


def start(rate=0.0, seed=0):
    model, optimizer = Probe(rate), optax.sgd(0.1)
    variables = model.init(jax.random.key(1), jnp.zeros((1, 1, 2, 2, 1)), False)
    state = train_state.create(variables, optimizer)
    return state, jax.jit(train_step.make_train_step(model, optimizer, MEAN, STD, seed))


def test_normalize_makes_float32_from_uint8():
    got = normalize(jnp.array([[126, 131]], jnp.uint8), (128.0, 128.0), (2.0, 3.0))
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, [[-1, 1]])


def test_step_updates_parameters_statistics_and_count():
    state, step = start()
    new, metrics = step(state, batch())

    def loss(params):
        x = jnp.tile(jnp.array([[-1.0], [1.0], [2.0]]), 64)
        logits = x @ params["fc"]["kernel"] + params["fc"]["bias"]
        return losses.cross_entropy(logits, batch()["label"]).named["cross_entropy"]

    value, grads = jax.value_and_grad(loss)(state.params)
    expected = state.params["fc"]["kernel"] - 0.1 * grads["fc"]["kernel"]
    # float32, sums of 64 terms
    np.testing.assert_allclose(new.params["fc"]["kernel"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(grads), rtol=1e-5)
    np.testing.assert_allclose(new.batch_stats["mean"], [2 / 3], rtol=1e-6)
    assert int(new.step) == 1


def test_metrics_name_every_loss_and_their_total():
    state, step = start()
    _, metrics = step(state, batch())
    assert set(metrics) == {"loss", "loss/cross_entropy", "accuracy", "grad_norm"}
    assert metrics["loss"] == metrics["loss/cross_entropy"]
    assert float(metrics["accuracy"]) in (0, np.float32(1 / 3), np.float32(2 / 3), 1)


def test_dropout_depends_on_seed_and_step_alone():
    def loss(seed, step_number):
        state, step = start(rate=0.5, seed=seed)
        return float(step(state.replace(step=jnp.int32(step_number)), batch())[1]["loss"])

    assert loss(0, 0) == loss(0, 0)
    assert loss(0, 0) != loss(0, 1)
    assert loss(0, 0) != loss(1, 0)


def test_in_bfloat16_parameters_statistics_and_loss_stay_float32():
    fields = {"name": "tsn", "num_classes": 2, "depth": 18, "stage_blocks": (1,), "width": 4}
    model, optimizer = jaxaction.build(fields | {"dtype": "bfloat16"}), optax.sgd(0.1)
    mean = std = (1.0, 1.0, 1.0)

    def step(key, batch):
        variables = jaxaction.init(model, (1, 2, 16, 16, 3), key)
        state = train_state.create(variables, optimizer)
        return train_step.make_train_step(model, optimizer, mean, std, 0)(state, batch)

    clip = jax.ShapeDtypeStruct((2, 2, 16, 16, 3), jnp.uint8)
    batch = {"clip": clip, "label": jax.ShapeDtypeStruct((2,), jnp.int32)}
    state, metrics = jax.eval_shape(step, jax.random.key(0), batch)
    kinds = {x.dtype for x in jax.tree.leaves((state.variables, metrics))}
    assert kinds == {jnp.dtype("float32")}


def test_a_step_on_several_labels_counts_a_clip_as_right_whose_highest_logit_is_a_label():
    state, step = start()
    several = batch() | {"label": jnp.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])}
    _, metrics = step(state, several)
    assert "loss/binary_cross_entropy" in metrics
    assert metrics["accuracy"] == 1  # of no labels all are highest


def mixed(seed, step, mix):
    state, optimizer = start()[0], optax.sgd(0.1)
    state = dataclasses.replace(state, step=jnp.asarray(step))
    taken = train_step.make_train_step(Probe(), optimizer, MEAN, STD, seed, train_step.Recipe(mix))
    return taken(state, batch())[1]["loss"]


def test_mixing_depends_on_seed_and_step_alone():
    mix = train_step.Mixing(mixup=1.0, cutmix=1.0)
    loss = mixed(0, 0, mix)
    assert loss == mixed(0, 0, mix)
    assert loss != mixed(0, 1, mix)
    assert loss != mixed(1, 0, mix)
    assert loss != mixed(0, 0, train_step.UNMIXED)


def loss_of(recipe, labels=None):
    state, _ = start()
    step = jax.jit(train_step.make_train_step(Probe(), optax.sgd(0.1), MEAN, STD, 0, recipe))
    return state, *step(state, batch() | ({} if labels is None else {"label": labels}))


def logits_of(state):
    return Probe().apply(state.variables, jnp.array([-1.0, 1, 2]).reshape(3, 1, 1, 1, 1), False)


def test_a_step_smooths_labels_and_weighs_classes():
    state, _, metrics = loss_of(train_step.Recipe(label_smoothing=0.2, class_weights=(1.0, 3.0)))
    shares = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]) * [1, 3]
    expected = -(shares * jax.nn.log_softmax(logits_of(state))).sum() / shares.sum()
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)  # float32, sums of 64 terms
    assert metrics["accuracy"] == loss_of(train_step.PLAIN)[2]["accuracy"]


def test_a_batch_of_classes_without_weight_changes_nothing():
    recipe, ones = train_step.Recipe(class_weights=(1.0, 0.0)), jnp.ones(3, jnp.int32)
    state, new, metrics = loss_of(recipe, ones)
    assert metrics["loss"] == 0 and metrics["grad_norm"] == 0
    jax.tree.map(np.testing.assert_array_equal, state.params, new.params)


def test_several_labels_are_smoothed_and_weighed_too():
    targets = jnp.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    recipe = train_step.Recipe(label_smoothing=0.2, class_weights=(1.0, 3.0))
    state, _, metrics = loss_of(recipe, targets)
    logits, soft = np.array(logits_of(state)), 0.8 * np.array(targets) + 0.1
    each = np.logaddexp(0, logits) - soft * logits
    np.testing.assert_allclose(metrics["loss"], (each * [1, 3]).mean(), rtol=1e-5)


def test_mixed_clips_are_weighed_by_the_classes_that_they_hold(monkeypatch):
    shares = jnp.array([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]])
    monkeypatch.setattr(mixup, "mix", lambda key, clips, labels, *alphas: (clips, shares))
    recipe = train_step.Recipe(train_step.Mixing(mixup=1.0), class_weights=(1.0, 3.0))
    state, _, metrics = loss_of(recipe)
    weighed = np.array(shares) * [1, 3]
    expected = -(weighed * jax.nn.log_softmax(logits_of(state))).sum() / weighed.sum()
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
