"""Each option that changes a network gives the reference's logits; others are named."""

import gzip
import json

import jax
import numpy as np
import pytest

import jaxaction
from jaxaction.interop import mmaction
from tests.reference import FOLDER, rng, seeded_weight, to_clips

OPTIONS = json.loads(gzip.decompress((FOLDER / "options.json.gz").read_bytes()))


def weights(row):
    return {key: seeded_weight(key, tuple(shape)) for key, shape in row["state_keys"].items()}


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_with_this_option_are_the_references(name):
    row = OPTIONS[name]
    config = mmaction.model_config(row["model"])
    model = jaxaction.build(config)
    variables = mmaction.convert(weights(row), config)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == row["parameters"]
    clips = to_clips(rng(row["input_seed"]).standard_normal(row["input_shape"]))
    logits = jax.jit(lambda variables: model.apply(variables, clips, False))(variables)
    expected = np.array(row["logits"])
    # As in test_parity: two correct float32 implementations differ by about 1e-6 of the largest.
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_rows_with_different_options_have_different_logits():
    logits = {json.dumps(row["logits"]) for row in OPTIONS.values()}
    assert len(logits) == len(OPTIONS)
