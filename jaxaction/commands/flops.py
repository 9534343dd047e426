"""Multiply-accumulates of a network, layer by layer, from shapes alone: `jaxaction flops`.

One multiply-add is one MAC and two FLOPs. Counted are convolutions, dense layers and the two
products of each non-local block; norms, activations, poolings, softmax and biases are not. A
convolution counts as a plain one, zeros of its padding included, whatever operations `conv3d`
computes it with.
"""

import argparse
import math
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from jaxaction.config import build, checks, flags
from jaxaction.errors import InputError
from jaxaction.models.non_local import NonLocal
from jaxaction.models.ops.conv3d import Conv3d

KINDS = {Conv3d: "conv", nn.Dense: "dense", NonLocal: "matmul"}
STAGE = re.compile(r"backbone(/(slow|fast)_path)?/(conv|layer)\d")

Shape = tuple[int, ...]
_Path = tuple[str, ...]


class Layer(NamedTuple):
    """A convolution ("conv"), a dense layer ("dense") or a product of activations ("matmul").

    `kernel` is `[kt, kh, kw, c / groups, k]` or `[c, k]`, for a product the right factor of one
    clip. `output` has all clips. `parameters` are those of the kernel and the bias.
    """

    path: str
    kind: str
    kernel: Shape
    output: Shape
    parameters: int

    @property
    def macs(self) -> int:
        """Of all clips: the numbers behind one output, times the outputs."""
        return math.prod(self.kernel[:-1]) * math.prod(self.output)


class Count(NamedTuple):
    """A network's layers in the order in which they end, and what it is made of.

    A non-local block's products come after its convolutions. `stages` are the outputs
    `[n, t, h, w, c]` of the stem and each stage under the module's path; a pooling beside a module
    (the stem's, the one after I3D's `layer1`) is not in its output.
    `parameters` are all that are trained, those of norms included.
    """

    layers: tuple[Layer, ...]
    stages: dict[str, Shape]
    parameters: int

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def macs_without_head(self) -> int:
        """Without the classifier, the rows under `cls_head`."""
        return sum(layer.macs for layer in self.layers if not layer.path.startswith("cls_head/"))


class _Call(NamedTuple):
    kind: str
    input: Shape
    output: Shape


def count(model: nn.Module, clip_shape: Shape) -> Count:
    """Counts the forward pass of clips of shape `[n, t, h, w, c]`; nothing is computed.

    ValueError, mostly InputError, for a shape or a field that the model can't take.
    """
    if min(clip_shape, default=0) < 1:
        raise InputError(f"a clip of shape {list(clip_shape)} is empty; give each axis 1 or more")
    calls = {}
    with nn.intercept_methods(partial(_record_call, calls)):
        variables = _abstract_variables(model, clip_shape)
    params = flatten_dict(variables["params"])
    stages = {"/".join(path): call.output for path, call in calls.items()}
    return Count(
        tuple(row for path in calls for row in _layers(path, calls, params)),
        {path: shape for path, shape in stages.items() if STAGE.fullmatch(path)},
        _total_size(params.values()),
    )


def xla_flops(model: nn.Module, clip_shape: Shape) -> float:
    """The FLOPs that XLA counts in the same forward pass, lowered for this platform.

    They have norms, activations and poolings in them, but no products with padding, and fewer
    products where `conv3d` takes Winograd's. NaN where XLA doesn't count: JAX 0.10 does on CPUs
    only.
    """
    forward = jax.jit(lambda variables, clip: model.apply(variables, clip, False))
    clip = jax.ShapeDtypeStruct(clip_shape, jnp.float32)
    costs = forward.lower(_abstract_variables(model, clip_shape), clip).cost_analysis()
    if isinstance(costs, list | tuple):  # one a program, in other releases of JAX
        costs = costs[0] if costs else None
    return float((costs or {}).get("flops", math.nan))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction flops`, without the config's keys."""
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]")
    parser.add_argument("--size", type=int, help="pixels of a side (the config's)")
    parser.add_argument("--layers", action="store_true", help="print every layer, too")


def main(args: argparse.Namespace) -> int:
    """Prints the count of one clip of the config."""
    if args.size is not None and args.size < 1:
        raise InputError(f"--size {args.size} is no number of pixels; give 1 or more")
    config = flags.apply_overrides(
        flags.load_config(*flags.split_variant(args.config)), args.overrides
    )
    if args.size:
        config.data.size = (args.size, args.size)
    checks.check_numbers(config)
    model, clip_shape = build.model(config), build.clip_shape(config)
    try:
        counted = count(model, clip_shape)
    except ValueError as error:
        raise InputError(str(error)) from error
    print(f"{config.model.name} ({args.config}), a clip {shape_text(clip_shape)}\n")
    print(summary(counted))
    print(_xla_line(xla_flops(model, clip_shape)))
    if args.layers:
        print(f"\n{_table(counted)}")
    return 0


def _abstract_variables(model: nn.Module, clip_shape: Shape) -> dict[str, Any]:
    """Shapes and types of what a pass of such clips initialises."""
    return jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros(clip_shape, jnp.float32), False)
    )


def _record_call(calls: dict[_Path, _Call], call, args, kwargs, context):
    """Puts a module's call into `calls` under its path when it ends; for `intercept_methods`.

    Modules that return several arrays, such as SlowFast's backbone, are left out.
    """
    output = call(*args, **kwargs)
    if context.method_name == "__call__" and isinstance(output, jax.Array):
        kind = KINDS.get(type(context.module), "")
        calls[context.module.path] = _Call(kind, args[0].shape, output.shape)
    return output


def _layers(path: _Path, calls: Mapping[_Path, _Call], params: Mapping[_Path, Any]) -> list[Layer]:
    call = calls[path]
    if call.kind == "matmul":
        return _non_local_products(path, calls)
    if not call.kind:
        return []
    kernel = params[*path, "kernel"].shape
    parameters = _total_size(x for key, x in params.items() if key[:-1] == path)
    return [Layer("/".join(path), call.kind, kernel, call.output, parameters)]


def _non_local_products(path: _Path, calls: Mapping[_Path, _Call]) -> list[Layer]:
    """A non-local block's queries times keys, and the weights from that times values.

    There are as many keys as values; without a convolution for them the queries are the input.
    """
    (n, *positions, c), values = calls[path].input, calls[*path, "g"].output
    if (*path, "theta") in calls:
        c = calls[*path, "theta"].output[-1]
    queries, keys, k = math.prod(positions), math.prod(values[1:-1]), values[-1]
    first, second = ("/".join((*path, name)) for name in ("queries_keys", "weights_values"))
    return [
        Layer(first, "matmul", (c, keys), (n, queries, keys), 0),
        Layer(second, "matmul", (keys, k), (n, queries, k), 0),
    ]


def _total_size(arrays: Iterable[Any]) -> int:
    return sum(x.size for x in arrays)


def summary(counted: Count) -> str:
    """Lines with the stages' shapes, the products and the parameters."""
    with_head, without = (
        f"{macs / 1e9:.2f} GMACs ({2 * macs / 1e9:.2f} GFLOPs)"
        for macs in (counted.macs, counted.macs_without_head)
    )
    stages = align_columns([(path, shape_text(shape)) for path, shape in counted.stages.items()])
    totals = f"{with_head} with head, {without} without"
    return f"{stages}\n\n{totals}\n{counted.parameters / 1e6:.2f} M parameters"


def _xla_line(flops: float) -> str:
    platform = jax.default_backend()
    if math.isnan(flops):
        return f"XLA gives no count for {platform}"
    return f"XLA counts {flops / 1e9:.2f} GFLOPs in the program for {platform}"


def _table(counted: Count) -> str:
    rows = [
        (
            layer.path,
            layer.kind,
            shape_text(layer.kernel),
            shape_text(layer.output),
            f"{layer.macs / 1e6:.2f}",
        )
        for layer in counted.layers
    ]
    return align_columns([("path", "kind", "kernel", "output", "MMACs"), *rows])


def align_columns(rows: list[tuple[str, ...]]) -> str:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def shape_text(shape: Shape) -> str:
    """1x8x224x224x3."""
    return "x".join(map(str, shape))
