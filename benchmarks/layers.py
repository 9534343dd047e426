"""Times every convolution, norm and pooling of the six networks in the forms that they could take.

    python -m benchmarks.layers [--batch 2] [--families slowfast,i3d] [--dtype float32] ...

Forward, gradient of the input and gradient of the weights each alone, as a share of this machine's
matrix-product rate in the same dtype, which is measured first. The forms of one layer take turns.
On CPUs each is compiled twice: as XLA does by itself, and with the options of `xla_options`.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import jaxaction
from benchmarks.command_line import Parser, add_network_arguments, at_least, duration
from benchmarks.families import FAMILIES
from benchmarks.layer_forms import Layer, cases, flops
from benchmarks.machine import describe, settings
from jaxaction.commands import entry
from jaxaction.interop import mmaction
from jaxaction.models import layers, resnet
from jaxaction.models.ops import conv3d
from jaxaction.runtime import xla_options

PEAK_SIZE = {"cpu": 2048, "gpu": 8192}  # of the square matrices behind the rate to compare with


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
        run = {"machine": describe(), "jax": jax.__version__, "arguments": settings(args)}
        run |= {"device": str(jax.devices()[0].device_kind), "flops_per_second": peak}
        args.out.write_text(json.dumps(run | {"rows": rows}, indent=1) + "\n")


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
    counts = Counter()

    def watch(call, args, kwargs, context):
        module = context.module
        if isinstance(module, conv3d.Conv3d) and context.method_name == "__call__":
            c = args[0].shape[-1] // module.groups
            layer = Layer(
                "conv",
                args[0].shape,
                kernel=(*module.kernel_size, c, module.features),
                strides=module.strides,
                padding=module.padding,
                dilation=module.dilation,
                groups=module.groups,
            )
            counts[layer] += 1
        if isinstance(module, layers.BatchNorm):
            counts[Layer("norm", args[0].shape)] += 1
        return call(*args, **kwargs)

    def pool(x, window, strides, padding):
        counts[Layer("pool", x.shape, window, strides, padding)] += 1
        return layers.max_pool(x, window, strides, padding)

    for name in families:
        model = jaxaction.build(mmaction.model_config(FAMILIES[name].settings))
        shape = (batch, FAMILIES[name].frames, size, size, 3)
        with nn.intercept_methods(watch), mock.patch.object(resnet, "max_pool", pool):
            jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros(shape))
    return dict(counts)


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
            f'Column "of the rate": of {peak / 1e9:.0f} GFLOP/s, the rate of a product of large'
            " matrices here.",
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
    layer_text = f"{layer.kind} {shape} {kernel if layer.kernel else ''}".strip()
    cells = (layer_text, row["count"], row["direction"], row["form"], row["options"])
    return f"| {' | '.join(map(str, cells))} | {1e3 * median:.2f} | {shares} |"


if __name__ == "__main__":
    entry.run_main(main)
