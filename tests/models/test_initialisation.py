"""Networks start as MMAction2's do."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

import jaxaction

SETTINGS = {
    "tsn": ({"name": "tsn"}, (1, 1, 32, 32, 3), 0.01),
    "tsm": ({"name": "tsm", "num_segments": 1}, (1, 1, 32, 32, 3), 0.001),
    "i3d": ({"name": "i3d", "zero_init_residual": False}, (1, 5, 32, 32, 3), 0.01),
    "r2plus1d": ({"name": "r2plus1d"}, (1, 1, 32, 32, 3), 0.01),
    "slowonly": ({"name": "slowonly"}, (1, 1, 32, 32, 3), 0.01),
    "slowfast": ({"name": "slowfast"}, (1, 8, 32, 32, 3), 0.01),
}


@functools.cache
def parameters(name):
    config, shape, init_std = SETTINGS[name]
    config = config | {"num_classes": 400, "stage_blocks": (1, 1, 1, 1), "width": 32}
    variables = jaxaction.init(jaxaction.build(config), shape, jax.random.key(0))
    return traverse_util.flatten_dict(variables["params"]), init_std


@pytest.mark.parametrize("name", SETTINGS)
def test_weights_have_the_spread_of_mmaction2(name):
    params, init_std = parameters(name)
    for path, value in params.items():
        if path[-1] == "kernel" and value.size > 10_000:
            fan_out = value.shape[-1] * np.prod(value.shape[:-2])
            expected = init_std if path[0] == "cls_head" else np.sqrt(2 / fan_out)
            # 10,000 draws know their spread to 0.7 %; 5 % is seven times that.
            np.testing.assert_allclose(value.std(), expected, rtol=0.05, err_msg=str(path))


@pytest.mark.parametrize("name", SETTINGS)
def test_last_norm_of_a_block_starts_at_zero_where_that_of_mmaction2_does(name):
    params, _ = parameters(name)
    last = {"r2plus1d": "conv2"}.get(name, "conv3")
    for path, value in params.items():
        if path[-1] == "scale":
            zero = name in ("slowonly", "slowfast") and path[-3] == last
            assert (np.asarray(value) == (0 if zero else 1)).all(), path


def test_non_local_block_starts_as_the_identity():
    config = {"name": "slowonly", "num_classes": 4, "stage_blocks": (1, 1, 1, 1), "width": 8}
    cfg = {"norm": True, "sub_sample": True}
    shape = (1, 2, 64, 64, 3)
    clip = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with_block = jaxaction.build(config | {"non_local": (0, 1, 0, 0), "non_local_cfg": cfg})
    variables = jaxaction.init(with_block, shape, jax.random.key(0))
    plain = jaxaction.build(config)
    paths = traverse_util.flatten_dict(variables)
    without = traverse_util.unflatten_dict(
        {path: leaf for path, leaf in paths.items() if "non_local_block" not in path}
    )

    def logits(model, variables):
        return jax.jit(lambda variables: model.apply(variables, clip, False))(variables)

    np.testing.assert_allclose(logits(with_block, variables), logits(plain, without), atol=1e-6)
