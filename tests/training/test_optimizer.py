import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxaction.errors import InputError
from jaxaction.training import optimizer
from jaxaction.training.optimizer import Schedule
from tests.paths import PARITY

PIPELINE = json.loads(gzip.decompress((PARITY / "pipeline.json.gz").read_bytes()))
RECIPES = {recipe["config"]: recipe for recipe in PIPELINE["recipes"]}

# TSM's five rows: norms, the classifier's weight, its bias, other biases; the rest is (1, 1).
TSM_ROWS = (
    (r".*/bn/(scale|bias)", 1.0, 0.0),
    (r"cls_head/fc_cls/kernel", 5.0, 1.0),
    (r"cls_head/fc_cls/bias", 10.0, 0.0),
    (r".*/bias", 2.0, 0.0),
)


def schedule_of(recipe: dict) -> Schedule:
    """A recipe's mmengine schedulers as our fields. Its milestones count from `begin`."""
    fields = {}
    for part in recipe["schedule"]:
        begin = part.get("begin", 0)
        if part["type"] == "LinearLR":
            by = "step" if part.get("convert_to_iter_based") else "epoch"
            fields |= {"warmup_epochs": part["end"], "warmup_by": by}
            fields["warmup_start"] = part["start_factor"]
        elif part["type"] == "CosineAnnealingLR":
            fields |= {"decay": "cosine", "decay_begin_epochs": begin, "decay_by": "epoch"}
            fields["decay_epochs"] = part["T_max"]
        else:
            milestones = tuple(begin + m for m in part["milestones"])
            fields |= {"decay": "steps", "milestones": milestones, "gamma": part["gamma"]}
    return Schedule(recipe["optimizer"]["lr"], recipe["iterations_per_epoch"], **fields)


@pytest.mark.parametrize("name", RECIPES)
def test_schedule_follows_mmaction2s_recipe(name):
    steps, rates = np.array(RECIPES[name]["curve"]).T
    got = jax.jit(jax.vmap(schedule_of(RECIPES[name])))(jnp.asarray(steps, jnp.int32))
    np.testing.assert_allclose(got, rates, rtol=1e-6)


def test_warmup_by_step_reaches_the_full_rate_in_its_last_step():
    schedule = Schedule(1.0, 4, warmup_epochs=1, warmup_start=0.1, warmup_by="step")
    rates = [float(schedule(step)) for step in range(6)]
    # 1e-6: float32
    np.testing.assert_allclose(rates, [0.1, 0.4, 0.7, 1.0, 1.0, 1.0], rtol=1e-6)


def test_cosine_by_step_falls_to_zero_and_stays():
    schedule = Schedule(2.0, 2, decay="cosine", decay_epochs=2)
    rates = [float(schedule(step)) for step in range(6)]
    half = 1 + np.sqrt(0.5)
    np.testing.assert_allclose(rates, [2, half, 1, 2 - half, 0, 0], atol=1e-6)  # float32


@pytest.mark.parametrize(
    ("field", "value"), [("decay", "linear"), ("warmup_by", "iter"), ("decay_by", "iter")]
)
def test_unknown_word_in_a_schedule_is_named(field, value):
    with pytest.raises(InputError, match=f"optim.{field} '{value}' is none of"):
        optimizer.check_schedule(Schedule(1.0, 1)._replace(**{field: value}))


def test_rate_is_linear_in_the_batch():
    assert optimizer.scaled_rate(0.1, 16, 64) == 0.025
    assert optimizer.scaled_rate(0.1, 16, 0) == 0.1


def our_path(key: str) -> str:
    """A PyTorch key as a path of ours; the shift's `net` is no module here."""
    path = key.replace(".net.", ".").replace(".", "/")
    if path.endswith("weight"):
        return path.removesuffix("weight") + ("scale" if "/bn/" in path else "kernel")
    return path


def test_tsm_rows_give_mmaction2s_groups():
    expected = PIPELINE["parameter_groups"][0]
    for group in expected["groups"]:
        rate = round(group["lr"] / expected["base_lr"])
        decay = round(group["weight_decay"] / expected["base_weight_decay"])
        for key in group["params"]:
            assert optimizer.multipliers(our_path(key), TSM_ROWS) == (rate, decay), key


def test_first_matching_row_wins_and_must_match_the_whole_path():
    rows = ((r"a/.*", 2.0, 0.0), (r"a/b", 3.0, 1.0))
    assert optimizer.multipliers("a/b", rows) == (2.0, 0.0)
    assert optimizer.multipliers("x/a/b", rows) == (1.0, 1.0)


def test_clipping_uses_the_coefficient_of_torch():
    grads = {"a": jnp.array([3.0, 4.0])}
    clipped, _ = optimizer.clip_by_global_norm(1.0).update(grads, (), None)
    np.testing.assert_allclose(clipped["a"], np.array([3, 4]) / (5 + 1e-6), rtol=1e-6)  # float32
    kept, _ = optimizer.clip_by_global_norm(6.0).update(grads, (), None)
    np.testing.assert_array_equal(kept["a"], grads["a"])


def run(name: str, grads: np.ndarray, start: np.ndarray, **changes) -> np.ndarray:
    """The parameter `a/kernel` after one update a row of `grads`."""
    settings = {"momentum": 0.9, "weight_decay": 0.01, "clip_norm": 0.0, "table": ()} | changes
    chain = optimizer.chain(name, Schedule(0.1, 1), **settings)
    params = {"a": {"kernel": jnp.asarray(start)}}
    state = chain.init(params)
    for grad in grads:
        updates, state = chain.update({"a": {"kernel": jnp.asarray(grad)}}, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return np.asarray(params["a"]["kernel"])


GRADS = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
START = np.array([1.0, -2.0, 0.5], np.float32)


def test_sgd_adds_weight_decay_then_momentum_then_the_rates():
    x, trace = START.astype(np.float64), 0
    for grad in GRADS:
        trace = 0.9 * trace + grad + 0.01 * 0.5 * x
        x = x - 0.1 * 3 * trace
    table = ((".*", 3.0, 0.5),)
    np.testing.assert_allclose(run("sgd", GRADS, START, table=table), x, rtol=1e-5)  # float32


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_follows_the_formulas_of_torch(name):
    x, m, v = START.astype(np.float64), 0, 0
    for step, grad in enumerate(GRADS.astype(np.float64), 1):
        if name == "adamw":
            x = x * (1 - 0.1 * 0.01)
        else:
            grad = grad + 0.01 * x
        m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
        x = x - 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(run(name, GRADS, START), x, rtol=1e-5)  # float32


def test_gradients_are_clipped_before_weight_decay():
    got = run("sgd", np.array([[3.0, 4.0]], np.float32), np.ones(2, np.float32), clip_norm=1.0)
    np.testing.assert_allclose(got, [1 - 0.1 * (0.6 + 0.01), 1 - 0.1 * (0.8 + 0.01)], rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_frozen_parameters_stay_to_the_bit_and_the_others_learn_as_without_them(name):
    chain = optimizer.chain(name, Schedule(0.1, 1), 0.9, 0.5, 1.0, ())
    frozen = optimizer.freeze(chain, frozenset({"a/kernel"}))
    still = jnp.array([-0.0, 0.0, 3.0])
    params = {"a": {"kernel": still}, "b": {"kernel": jnp.asarray(START)}}
    alone = {"b": params["b"]}
    state, other = frozen.init(params), chain.init(alone)
    for grad in GRADS:
        # A gradient for the frozen one, too, as one that is clipped with the others would show.
        grads = {"a": {"kernel": jnp.full(3, 1e3)}, "b": {"kernel": jnp.asarray(grad)}}
        updates, state = frozen.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        updates, other = chain.update({"b": grads["b"]}, other, alone)
        alone = optax.apply_updates(alone, updates)
    assert params["a"]["kernel"].tobytes() == still.tobytes()
    np.testing.assert_array_equal(params["b"]["kernel"], alone["b"]["kernel"])
    moments = [leaf.shape for leaf in jax.tree.leaves(state)]
    assert moments == [leaf.shape for leaf in jax.tree.leaves(other)]  # none for the frozen one


def test_nothing_frozen_leaves_the_optimizer_as_it_is():
    chain = optimizer.chain("sgd", Schedule(0.1, 1), 0.9, 0.0, 0.0, ())
    assert optimizer.freeze(chain, frozenset()) is chain


def test_unknown_optimizer_is_named():
    with pytest.raises(InputError, match="optim.name 'lamb' is none of sgd, adam, adamw"):
        optimizer.chain("lamb", Schedule(0.1, 1), 0.9, 0.0, 0.0, ())


@pytest.mark.parametrize("row", [3, (".*", 1.0), ("(", 1.0, 1.0), (".*", "a", 1.0)])
def test_a_row_that_is_no_multiplier_is_shown(row):
    with pytest.raises(InputError, match="optim.multipliers has the row"):
        optimizer.chain("sgd", Schedule(0.1, 1), 0.9, 0.0, 0.0, (row,))
