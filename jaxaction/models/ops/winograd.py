"""Convolutions of three taps in two thirds or half of the products (Lavin & Gray 2016, section 4).

Along one axis, `tile` outputs come from `tile + 2` products of transformed inputs and transformed
taps; a plain convolution takes `3 * tile`. The same counts hold for both gradients.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

TAPS = 3
# Where the polynomials behind a tile are evaluated: exact in binary, and close to one, which keeps
# the rounding near the plain convolution's (docs/decisions.md). Infinity is the last one.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.75, -0.75, 1.5, -1.5)}

# Where the transforms cost more than they save: they pass over inputs and outputs, whose products
# grow with the channels, and over the taps, whose products grow with the positions.
MIN_CHANNELS = 45  # of inputs times outputs over their sum, times the taps on the other axes
MIN_POSITIONS = 300  # of outputs
MIN_POSITIONS_TURNED = 1000  # where XLA has to turn the transformed taps around for a convolution

Triple = tuple[int, int, int]


class Transforms(NamedTuple):
    """Matrices from a tile's inputs, taps and products: each row weighs what it takes."""

    inputs: Float[np.ndarray, "p p"]
    taps: Float[np.ndarray, "p 3"]
    outputs: Float[np.ndarray, "tile p"]


Stacked = Array | Sequence[Array]  # along the first axis


def applies(
    x: Array | jax.ShapeDtypeStruct,
    kernel: Array | jax.ShapeDtypeStruct,
    strides: Triple,
    padding: Triple,
    dilation: Triple,
    input_gradient: bool = False,
) -> bool:
    """Whether it takes less time than the plain convolution, or than its input's gradient.

    It wants three taps on the first axis that has any, and no steps: then the gradient of the
    input is such a convolution, too. Below float32 the transforms would round too much.
    """
    axis, (c, k) = tap_axis(kernel.shape), kernel.shape[-2:]
    lengths = [x.shape[i + 1] + 2 * padding[i] - kernel.shape[i] + 1 for i in range(3)]
    reach = zip(kernel.shape, padding, strict=False)
    turned = input_gradient and math.prod(kernel.shape[:3]) > TAPS
    positions = MIN_POSITIONS_TURNED if turned else MIN_POSITIONS
    return (
        jnp.promote_types(x.dtype, jnp.float32) == x.dtype
        and kernel.shape[axis - 1] == TAPS
        and strides == dilation == (1, 1, 1)
        and all(p < size for size, p in reach)
        and lengths[axis - 1] > 1
        and c * k * math.prod(kernel.shape[:3]) >= MIN_CHANNELS * (c + k) * TAPS
        and x.shape[0] * math.prod(lengths) >= positions
    )


def tap_axis(kernel_shape: tuple[int, ...]) -> int:
    """Returns the first of an input's time and height (1 or 2) along which the kernel has taps."""
    return 1 if kernel_shape[0] > 1 else 2


def without(sizes: tuple[int, ...], axis: int, instead: int) -> tuple[int, ...]:
    """Returns `sizes` of time, height and so on, counted from 1, with another one for `axis`."""
    return (*sizes[: axis - 1], instead, *sizes[axis:])


@cache
def transforms(tile: int) -> Transforms:
    """Returns Cook and Toom's matrices for `tile` outputs."""
    points = np.array(POINTS[tile])
    others = [np.delete(points, i) for i in range(len(points))]
    inputs = [np.append(np.poly(roots)[::-1], 0) for roots in others] + [np.poly(points)[::-1]]
    scale = [np.prod(point - roots) for point, roots in zip(points, others, strict=True)]
    taps = np.vander(points, TAPS, increasing=True) / np.array(scale)[:, None]
    outputs = np.vander(points, tile, increasing=True)
    last = np.eye(max(TAPS, tile))  # the point at infinity: the highest power alone
    return Transforms(
        np.array(inputs),
        np.vstack([taps, last[TAPS - 1, :TAPS]]),
        np.vstack([outputs, last[tile - 1, :tile]]).T,
    )


def best_tile(length: int) -> int:
    """Returns the tile that takes the fewest products for `length` outputs."""
    return min(POINTS, key=lambda tile: tile_count(length, tile) * (tile + TAPS - 1))


def tile_count(length: int, tile: int) -> int:
    return -(-length // tile)


def transform_inputs(x: Array, axis: int, tile: int, padding: int) -> Array:
    """Returns what each of the products takes of `x`, stacked: one element a tile along `axis`.

    `padding` is the convolution's, on both sides.
    """
    length = x.shape[axis] + 2 * padding - TAPS + 1
    tiles = tile_count(length, tile)
    x = _pad(x, axis, padding, tiles * tile + TAPS - 1 - padding - x.shape[axis])
    arrays = [_every(x, axis, start, tile, tiles) for start in range(tile + TAPS - 1)]
    return _combine(transforms(tile).inputs, arrays)


def transform_taps(kernel: Array, axis: int, tile: int) -> Array:
    """Returns the products' kernels, stacked: of one tap along the inputs' `axis`."""
    return _combine(transforms(tile).taps, jnp.split(kernel, TAPS, axis - 1))


def join_outputs(products: Stacked, axis: int, tile: int, length: int) -> Array:
    """Returns the `length` outputs along `axis` that the products make."""
    y = _combine(transforms(tile).outputs, products, axis + 1)
    y = y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
    return lax.slice_in_dim(y, 0, length, axis=axis)


def transform_gradient(g: Array, axis: int, tile: int) -> Array:
    """Returns the gradients of the products, from that of the outputs: `join_outputs` backwards."""
    tiles = tile_count(g.shape[axis], tile)
    g = _pad(g, axis, 0, tiles * tile - g.shape[axis])
    arrays = [_every(g, axis, start, tile, tiles) for start in range(tile)]
    return _combine(transforms(tile).outputs.T, arrays)


def join_taps(gradients: Array, tile: int) -> Array:
    """Returns the taps' gradients, stacked, from those of the products' kernels."""
    return _combine(transforms(tile).taps.T, gradients)


def _combine(weights: Float[np.ndarray, "a b"], arrays: Stacked, axis: int = 0) -> Array:
    """The sums of the arrays, weighted by each row of `weights`, stacked along `axis`."""
    return jnp.stack([_weigh(row, arrays) for row in weights], axis)


def _weigh(weights: Float[np.ndarray, " b"], arrays: Stacked) -> Array:
    terms = [
        array if weight == 1 else float(weight) * array
        for weight, array in zip(weights, arrays, strict=True)
        if weight != 0
    ]
    return sum(terms[1:], terms[0])


def _pad(x: Array, axis: int, before: int, after: int) -> Array:
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (before, after, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


def _every(x: Array, axis: int, start: int, stride: int, count: int) -> Array:
    return lax.slice_in_dim(x, start, start + (count - 1) * stride + 1, stride, axis)
