"""One layer of a network in every form that could compute it, and the gradients of these forms."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxaction.models import layers
from jaxaction.models.ops import conv3d, winograd
from jaxaction.models.ops.weight_gradient import weight_gradient


class Layer(NamedTuple):
    """`kind` is conv, norm or pool; `kernel` a convolution's `[kt, kh, kw, c / groups, k]`."""

    kind: str
    shape: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    strides: conv3d.Triple = (1, 1, 1)
    padding: conv3d.Triple = (0, 0, 0)
    dilation: conv3d.Triple = (1, 1, 1)
    groups: int = 1

    @property
    def geometry(self) -> dict[str, conv3d.Triple]:
        """The arguments that every form of a convolution takes."""
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}


def cases(layer: Layer, x: Any, rng: np.random.Generator):
    """(direction, form, function, operands) of everything that is to be timed."""
    forms = {"conv": conv_forms, "norm": norm_forms, "pool": pool_forms}[layer.kind](layer, x.dtype)
    for form, function in forms.items():
        operands = (x,)
        if layer.kind == "conv":
            kernel = rng.standard_normal(layer.kernel, np.float32)
            operands = (x, jnp.asarray(kernel / math.sqrt(kernel[..., 0].size), x.dtype))
        out = jax.eval_shape(function, *operands)
        g = jnp.asarray(rng.standard_normal(out.shape, np.float32), out.dtype)
        yield "forward", form, function, operands
        yield "input gradient", form, partial(input_gradient, function), (g, *operands)
        if layer.kind == "conv":
            yield "weight gradient", form, partial(kernel_gradient, function), (g, *operands)
    if layer.kind == "conv" and layer.groups == 1:
        yield from own_gradients(layer, g, *operands)


def own_gradients(layer: Layer, *operands: Any):
    """The gradients that `conv3d` has on CPUs, and that of the weights without `winograd`."""

    def of_input(g, x, kernel):
        return input_gradient(lambda x: conv3d.conv3d(x, kernel, **layer.geometry), g, x)

    def of_weights(g, x, kernel):
        return weight_gradient(x, g, layer.kernel[:3], **layer.geometry)

    def in_plain_parts(g, x, kernel):
        with mock.patch.object(winograd, "applies", lambda *shape, **which: False):
            return of_weights(g, x, kernel)

    yield "input gradient", "own", of_input, operands
    if takes_winograd(layer, operands[1].dtype):
        yield "weight gradient", "own (winograd)", of_weights, operands
        yield "weight gradient", "parts", in_plain_parts, operands
    else:
        yield "weight gradient", "own (parts)", of_weights, operands


def takes_winograd(layer: Layer, dtype: Any) -> bool:
    arrays = (jax.ShapeDtypeStruct(s, dtype) for s in (layer.shape, layer.kernel))
    return layer.groups == 1 and winograd.applies(*arrays, **layer.geometry)


def input_gradient(function, g, x, *operands):
    return jax.vjp(lambda x: function(x, *operands), x)[1](g)[0]


def kernel_gradient(function, g, x, kernel):
    return jax.vjp(lambda kernel: function(x, kernel), kernel)[1](g)[0]


def conv_forms(layer: Layer, dtype: Any) -> dict[str, Callable]:
    """The chosen form and its alternatives: on a GPU always the plain 3D convolution, on a CPU
    only where nothing else is there, since its gradients take minutes."""
    arrays = (jax.ShapeDtypeStruct(s, dtype) for s in (layer.shape, layer.kernel))
    chosen = conv3d.choose_form(*arrays, **layer.geometry, groups=layer.groups)
    plain = (
        "columns" if layer.kernel[1:3] == (1, 1) else "frames" if layer.kernel[0] == 1 else "taps"
    )
    others = {"taps": "outputs", "outputs": "taps", "winograd": plain}
    names = (chosen, others[chosen]) if chosen in others else (chosen,)
    if jax.default_backend() != "cpu":
        names = dict.fromkeys((*names, "direct"))

    def form(name):
        return partial(conv3d.FORMS[name], **layer.geometry, groups=layer.groups)

    return {name: form(name) for name in names}


def norm_forms(layer: Layer, dtype: Any) -> dict[str, Callable]:
    """The norm in training with its own gradient, and with the one that JAX derives."""
    ones = jnp.ones(layer.shape[-1])

    def own(x):
        y, _, _ = layers.normalize(x.reshape(1, -1, x.shape[-1]), ones, ones, 1e-5)
        return y.astype(x.dtype)

    def derived(x):
        wide = layers.at_least_float32(x.reshape(1, -1, x.shape[-1]))
        mean = wide.mean(axis=1, keepdims=True)
        var = jnp.square(wide - mean).mean(axis=1, keepdims=True)
        return ((wide - mean) * lax.rsqrt(var + 1e-5) * ones + ones).astype(x.dtype)

    return {"own": own, "derived": derived}


def pool_forms(layer: Layer, dtype: Any) -> dict[str, Callable]:
    def window(x):
        sizes, strides = (1, *layer.kernel, 1), (1, *layer.strides, 1)
        pads = [(0, 0), *((p, p) for p in layer.padding), (0, 0)]
        return lax.reduce_window(x, -jnp.inf, lax.max, sizes, strides, pads)

    def slices(x):
        return layers.max_pool(x, layer.kernel, layer.strides, layer.padding)

    return {"slices": slices, "window": window}


def flops(layer: Layer) -> int:
    """Of a convolution, two a product; 0 for the rest."""
    if layer.kind != "conv":
        return 0
    x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (layer.shape, layer.kernel))
    convolve = partial(conv3d.FORMS["direct"], **layer.geometry, groups=layer.groups)
    outputs = math.prod(jax.eval_shape(convolve, x, kernel).shape)
    return 2 * outputs * math.prod(layer.kernel[:4])
