"""Folding batch norms into convolutions leaves logits and features as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import jaxaction
from jaxaction.errors import InputError
from jaxaction.models import abstract_variables
from tests import typecheck
from tests.models.networks import NETWORKS, each_model, network


def outputs(model, variables, clip):
    def both(variables, clip):
        features = model.apply(variables, clip, False, method="features")
        return model.apply(variables, clip, False), features

    return jax.jit(both)(variables, clip)


def assert_close(actual, expected, tolerance):
    for one, two in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * np.abs(two).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_network_has_the_same_logits_and_features(name):
    model, variables, clip = network(name)
    expected = outputs(model, variables, clip)
    assert np.ptp(expected[0], axis=0).max() > 1e-3  # they depend on the clip
    # A rounding to float32 is 6e-8 of the number; at most 53 convolutions in a row make 3e-6.
    assert_close(outputs(*jaxaction.fold_batch_norm(model, variables), clip), expected, 4e-6)


def test_bfloat16_network_stays_as_near_to_float32_when_folded():
    model, variables, clip = network("r2plus1d", dtype="bfloat16")
    folded, params = jaxaction.fold_batch_norm(model, variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    exact = outputs(model.clone(dtype="float32"), variables, clip)
    # A rounding to bfloat16 is up to 0.4 % of the number; here are ten convolutions in a row.
    for actual in (outputs(model, variables, clip), outputs(folded, params, clip)):
        assert_close(actual, exact, 10 * 0.004)


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_network_has_no_norm(name):
    model, variables, clip = network(name)
    folded, params = jaxaction.fold_batch_norm(model, variables)
    assert type(folded) is type(model) and folded == model.clone(folded=True)
    assert set(params) == {"params"}
    paths = flatten_dict(params["params"])
    assert {path[-1] for path in paths} == {"kernel", "bias"}
    assert not any("bn" in part for path in paths for part in path)
    assert "rsqrt" in str(jax.make_jaxpr(model.apply, static_argnums=2)(variables, clip, False))
    assert "rsqrt" not in str(jax.make_jaxpr(folded.apply, static_argnums=2)(params, clip, False))


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_variables_are_those_that_the_folded_model_asks_for(name):
    folded, params = jaxaction.fold_batch_norm(*network(name)[:2])
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    assert shapes == abstract_variables(folded)


def test_config_may_say_that_the_model_is_folded():
    model, variables, _ = network("tsn")
    config = NETWORKS["tsn"] | {"folded": True}
    assert jaxaction.build(config) == jaxaction.fold_batch_norm(model, variables)[0]


def test_given_variables_stay_as_they_are():
    model, variables, _ = network("tsn")
    before = flatten_dict(jax.tree.map(np.copy, variables))
    jaxaction.fold_batch_norm(model, variables)
    after = flatten_dict(variables)
    assert list(after) == list(before)
    for path in before:
        np.testing.assert_array_equal(after[path], before[path])


@each_model
@pytest.mark.parametrize("method", ["__call__", "features"])
def test_folded_network_is_not_trained(name, method):
    model, _, clip = network(name)
    folded = model.clone(folded=True)
    with pytest.raises(InputError, match="model.folded is true: without batch norms") as error:
        folded.init(jax.random.key(0), clip, True, method=method)
    assert "\n" not in str(error.value)


def test_folded_model_is_not_folded_again():
    model, variables, _ = network("tsn")
    with pytest.raises(InputError, match="the model is folded already"):
        jaxaction.fold_batch_norm(*jaxaction.fold_batch_norm(model, variables))


def test_arguments_in_the_wrong_order_and_a_dict_as_model_are_refused_in_one_line():
    model, variables, _ = network("tsn")
    for given, names in (
        ((variables, model), "dict, TSN"),
        ((NETWORKS["tsn"], variables), "dict, dict"),
    ):
        wanted = pytest.raises(InputError, match=f"a model and its variables, .*{names}")
        with typecheck.off(), wanted as error:
            jaxaction.fold_batch_norm(*given)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"stage_blocks": (1, 1, 1)}, {"width": 16}])
def test_variables_of_another_model_are_refused(change):
    model, variables, _ = network("tsn")
    with pytest.raises(InputError, match="the variables don't fit the model"):
        jaxaction.fold_batch_norm(network("tsn", **change)[0], variables)
