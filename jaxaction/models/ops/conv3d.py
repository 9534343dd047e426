"""3D convolutions, and the choice of the operations that compute them.

XLA lowers a 3D convolution poorly on CPUs. The kernels of these networks are nearly always flat in
time or in space, or have few input channels; each of those is a 2D convolution or a matrix product
in another shape (docs/decisions.md has the timings).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxaction.models.ops import winograd
from jaxaction.models.ops.weight_gradient import weight_gradient

Triple = tuple[int, int, int]

NARROW = 64  # a matrix product with fewer outputs than this takes as long as with this many

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
    convolve = choose_convolution(x, kernel, strides, padding, dilation, groups)
    return convolve(x, kernel, strides, padding, dilation, groups)


def choose_convolution(
    x: Any, kernel: Any, strides: Triple, padding: Triple, dilation: Triple, groups: int
) -> Callable:
    """Returns the function that computes this convolution from the same six arguments."""
    form = choose_form(x, kernel, strides, padding, dilation, groups)
    own_gradients = groups == 1 and jax.default_backend() == "cpu"
    return FORMS_WITH_OWN_GRADIENTS[form] if own_gradients else FORMS[form]


def choose_form(
    x: Array | jax.ShapeDtypeStruct,
    kernel: Array | jax.ShapeDtypeStruct,
    strides: Triple,
    padding: Triple,
    dilation: Triple,
    groups: int,
    input_gradient: bool = False,
) -> str:
    """Returns the name in `FORMS` of the operations that compute this convolution.

    With `input_gradient` they are those for the gradient of `x`. Only the shapes and dtypes of `x`
    and `kernel` count. docs/performance.md has the evidence for each rule.
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


def _matmul(x, kernel, strides, padding, dilation, groups):
    """A 1x1x1 kernel: the positions that the strides keep, times a matrix."""
    st, sh, sw = strides
    return jnp.matmul(x[:, ::st, ::sh, ::sw], kernel[0, 0, 0])


def _frames(x, kernel, strides, padding, dilation, groups):
    """A kernel of one frame: the frames folded into the batch, a 2D convolution."""
    x = x[:, :: strides[0]]
    n, t = x.shape[:2]
    y = lax.conv_general_dilated(
        x.reshape(n * t, *x.shape[2:]),
        kernel[0],
        strides[1:],
        [(p, p) for p in padding[1:]],
        rhs_dilation=dilation[1:],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    return y.reshape(n, t, *y.shape[1:])


def _columns(x, kernel, strides, padding, dilation, groups):
    """A kernel of one pixel: a 2D convolution over time and the pixels in a row."""
    _, sh, sw = strides
    x = x[:, :, ::sh, ::sw]
    n, t, h, w, c = x.shape
    y = lax.conv_general_dilated(
        x.reshape(n, t, h * w, c),
        kernel[:, :, 0],
        (strides[0], 1),
        [(padding[0], padding[0]), (0, 0)],
        rhs_dilation=(dilation[0], 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
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
    """The kernel's frames side by side on the outputs' channels, then their sum along time.

    Every frame of the input is convolved, even where a stride in time skips outputs.
    """
    size_t, size_h, size_w, c, k = kernel.shape
    flat = kernel.transpose(1, 2, 3, 0, 4).reshape(1, size_h, size_w, c, size_t * k)
    y = _frames(x, flat, (1, *strides[1:]), padding, dilation, 1)
    frames = (x.shape[1] + 2 * padding[0] - (size_t - 1) * dilation[0] - 1) // strides[0] + 1
    span = (frames - 1) * strides[0] + 1
    total = jnp.zeros((), y.dtype)
    for tap in range(size_t):
        start = tap * dilation[0] - padding[0]
        ends = (-start, start + span - x.shape[1], 0)
        of_tap = y[..., tap * k : (tap + 1) * k]
        of_tap = lax.pad(of_tap, jnp.zeros((), y.dtype), [(0, 0, 0), ends, *[(0, 0, 0)] * 3])
        total += of_tap[:, :: strides[0]]
    return total


def _winograd(x, kernel, strides, padding, dilation, groups):
    """Fewer products along the first axis that has three taps.

    Each product is a convolution with one tap on that axis.
    """
    axis = winograd.tap_axis(kernel.shape)
    pad, inner_padding = padding[axis - 1], winograd.without(padding, axis, 0)
    length = x.shape[axis] + 2 * pad - winograd.TAPS + 1
    tile = winograd.best_tile(length)
    inputs = winograd.transform_inputs(x, axis, tile, pad)
    taps = winograd.transform_taps(kernel, axis, tile)
    products = _all_products(lambda v, u: conv3d(v, u, padding=inner_padding), inputs, taps)
    return winograd.join_outputs(products, axis, tile, length)


def _winograd_input_gradient(x, kernel, g, padding):
    """Winograd's products of `g` with the taps in reverse; each is the gradient of an input."""
    axis = winograd.tap_axis(kernel.shape)
    pad, inner_padding = padding[axis - 1], winograd.without(padding, axis, 0)
    tile = winograd.best_tile(x.shape[axis])
    inputs = winograd.transform_inputs(g, axis, tile, winograd.TAPS - 1 - pad)
    taps = winograd.transform_taps(jnp.flip(kernel, axis - 1), axis, tile)
    tiles = inputs.shape[axis + 1]
    shape = jax.ShapeDtypeStruct(winograd.without(x.shape, axis + 1, tiles), x.dtype)
    ones = (1, 1, 1)
    products = _all_products(
        lambda v, u: _input_gradient(shape, u, v, ones, inner_padding, ones), inputs, taps
    )
    return winograd.join_outputs(products, axis, tile, x.shape[axis])


def _all_products(product, inputs, taps):
    """Each input times its tap: `product(inputs[i], taps[i])` for every `i`."""
    # One batched product compiles in half the time, but XLA can't batch larger convolutions so.
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


def _with_own_gradients(form: str) -> Callable:
    """Returns a form with gradients that take less time on CPUs than those that JAX derives."""

    def forward(x, kernel, strides, padding, dilation, groups):
        return FORMS[form](x, kernel, strides, padding, dilation, groups), (x, kernel)

    def backward(strides, padding, dilation, groups, saved, g):
        x, kernel = saved
        dw = _kernel_gradient(x, kernel, g, form, strides, padding, dilation)
        return _input_gradient(x, kernel, g, strides, padding, dilation), dw.astype(kernel.dtype)

    convolve = jax.custom_vjp(FORMS[form], nondiff_argnums=(2, 3, 4, 5))
    convolve.defvjp(forward, backward)
    return convolve


def _kernel_gradient(x, kernel, g, form, strides, padding, dilation):
    exact = x.dtype == jnp.promote_types(x.dtype, jnp.float32)
    if form == "outputs" and exact:  # Eigen takes 40 % of the time for it: docs/performance.md

        def convolve(kernel):
            return FORMS[form](x, kernel, strides, padding, dilation, 1)

        return jax.linear_transpose(convolve, kernel)(g)[0]
    return weight_gradient(x, g, kernel.shape[:3], strides, padding, dilation)


def _input_gradient(x, kernel, g, strides, padding, dilation):
    form = choose_form(x, kernel, strides, padding, dilation, 1, input_gradient=True)
    if form == "winograd":
        return _winograd_input_gradient(x, kernel, g, padding)

    def convolve(x):
        return FORMS[form](x, kernel, strides, padding, dilation, 1)

    return jax.linear_transpose(convolve, x)(g)[0]


FORMS_WITH_OWN_GRADIENTS = {form: _with_own_gradients(form) for form in FORMS}


class Conv3d(nn.Module):
    """A 3D convolution with PyTorch's meaning of every field.

    `kernel` is `[kt, kh, kw, c / groups, features]`, float32; the product is computed in `dtype`.
    `freeze`: see `freezing.freeze_level`.
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
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        convolve = choose_convolution(
            x, kernel, self.strides, self.padding, self.dilation, self.groups
        )
        y = convolve(x, kernel, self.strides, self.padding, self.dilation, self.groups)
        if self.use_bias:
            bias = self._param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(self.dtype)
        return y

    def _param(self, name, init, shape):
        value = self.param(name, init, shape, jnp.float32)
        return lax.stop_gradient(value) if self.is_frozen else value
