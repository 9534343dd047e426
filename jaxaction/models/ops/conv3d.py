"""3D convolutions, and the choice of the operations that compute them.

XLA lowers a 3D convolution poorly on CPUs. The kernels of these networks are nearly always flat in
time or in space, or have few input channels; each of those is a 2D convolution or a matrix product
in another shape (docs/decisions.md has the timings).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxaction.models.ops import winograd
from jaxaction.models.ops.weight_gradient import weight_gradient

Triple = tuple[int, int, int]

NARROW = 64  # outputs that a product of matrices computes as fast as fewer of them

kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # PyTorch's, fan-out


def conv3d(
    x: Float[Array, "n t h w c"],
    kernel: Float[Array, "kt kh kw cg k"],
    strides: Triple = (1, 1, 1),
    padding: Triple = (0, 0, 0),
    dilation: Triple = (1, 1, 1),
    groups: int = 1,
) -> Float[Array, "n t2 h2 w2 k"]:
    """Returns PyTorch's `conv3d`: zeros on both sides of each axis, no flip of the kernel."""
    form = choose_form(x, kernel, strides, padding, dilation, groups)
    if groups == 1 and jax.default_backend() == "cpu":
        return _conv3d_cpu(x, kernel, form, strides, padding, dilation)
    return FORMS[form](x, kernel, strides, padding, dilation, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _conv3d_cpu(x, kernel, form, strides, padding, dilation):
    return FORMS[form](x, kernel, strides, padding, dilation, 1)


def _conv3d_cpu_forward(x, kernel, form, strides, padding, dilation):
    return _conv3d_cpu(x, kernel, form, strides, padding, dilation), (x, kernel)


def _conv3d_cpu_backward(form, strides, padding, dilation, saved, g):
    x, kernel = saved
    how = (strides, padding, dilation)
    dw = _kernel_gradient(x, kernel, g, form, *how)
    return _input_gradient(x, kernel, g, *how), dw.astype(kernel.dtype)


def _kernel_gradient(x, kernel, g, form, *how):
    exact = x.dtype == jnp.promote_types(x.dtype, jnp.float32)
    if form == "outputs" and exact:  # Eigen takes 40 % of the time for it: docs/performance.md
        return jax.linear_transpose(lambda kernel: FORMS[form](x, kernel, *how, 1), kernel)(g)[0]
    return weight_gradient(x, g, kernel.shape[:3], *how)


def _input_gradient(x, kernel, g, *how):
    form = choose_form(x, kernel, *how, 1, input_gradient=True)
    if form == "winograd":
        return _winograd_input_gradient(x, kernel, g, how[1])
    return jax.linear_transpose(lambda x: FORMS[form](x, kernel, *how, 1), x)(g)[0]


_conv3d_cpu.defvjp(_conv3d_cpu_forward, _conv3d_cpu_backward)


def choose_form(
    x: Any,
    kernel: Any,
    strides: Triple,
    padding: Triple,
    dilation: Triple,
    groups: int,
    input_gradient: bool = False,
) -> str:
    """Returns the name in `FORMS` of the operations to use for `x` and `kernel`, or for the
    gradient of `x`.

    Of those two only shapes and types count. docs/performance.md has each rule's evidence.
    """
    size_t, size_h, size_w, _, features = kernel.shape
    cpu = groups == 1 and jax.default_backend() == "cpu"
    if (size_t, size_h, size_w) == (1, 1, 1) and padding == (0, 0, 0) and groups == 1:
        return "matmul"
    if cpu and winograd.applies(x, kernel, strides, padding, dilation, input_gradient):
        return "winograd"
    if size_t == 1 and padding[0] == 0:
        return "frames"
    if (size_h, size_w) == (1, 1) and padding[1:] == (0, 0) and groups == 1:
        return "columns"
    if cpu:
        narrow = size_t * features <= NARROW and strides[0] == 1
        return "outputs" if narrow else "taps"
    return "direct"


def _direct(x, kernel, strides, padding, dilation, groups):
    """One 3D convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        feature_group_count=groups,
    )


def _conv2d(x, kernel, strides, padding, dilation, groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _matmul(x, kernel, strides, padding, dilation, groups):
    """A 1x1x1 kernel: the positions that the strides keep, times a matrix."""
    st, sh, sw = strides
    return jnp.matmul(x[:, ::st, ::sh, ::sw], kernel[0, 0, 0])


def _frames(x, kernel, strides, padding, dilation, groups):
    """A kernel of one frame: the frames folded into the batch, a 2D convolution."""
    x = x[:, :: strides[0]]
    n, t = x.shape[:2]
    y = _conv2d(
        x.reshape(n * t, *x.shape[2:]), kernel[0], strides[1:], padding[1:], dilation[1:], groups
    )
    return y.reshape(n, t, *y.shape[1:])


def _columns(x, kernel, strides, padding, dilation, groups):
    """A kernel of one pixel: a 2D convolution over time and the pixels in a row."""
    _, sh, sw = strides
    x = x[:, :, ::sh, ::sw]
    n, t, h, w, c = x.shape
    y = _conv2d(
        x.reshape(n, t, h * w, c),
        kernel[:, :, 0],
        (strides[0], 1),
        (padding[0], 0),
        (dilation[0], 1),
    )
    return y.reshape(n, y.shape[1], h, w, y.shape[-1])


def _taps(x, kernel, strides, padding, dilation, groups):
    """The frames under the kernel side by side on the channel axis, then as for one frame."""
    size_t, size_h, size_w, c, k = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding[0], padding[0]), (0, 0), (0, 0), (0, 0)))
    last = (size_t - 1) * dilation[0]
    starts = range(0, last + 1, dilation[0])
    taps = [x[:, s : x.shape[1] - last + s : strides[0]] for s in starts]
    flat = kernel.transpose(1, 2, 0, 3, 4).reshape(1, size_h, size_w, size_t * c, k)
    return _frames(jnp.concatenate(taps, axis=-1), flat, (1, *strides[1:]), padding, dilation, 1)


def _outputs(x, kernel, strides, padding, dilation, groups):
    """The kernel's frames side by side on the outputs' channels, for every frame of the input;
    then the sum along time. Every frame is convolved, also where a stride in time skips outputs."""
    size_t, size_h, size_w, c, k = kernel.shape
    flat = kernel.transpose(1, 2, 3, 0, 4).reshape(1, size_h, size_w, c, size_t * k)
    y = _frames(x, flat, (1, *strides[1:]), padding, dilation, 1)
    frames = (x.shape[1] + 2 * padding[0] - (size_t - 1) * dilation[0] - 1) // strides[0] + 1
    span = (frames - 1) * strides[0] + 1
    total = jnp.zeros((), y.dtype)
    for tap in range(size_t):
        start = tap * dilation[0] - padding[0]
        ends = (-start, start + span - x.shape[1], 0)
        part = y[..., tap * k : (tap + 1) * k]
        part = lax.pad(part, jnp.zeros((), y.dtype), [(0, 0, 0), ends, *[(0, 0, 0)] * 3])
        total += part[:, :: strides[0]]
    return total


def _winograd(x, kernel, strides, padding, dilation, groups):
    """Fewer products along the first axis of three taps; each is a convolution of one tap there."""
    axis = winograd.tap_axis(kernel.shape)
    pad, rest = padding[axis - 1], winograd.without(padding, axis, 0)
    length = x.shape[axis] + 2 * pad - winograd.TAPS + 1
    tile = winograd.best_tile(length)
    inputs = winograd.transform_inputs(x, axis, tile, pad)
    taps = winograd.transform_taps(kernel, axis, tile)
    products = _all_products(lambda v, u: conv3d(v, u, padding=rest), inputs, taps)
    return winograd.join_outputs(products, axis, tile, length)


def _winograd_input_gradient(x, kernel, g, padding):
    """The same of `g`, with the taps in reverse, and the products those of a gradient."""
    axis = winograd.tap_axis(kernel.shape)
    pad, rest = padding[axis - 1], winograd.without(padding, axis, 0)
    tile = winograd.best_tile(x.shape[axis])
    inputs = winograd.transform_inputs(g, axis, tile, winograd.TAPS - 1 - pad)
    taps = winograd.transform_taps(jnp.flip(kernel, axis - 1), axis, tile)
    tiles = inputs.shape[axis + 1]
    shape = jax.ShapeDtypeStruct(winograd.without(x.shape, axis + 1, tiles), x.dtype)
    how = ((1, 1, 1), rest, (1, 1, 1))
    products = _all_products(lambda v, u: _input_gradient(shape, u, v, *how), inputs, taps)
    return winograd.join_outputs(products, axis, tile, x.shape[axis])


def _all_products(product, inputs, taps):
    """Of pointwise taps in one go, which compiles in half the time; XLA can't do so with others."""
    if taps.shape[1:4] == (1, 1, 1):
        return jax.vmap(product)(inputs, taps)
    return [product(v, u) for v, u in zip(inputs, taps, strict=True)]


FORMS: dict[str, Callable] = {
    "direct": _direct,
    "matmul": _matmul,
    "frames": _frames,
    "columns": _columns,
    "taps": _taps,
    "outputs": _outputs,
    "winograd": _winograd,
}


class Conv3d(nn.Module):
    """A 3D convolution with PyTorch's meaning of every field.

    `kernel` is `[kt, kh, kw, c / groups, features]`, float32; the product is computed in `dtype`.
    `freeze`: see `freezing`.
    """

    features: int
    kernel_size: Triple
    strides: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    use_bias: bool = False
    kernel_init: Callable = kaiming_normal
    dtype: str = "float32"
    freeze: str = ""

    @property
    def is_frozen(self) -> bool:
        """Whether kernel and bias get no gradient."""
        return self.freeze == "all"

    @nn.compact
    def __call__(self, x: Float[Array, "n t h w c"]) -> Float[Array, "n t2 h2 w2 k"]:
        shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self._param("kernel", self.kernel_init, shape)
        y = conv3d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            self.strides,
            self.padding,
            self.dilation,
            self.groups,
        )
        if self.use_bias:
            bias = self._param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(self.dtype)
        return y

    def _param(self, name, init, shape):
        value = self.param(name, init, shape, jnp.float32)
        return lax.stop_gradient(value) if self.is_frozen else value
