"""Every convolution and product of a training step computes in the precision of `compute`."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from jaxaction import train_state
from jaxaction.config import build
from jaxaction.models import mobilenet
from jaxaction.training import train_step
from tests import tiny_run

PRODUCTS = ("conv_general_dilated", "dot_general")
NON_LOCAL = {"non_local": (0, 1), "non_local_cfg": {"norm": True}}
MODELS = {
    "slowonly": {"name": "slowonly", "stage_blocks": (1, 1), "inflate": (1, 1), **NON_LOCAL},
    "tsm_mobilenetv2": {"name": "tsm_mobilenetv2", "num_segments": 2},
}


def equations(jaxpr):
    """Yields all equations of a jaxpr, and those of the functions that it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def products(compute, name, backend, monkeypatch):
    """Returns the convolutions and products of a training step for `backend`; computes nothing."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(mobilenet, "STAGES", mobilenet.STAGES[:2])
    config = tiny_run.config("")
    config.model = {"num_classes": 3, "dropout": 0.2, **MODELS[name]}
    config.compute = compute
    model, optimizer = build.model(config), optax.sgd(0.1)
    pixels = (config.data.mean, config.data.std)
    before = jax.config.jax_default_matmul_precision
    try:
        build.set_precision(config)
        variables = build.abstract_variables(config)
        state = jax.eval_shape(lambda v: train_state.create(v, optimizer), variables)
        clip = jax.ShapeDtypeStruct((2, 2, 32, 32, 3), jnp.uint8)
        batch = {"clip": clip, "label": jax.ShapeDtypeStruct((2,), jnp.int32)}
        step = jax.make_jaxpr(train_step.make_train_step(model, optimizer, *pixels, 0))(
            state, batch
        )
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    return [e for e in equations(step.jaxpr) if e.primitive.name in PRODUCTS]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("compute", ["float32", "tf32", "bfloat16"])
def test_every_product_has_the_precision_that_compute_says(compute, backend, monkeypatch):
    equations_of_step = products(compute, "slowonly", backend, monkeypatch)
    precisions = {"float32": "HIGHEST", "tf32": "HIGH", "bfloat16": "DEFAULT"}
    wanted = (jax.lax.Precision[precisions[compute]],) * 2
    assert len(equations_of_step) > 20
    assert {equation.params["precision"] for equation in equations_of_step} == {wanted}


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_all_products_but_the_classifiers_are_of_the_type_that_compute_says(
    compute, name, monkeypatch
):
    kinds = [
        {str(value.aval.dtype) for value in equation.invars}
        for equation in products(compute, name, "gpu", monkeypatch)
    ]
    others = [kind for kind in kinds if kind != {compute}]
    # The classifier is float32: its product, and the gradients of its kernel and its input.
    assert others == ([{"float32"}] * 3 if compute == "bfloat16" else [])


def test_features_are_of_the_type_that_compute_says():
    config = tiny_run.config("")
    for compute in ("float32", "bfloat16"):
        config.compute = compute
        model, variables = build.model(config), build.abstract_variables(config)
        clip = jax.ShapeDtypeStruct((1, 2, 16, 16, 3), jnp.float32)
        features = jax.eval_shape(
            lambda v, clip, model=model: model.apply(v, clip, method="features"), variables, clip
        )
        assert features.dtype == jnp.dtype(compute)
