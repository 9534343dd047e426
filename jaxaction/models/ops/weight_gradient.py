"""The weight gradient of a convolution on CPUs, as matrix products over parts that fit the cache.

XLA computes it as a convolution whose kernel is the whole output, and transposes both arrays first.
Here a few frames at a time are laid out as patches and multiplied while they are in the cache.
docs/performance.md has the timings.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxaction.models.ops import winograd

PART_BYTES = 4 * 2**20  # of patches; the second-level caches of today's cores hold 1 to 2 MiB

Triple = tuple[int, int, int]


def weight_gradient(
    x: Float[Array, "n t h w c"],
    g: Float[Array, "n t2 h2 w2 k"],
    size: Triple,
    strides: Triple,
    padding: Triple,
    dilation: Triple,
) -> Float[Array, "kt kh kw c k"]:
    """Returns the gradient of `conv3d`'s kernel of the given `size`, in float32 or better.

    `x` is its input, `g` the gradient of its output.
    """
    kernel = jax.ShapeDtypeStruct((*size, x.shape[-1], g.shape[-1]), g.dtype)
    if winograd.applies(x, kernel, strides, padding, dilation):
        return _winograd(x, g, size, padding)
    seen = size[1] * size[2] * x.shape[-1]
    if size[0] > 1 and strides[0] > 1 and dilation[0] == 1 and g.shape[-1] < seen:
        return _phases(x, g, size, strides, padding, dilation)
    if strides[0] == 1 and g.shape[-1] < seen:
        return _time_beside_outputs(x, g, size, strides, padding, dilation)
    x = _pad_time(x, padding[0], padding[0])
    k, width = g.shape[-1], math.prod(size) * x.shape[-1]
    span = (size[0] - 1) * dilation[0] + 1

    def product(xs, gs):
        patches = _patches(xs, gs.shape, size, strides, padding, dilation)
        return _product(patches.reshape(-1, width), gs.reshape(-1, k))

    total = _sum_of_parts(product, (x, span, strides[0]), (g, 1, 1), width, k)
    return total.reshape(*size[::-1], x.shape[-1], k).transpose(2, 1, 0, 3, 4)


def _phases(x, g, size, strides, padding, dilation):
    """The gradient where a kernel moves by several frames: one without such steps for each phase.

    Phase `p` has the frames `p`, `p + stride`, `p + 2 * stride`, ...
    """
    x, stride = _pad_time(x, padding[0], padding[0]), strides[0]
    by_tap = {}
    for phase in range(min(stride, size[0])):
        taps = range(phase, size[0], stride)
        of_phase = weight_gradient(
            x[:, phase::stride][:, : g.shape[1] + len(taps) - 1],
            g,
            size=(len(taps), *size[1:]),
            strides=(1, *strides[1:]),
            padding=(0, *padding[1:]),
            dilation=dilation,
        )
        by_tap |= zip(taps, of_phase, strict=True)
    return jnp.stack([by_tap[tap] for tap in range(size[0])])


def _time_beside_outputs(x, g, size, strides, padding, dilation):
    """The kernel's frames laid beside each other in `g`, where it has fewer channels than `x`."""
    reach = (size[0] - 1) * dilation[0]
    g = _pad_time(g, reach - padding[0], reach - padding[0])
    k, width = size[0] * g.shape[-1], size[1] * size[2] * x.shape[-1]
    starts = [reach - tap * dilation[0] for tap in range(size[0])]

    def product(xs, gs):
        frames = xs.shape[1]
        gs = jnp.concatenate([gs[:, s : s + frames] for s in starts], axis=-1)
        patches = _patches(xs, gs.shape, (1, *size[1:]), strides, padding, dilation)
        return _product(patches.reshape(-1, width), gs.reshape(-1, k))

    total = _sum_of_parts(product, (x, 1, 1), (g, reach + 1, 1), width, k)
    return total.reshape(*size[:0:-1], x.shape[-1], size[0], -1).transpose(3, 1, 0, 2, 4)


def _winograd(x, g, size, padding):
    """The gradient by the products of `winograd`, each for one tap along its axis."""
    axis = winograd.tap_axis(size)
    tile = winograd.best_tile(g.shape[axis])
    span = tile + winograd.TAPS - 1
    inner_size = winograd.without(size, axis, 1)
    inner_padding = winograd.without(padding, axis, 0)
    k, width = g.shape[-1], math.prod(inner_size) * x.shape[-1]
    xs, gs, outside = (x, 1, 1), (g, 1, 1), padding[axis - 1]
    if axis == 1:  # a part has whole tiles, and what they see
        missing = winograd.tile_count(g.shape[1], tile) * tile - g.shape[1]
        xs = _pad_time(x, outside, outside + missing), span, tile
        gs = _pad_time(g, 0, missing), tile, tile
        outside = 0

    def products(xs, gs):
        inputs = winograd.transform_inputs(xs, axis, tile, outside)
        gs = winograd.transform_gradient(gs, axis, tile)
        ones = (1, 1, 1)
        patches = [_patches(v, gs.shape[1:], inner_size, ones, inner_padding, ones) for v in inputs]
        patches = jnp.stack(patches).reshape(span, -1, width)
        return jax.vmap(_row_product)(patches, gs.reshape(span, -1, k))

    taps = winograd.join_taps(_sum_of_parts(products, xs, gs, width, k), tile)
    taps = taps.reshape(winograd.TAPS, *inner_size[::-1], x.shape[-1], k).transpose(
        0, 3, 2, 1, 4, 5
    )
    return jnp.concatenate(list(taps), axis - 1)


def _sum_of_parts(product, xs, gs, width, k):
    """The sum of `product(part of x, part of g)` over parts of the clips and their frames.

    `xs` and `gs` are arrays, with how many of its frames one step in time needs, and how many
    frames lie between two steps. A product is `[width, k]`.
    """
    (x, x_span, x_stride), (g, g_span, g_stride) = xs, gs
    n, t = g.shape[0], (g.shape[1] - g_span) // g_stride + 1
    frame_bytes = g_stride * g.shape[2] * g.shape[3] * (width + k) * 4
    clips, frames = _part_size((n, t), frame_bytes, PART_BYTES + 8 * width * k)
    x, g = (a.reshape(clips, n // clips, *a.shape[1:]) for a in (x, g))

    def part(i):
        clip, frame = i // (t // frames), i % (t // frames) * frames
        return product(
            _cut(x, clip, frame * x_stride, (frames - 1) * x_stride + x_span),
            _cut(g, clip, frame * g_stride, (frames - 1) * g_stride + g_span),
        )

    steps = n // clips * (t // frames)
    if steps == 1:
        return part(0)
    return lax.fori_loop(1, steps, lambda i, total: total + part(i), part(0))


def _pad_time(x, before, after):
    """That many frames of zeros added on either side, or taken away where it is negative."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (before, after, 0), *[(0, 0, 0)] * 3])


def _part_size(lengths: tuple[int, int], frame_bytes: int, part_bytes: int) -> tuple[int, int]:
    """Returns how many clips and how many of their frames make a part: divisors of `lengths`.

    Whole clips if one fits. A part has clips of every device, so that none needs another's.
    """
    n, t = lengths
    least = jax.device_count() if n % jax.device_count() == 0 else 1
    fits = max(part_bytes // frame_bytes, 1)
    if least * t > fits:
        return least, _divisor(t, fits // least)
    return least * _divisor(n // least, fits // (least * t)), t


def _divisor(number: int, limit: int) -> int:
    """The largest divisor that is not above `limit`; at least 1."""
    return next((d for d in range(min(number, limit), 1, -1) if number % d == 0), 1)


def _cut(x, clip, frame, frames):
    starts = (0, clip, frame, 0, 0, 0)
    return lax.dynamic_slice(x, starts, (x.shape[0], 1, frames, *x.shape[3:]))[:, 0]


def _patches(x, out_shape, size, strides, padding, dilation):
    """For every output position what the kernel sees there: `[n, t2, h2, w2, kw * kh * kt * c]`."""
    x = jnp.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding[1:]), (0, 0)))
    for axis in (1, 2, 3):
        stride, length = strides[axis - 1], out_shape[axis]
        starts = [tap * dilation[axis - 1] for tap in range(size[axis - 1])]
        taps = [lax.slice_in_dim(x, s, s + (length - 1) * stride + 1, stride, axis) for s in starts]
        x = jnp.concatenate(taps, axis=-1) if len(taps) > 1 else taps[0]
    return x


def _product(patches: Float[Array, "m p"], g: Float[Array, "m k"]) -> Float[Array, "p k"]:
    """Their product over the rows; the narrower one goes left, since it is transposed for that."""
    if patches.shape[1] <= g.shape[1]:
        return _row_product(patches, g)
    return lax.optimization_barrier(_row_product(g, patches)).T  # else XLA swaps the two back


def _row_product(left: Float[Array, "m a"], right: Float[Array, "m b"]) -> Float[Array, "a b"]:
    dtype = jnp.promote_types(left.dtype, jnp.float32)
    rows = (((0,), (0,)), ((), ()))
    return lax.dot_general(left, right, rows, preferred_element_type=dtype)
