"""The convolution's own gradients on CPUs are those of the plain one, whatever surrounds them."""

import os
import subprocess
import sys
from contextlib import contextmanager
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxaction
from jaxaction.models.ops import conv3d as conv3d_module
from jaxaction.models.ops import weight_gradient as module
from jaxaction.models.ops import winograd
from jaxaction.models.ops.conv3d import Conv3d, choose_form, conv3d
from tests.models.ops.test_conv3d import plain
from tests.paths import ROOT


def random_case(seed):
    """Any kernel, stride, padding and dilation; channels that take each of the three ways."""
    rng = np.random.default_rng(seed)
    size, strides, dilation = (rng.integers(1, 4, 3) for _ in range(3))
    dilation = np.minimum(dilation, 2)
    padding = rng.integers(0, 3, 3)
    c, k = rng.choice([1, 3, 8, 40], 2)
    shape = (rng.choice([1, 2, 3]), *rng.integers(5, 9, 3), c)
    x = rng.standard_normal(shape).astype(np.float32)
    kernel = (rng.standard_normal((*size, c, k)) / np.sqrt(c * size.prod())).astype(np.float32)
    return x, kernel, *(tuple(map(int, v)) for v in (strides, padding, dilation))


def winograd_case(seed):
    """A kernel of three taps without steps, along time or height or both, and any padding."""
    rng = np.random.default_rng(seed)
    size = [(3, 1, 1), (1, 3, 3), (3, 3, 3), (3, 1, 3), (1, 3, 1)][seed % 5]
    padding = tuple(int(rng.integers(0, s)) for s in size)
    shape = (rng.choice([1, 2, 3]), *rng.integers(4, 11, 3), rng.choice([3, 8, 40]))
    x = rng.standard_normal(shape).astype(np.float32)
    kernel = rng.standard_normal((*size, shape[-1], rng.choice([3, 8, 40]))).astype(np.float32)
    kernel = kernel / np.sqrt(np.prod(kernel.shape[:4]))
    return jnp.asarray(x), jnp.asarray(kernel), (1, 1, 1), padding, (1, 1, 1)


@contextmanager
def winograd_always():
    """Makes every convolution that can take the fewer products take them."""
    limits = ("MIN_CHANNELS", "MIN_POSITIONS", "MIN_POSITIONS_TURNED")
    with mock.patch.multiple(winograd, **dict.fromkeys(limits, 0)):
        yield


def gradients(function, x, kernel, *shape, call=jax.jit):
    def all_three(x, kernel, cotangent):
        y, pull = jax.vjp(lambda x, kernel: function(x, kernel, *shape), x, kernel)
        return y, *pull(cotangent.astype(y.dtype))

    out = jax.eval_shape(lambda x, kernel: function(x, kernel, *shape), x, kernel)
    cotangent = np.random.default_rng(9).standard_normal(out.shape).astype(np.float32)
    return call(all_three)(x, kernel, cotangent)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("part_bytes", [module.PART_BYTES, 1])
def test_gradients_are_those_of_the_plain_convolution(seed, part_bytes, monkeypatch):
    monkeypatch.setattr(module, "PART_BYTES", part_bytes)  # 1: many parts, with a loop over them
    x, kernel, *shape = random_case(seed)
    ours, theirs = gradients(conv3d, x, kernel, *shape), gradients(plain, x, kernel, *shape)
    for actual, expected in zip(ours, theirs, strict=True):
        # Sums of up to 2,000 products of unit normals; a rounding to float32 is 6e-8.
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("seed", range(10))
def test_fewer_products_give_the_same_outputs_and_gradients(seed, monkeypatch):
    monkeypatch.setattr(module, "PART_BYTES", module.PART_BYTES if seed % 2 else 1)
    x, kernel, *shape = winograd_case(seed)
    with winograd_always():
        assert choose_form(x, kernel, *shape, 1) == "winograd"
        ours = gradients(conv3d, x, kernel, *shape)
    # As above; the transforms' weights, up to 3.4, make it about twice a plain rounding.
    for actual, expected in zip(ours, gradients(plain, x, kernel, *shape), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_every_way_is_taken_by_some_random_case(monkeypatch):
    seen = set()
    for name in ("_phases", "_time_beside_outputs", "_sum_of_parts"):
        way = getattr(module, name)

        def watch(*arguments, name=name, way=way):
            seen.add(name)
            return way(*arguments)

        monkeypatch.setattr(module, name, watch)
    for seed in range(30):
        gradients(conv3d, *random_case(seed), call=jax.make_jaxpr)
    assert seen == {"_phases", "_time_beside_outputs", "_sum_of_parts"}


@pytest.mark.parametrize(("dtype", "own"), [("float32", False), ("bfloat16", True)])
def test_gradient_of_a_narrow_stem_is_left_to_xla_in_float32(dtype, own, monkeypatch):
    seen = []

    def watch(x, g, *shape):
        seen.append(x.shape)
        return module.weight_gradient(x, g, *shape)

    monkeypatch.setattr(conv3d_module, "weight_gradient", watch)
    x, kernel = jnp.ones((1, 4, 9, 9, 3), dtype), jnp.ones((3, 3, 3, 3, 8), dtype)
    gradients(conv3d, x, kernel, (1, 2, 2), (1, 1, 1), (1, 1, 1))
    assert bool(seen) == own


def test_gradient_in_bfloat16_is_summed_in_float32():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 16, 16, 8)).astype(jnp.bfloat16)
    kernel = rng.standard_normal((3, 3, 3, 8, 8)).astype(jnp.bfloat16)
    shape = ((1, 1, 1), (1, 1, 1), (1, 1, 1))
    _, dx, dw = gradients(lambda *a: conv3d(*a).astype(np.float32), x, kernel, *shape)
    exact = gradients(plain, x.astype(np.float32), kernel.astype(np.float32), *shape)
    assert (dx.dtype, dw.dtype) == (jnp.bfloat16, jnp.bfloat16)
    # The cotangent and the result are rounded to bfloat16, 0.4 % each.
    for actual, expected in zip((dx, dw), exact[1:], strict=True):
        np.testing.assert_allclose(
            actual.astype(np.float32), expected, rtol=0, atol=0.008 * np.abs(expected).max()
        )


@pytest.mark.parametrize("strides", [(1, 2, 2), (1, 1, 1)])
def test_gradients_hold_under_remat(strides):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 8, 8, 3)), jnp.float32)
    conv, again = (layer(4, (3, 3, 3), strides, (1, 1, 1)) for layer in (Conv3d, nn.remat(Conv3d)))
    variables = jax.jit(conv.init)(jax.random.key(0), x)

    def slope(layer):
        slopes = jax.jit(jax.grad(lambda v: jnp.sin(layer.apply(v, x)).sum()))(variables)
        return slopes["params"]["kernel"]

    with winograd_always():
        actual, expected = slope(again), slope(conv)
    # Sums of 512 products, which fused arithmetic rounds in another order.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def sharded_gradients():
    """Loss and gradients of a network in miniature, its batch over all devices; as bytes."""
    from jax.sharding import PartitionSpec as P

    from jaxaction.models.recognizers import I3D

    model = I3D(5, depth=18, stage_blocks=(1,), width=8, dropout=0.0, norm_eps=0.1)
    x = np.random.default_rng(0).standard_normal((4, 8, 32, 32, 3)).astype(np.float32)
    variables = jaxaction.init(model, x.shape, jax.random.key(0))
    mesh = jax.make_mesh((jax.device_count(),), ("batch",), (jax.sharding.AxisType.Auto,))
    x = jax.device_put(x, jax.sharding.NamedSharding(mesh, P("batch")))

    def loss(params, x):
        state = {**variables, "params": params}
        logits, _ = model.apply(state, x, True, mutable=["batch_stats"])
        return (logits**2).sum()

    with winograd_always():
        grads = jax.jit(jax.grad(loss))(variables["params"], x)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(grads)])


def test_gradients_are_the_same_on_four_devices(tmp_path):
    root = ROOT
    script = "import numpy as np; from tests.models.ops import test_weight_gradient as t; "
    script += f"np.save({str(tmp_path / 'grads.npy')!r}, t.sharded_gradients())"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", script], env=os.environ | flags, check=True, cwd=root)
    expected = sharded_gradients()
    # Sums in another order, through norms over few values.
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(np.load(tmp_path / "grads.npy"), expected, rtol=0, atol=atol)
