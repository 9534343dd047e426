"""Times every convolution, norm and pooling of the six networks in the forms that they could take.

    python -m benchmarks.layers [--batch 2] [--families slowfast,i3d] [--dtype float32] ...

Forward, gradient of the input and gradient of the weights each alone, as a share of this machine's
matrix-product rate in the same dtype, which is measured first. The forms of one layer take turns.
On CPUs each is compiled twice: as XLA does by itself, and with the options of `xla_options`.
"""

import argparse
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxaction
from benchmarks.command_line import Parser, add_network_arguments, at_least, duration
from benchmarks.families import FAMILIES
from benchmarks.machine import describe, settings
from jaxaction.commands import entry
from jaxaction.interop import mmaction
from jaxaction.models import layers, resnet
from jaxaction.models.ops import conv3d, winograd
from jaxaction.models.ops.weight_gradient import weight_gradient
from jaxaction.runtime import xla_options

PEAK_SIZE = {"cpu": 2048, "gpu": 8192}  # of the square matrices behind the rate to compare with


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
    def how(self) -> tuple:
        return self.strides, self.padding, self.dilation


def main(argv: list[str]) -> None:
    args = parse(argv)
    precision = "highest" if args.dtype == "float32" else "default"
    jax.config.update("jax_default_matmul_precision", precision)
    peak = matrix_product_rate(args.dtype, args.seconds)
    print(heading(peak))
    rows = []
    for layer, count in collect(args.families, args.batch, args.size).items():
        for row in measure(layer, args.dtype, args.seconds):
            rows.append(row | {"layer": layer._asdict(), "count": count})
            print(line(rows[-1], peak), flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        about = {"machine": describe(), "jax": jax.__version__, "arguments": settings(args)}
        about |= {"device": str(jax.devices()[0].device_kind), "flops_per_second": peak}
        args.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("layers", __doc__)
    add_network_arguments(parser, "float32")
    parser.add_argument("--batch", type=at_least(1), default=2, help="clips")
    parser.add_argument("--seconds", type=duration, default=0.2, help="for each form")
    path = Path("runs/benchmarks/layers.json")
    parser.add_argument("--out", type=Path, default=path, help="the JSON file with every sample")
    return parser.parse_args(argv)


def collect(families: list[str], batch: int, size: int) -> dict[Layer, int]:
    """Every distinct layer of the networks, with how many of them there are in all."""
    found = Counter()

    def watch(call, args, kwargs, context):
        module = context.module
        if isinstance(module, conv3d.Conv3d) and context.method_name == "__call__":
            c = args[0].shape[-1] // module.groups
            how = (module.strides, module.padding, module.dilation, module.groups)
            kernel = (*module.kernel_size, c, module.features)
            found[Layer("conv", args[0].shape, kernel, *how)] += 1
        if isinstance(module, layers.BatchNorm):
            found[Layer("norm", args[0].shape)] += 1
        return call(*args, **kwargs)

    def pool(x, window, strides, padding):
        found[Layer("pool", x.shape, window, strides, padding)] += 1
        return layers.max_pool(x, window, strides, padding)

    for name in families:
        model = jaxaction.build(mmaction.model_config(FAMILIES[name].settings))
        shape = (batch, FAMILIES[name].frames, size, size, 3)
        with nn.intercept_methods(watch), mock.patch.object(resnet, "max_pool", pool):
            jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros(shape))
    return dict(found)


def measure(layer: Layer, dtype: str, seconds: float) -> list[dict]:
    """A row for each direction, form and set of options: samples in seconds, and the FLOPs."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal(layer.shape, np.float32), dtype)
    programs: dict[tuple[str, str, str], tuple[Callable, tuple]] = {}
    for direction, form, function, operands in cases(layer, x, rng):
        lowered = jax.jit(function).lower(*operands)
        for options in option_sets():
            compiled = lowered.compile(compiler_options=options)
            label = "xla_options" if options else "as is"
            programs[direction, form, label] = compiled, operands
    samples = {key: [] for key in programs}
    for compiled, operands in programs.values():
        jax.block_until_ready(compiled(*operands))
    end = time.perf_counter() + seconds * len(programs)
    while time.perf_counter() < end or len(next(iter(samples.values()))) < 3:
        for key, (compiled, operands) in programs.items():
            begin = time.perf_counter()
            jax.block_until_ready(compiled(*operands))
            samples[key].append(time.perf_counter() - begin)
    names = ("direction", "form", "options")
    return [
        dict(zip(names, key, strict=True)) | {"flops": flops(layer), "seconds": values}
        for key, values in samples.items()
    ]


def option_sets() -> list[dict]:
    options = xla_options.for_training()
    return [{}, options] if options else [{}]


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
        return input_gradient(lambda x: conv3d.conv3d(x, kernel, *layer.how), g, x)

    def of_weights(g, x, kernel):
        return weight_gradient(x, g, layer.kernel[:3], *layer.how)

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
    return layer.groups == 1 and winograd.applies(*arrays, *layer.how)


def input_gradient(function, g, x, *rest):
    return jax.vjp(lambda x: function(x, *rest), x)[1](g)[0]


def kernel_gradient(function, g, x, kernel):
    return jax.vjp(lambda kernel: function(x, kernel), kernel)[1](g)[0]


def conv_forms(layer: Layer, dtype: Any) -> dict[str, Callable]:
    """The chosen form and its alternatives: on a GPU always the plain 3D convolution, on a CPU
    only where nothing else is there, since its gradients take minutes."""
    arrays = (jax.ShapeDtypeStruct(s, dtype) for s in (layer.shape, layer.kernel))
    chosen = conv3d.choose_form(*arrays, *layer.how, layer.groups)
    plain = (
        "columns" if layer.kernel[1:3] == (1, 1) else "frames" if layer.kernel[0] == 1 else "taps"
    )
    others = {"taps": "outputs", "outputs": "taps", "winograd": plain}
    names = (chosen, others[chosen]) if chosen in others else (chosen,)
    if jax.default_backend() != "cpu":
        names = dict.fromkeys((*names, "direct"))

    def form(name):
        return lambda x, kernel: conv3d.FORMS[name](x, kernel, *layer.how, layer.groups)

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

    how = (layer.kernel, layer.strides, layer.padding)
    return {"slices": lambda x: layers.max_pool(x, *how), "window": window}


def flops(layer: Layer) -> int:
    """Of a convolution, two a product; 0 for the rest."""
    if layer.kind != "conv":
        return 0
    x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (layer.shape, layer.kernel))
    function = partial(conv3d.FORMS["direct"], strides=layer.strides, padding=layer.padding)
    shape = partial(function, dilation=layer.dilation, groups=layer.groups)
    return 2 * math.prod(jax.eval_shape(shape, x, kernel).shape) * math.prod(layer.kernel[:4])


def matrix_product_rate(dtype: str, seconds: float) -> float:
    """FLOP/s of a product of large square matrices here."""
    size = PEAK_SIZE.get(jax.default_backend(), 2048)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((size, size), np.float32), dtype)
    product = jax.jit(jnp.matmul).lower(x, x).compile()
    samples, end = [], time.perf_counter() + max(1.0, 5 * seconds)
    while time.perf_counter() < end or len(samples) < 3:
        begin = time.perf_counter()
        jax.block_until_ready(product(x, x))
        samples.append(time.perf_counter() - begin)
    return 2 * size**3 / statistics.median(samples[1:])


def heading(peak: float) -> str:
    """What the columns mean, and the table's first lines; its rows come one by one."""
    columns = ("layer", "how many", "direction", "form", "compiled", "ms", "GFLOP/s", "of the rate")
    return "\n".join(
        (
            "Layer: its input, and kernel / strides; how many: such in the networks named.",
            "Form: a key of jaxaction.models.ops.conv3d.FORMS; own: the gradient that conv3d has.",
            "Compiled: by XLA as is, or with jaxaction's xla_options.",
            f"Of the rate: of {peak / 1e9:.0f} GFLOP/s, that of a product of large matrices here.",
            "",
            f"| {' | '.join(columns)} |",
            f"|{'---|' * len(columns)}",
        )
    )


def line(row: dict, peak: float) -> str:
    layer, median = Layer(**row["layer"]), statistics.median(row["seconds"])
    shape = "x".join(map(str, layer.shape))
    kernel = "x".join(map(str, layer.kernel)) + "/" + "".join(map(str, layer.strides))
    rate = row["flops"] / median
    shares = f"{rate / 1e9:.0f} | {rate / peak:.0%}" if rate else " | "
    about = f"{layer.kind} {shape} {kernel if layer.kernel else ''}".strip()
    cells = (about, row["count"], row["direction"], row["form"], row["options"])
    return f"| {' | '.join(map(str, cells))} | {1e3 * median:.2f} | {shares} |"


if __name__ == "__main__":
    entry.run_main(main)
