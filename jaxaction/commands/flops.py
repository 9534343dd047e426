"""`jaxaction flops`: the multiply-accumulates of a network, layer by layer, from shapes alone.

One multiply-add is one MAC and two FLOPs. The count has convolutions, dense layers and the two
products of each non-local block. It leaves out norms, activations, poolings, softmax and biases. A
convolution counts as a plain one, with the zeros of its padding, in whatever form `conv3d` computes
it. The "FLOPs" in MMAction2's README are MACs of the backbone, with its norms.
"""

import argparse
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.module import InterceptorContext
from flax.traverse_util import flatten_dict

from jaxaction.config import build, checks, flags
from jaxaction.errors import InputError
from jaxaction.models.contract import VideoModel
from jaxaction.models.non_local import NonLocal
from jaxaction.models.ops.conv3d import Conv3d

# The modules with counted products, and the kind of their layers.
KINDS = {Conv3d: "conv", nn.Dense: "dense", NonLocal: "matmul"}
# backbone/conv1 or backbone/layer3; in SlowFast backbone/slow_path/layer3.
STAGE = re.compile(r"backbone(/(slow|fast)_path)?/(conv|layer)\d")

Shape: TypeAlias = tuple[int, ...]
Network: TypeAlias = nn.Module | VideoModel
_Path: TypeAlias = tuple[str, ...]  # of a module: ("backbone", "layer1", "0", "conv1", "conv")
_Params: TypeAlias = Mapping[_Path, jax.ShapeDtypeStruct]


class Layer(NamedTuple):
    """A convolution ("conv"), a dense layer ("dense") or a product of activations ("matmul").

    `kernel` is `[kt, kh, kw, c / groups, k]` or `[c, k]`; for a product it is the right factor's
    shape in one clip. `output` is for all clips. `parameters` counts the kernel and the bias.
    """

    path: str
    kind: str
    kernel: Shape
    output: Shape
    parameters: int

    @property
    def macs(self) -> int:
        """MACs for all clips: the factors behind one output value, times the output values."""
        return math.prod(self.kernel[:-1]) * math.prod(self.output)


class Count(NamedTuple):
    """A network's layers in the order in which they finish, its stages and its parameters.

    A non-local block's products come after its convolutions. `stages` maps the module paths of the
    stem and of each stage to their output shapes `[n, t, h, w, c]`. A pooling that follows a module
    (after the stem, after I3D's `layer1`) is not in that module's output. `parameters` counts the
    trainable ones, those of norms included.
    """

    layers: tuple[Layer, ...]
    stages: dict[str, Shape]
    parameters: int

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def macs_without_head(self) -> int:
        """MACs without the classifier, which is everything under `cls_head`."""
        return sum(layer.macs for layer in self.layers if not layer.path.startswith("cls_head/"))


class _Call(NamedTuple):
    kind: str
    input: Shape
    output: Shape


def count(model: Network, clip_shape: Shape) -> Count:
    """Returns the count for a forward pass of clips of shape `[n, t, h, w, c]`, from shapes alone.

    ValueError, mostly InputError, for a shape or a field that the model can't take.
    """
    if min(clip_shape, default=0) < 1:
        raise InputError(f"a clip of shape {list(clip_shape)} is empty; give each axis 1 or more")
    calls: dict[_Path, _Call] = {}
    with nn.intercept_methods(partial(_record_call, calls)):
        variables = _abstract_variables(model, clip_shape)
    params = cast(_Params, flatten_dict(variables["params"]))
    stages = {"/".join(path): call.output for path, call in calls.items()}
    return Count(
        tuple(row for path in calls for row in _layers(path, calls, params)),
        {path: shape for path, shape in stages.items() if STAGE.fullmatch(path)},
        _total_size(params.values()),
    )


def xla_flops(model: Network, clip_shape: Shape) -> float:
    """Returns the FLOPs that XLA counts in the same forward pass on this platform, or NaN.

    XLA includes norms, activations and poolings, and leaves out products with padding. It counts
    fewer products where `conv3d` takes Winograd's form. JAX 0.10 has a count on CPUs only.
    """
    forward = jax.jit(lambda variables, clip: model.apply(variables, clip, False))
    clip = jax.ShapeDtypeStruct(clip_shape, jnp.float32)
    costs = forward.lower(_abstract_variables(model, clip_shape), clip).cost_analysis()
    if isinstance(costs, list | tuple):  # other releases of JAX return a list, one item a program
        costs = costs[0] if costs else None
    return float((costs or {}).get("flops", math.nan))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxaction flops`, without the config's keys."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:VARIANT]",
        help="a config file, or the name of a shipped config (`jaxaction zoo` lists them)",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="height and width of the clip in pixels (default: data.size of the config)",
    )
    parser.add_argument(
        "--layers", action="store_true", help="also print every layer: shapes and MACs in millions"
    )


def main(args: argparse.Namespace) -> int:
    """Prints the count for one training clip of the config; returns the exit code.

    InputError for a config or a size that the network can't take.
    """
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
    # Flax and JAX raise ValueError for shapes that don't fit; here the user chose the shapes.
    except ValueError as error:
        raise InputError(str(error)) from error
    print(f"{config.model.name} ({args.config}), a clip {shape_text(clip_shape)}\n")
    print(summary(counted))
    print(_xla_line(xla_flops(model, clip_shape)))
    if args.layers:
        print(f"\n{_table(counted)}")
    return 0


def _abstract_variables(model: Network, clip_shape: Shape) -> Mapping[str, Mapping[str, object]]:
    """Returns the shapes and types of the variables that a pass of such clips initialises."""
    return jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros(clip_shape, jnp.float32), False)
    )


def _record_call(
    calls: dict[_Path, _Call],
    call: Callable[..., object],
    args: tuple,
    kwargs: Mapping[str, object],
    context: InterceptorContext,
) -> object:
    """Runs a module's method and records `__call__` under the module's path.

    An interceptor for `nn.intercept_methods`. It leaves out modules that return several arrays,
    such as SlowFast's backbone.
    """
    output = call(*args, **kwargs)
    if context.method_name == "__call__" and isinstance(output, jax.Array):
        kind = KINDS.get(type(context.module), "")
        # Recorded after the call, so that children come before their parent.
        calls[context.module.path] = _Call(kind, args[0].shape, output.shape)
    return output


def _layers(path: _Path, calls: Mapping[_Path, _Call], params: _Params) -> list[Layer]:
    call = calls[path]
    if call.kind == "matmul":
        return _non_local_products(path, calls)
    if not call.kind:
        return []
    kernel = params[*path, "kernel"].shape
    parameters = _total_size(x for key, x in params.items() if key[:-1] == path)
    return [Layer("/".join(path), call.kind, kernel, call.output, parameters)]


def _non_local_products(path: _Path, calls: Mapping[_Path, _Call]) -> list[Layer]:
    """Returns a non-local block's two products: queries x keys, and attention weights x values.

    Wang et al. 2018 (non-local networks), section 3.2. There are as many keys as values. The mode
    "gaussian" has no convolution `theta`: its queries are the block's input.
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


def _total_size(arrays: Iterable[jax.ShapeDtypeStruct]) -> int:
    return sum(x.size for x in arrays)


def summary(counted: Count) -> str:
    """Returns lines with the stages' shapes, the MACs with and without head, and the parameters."""
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


def align_columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Returns the rows as lines of text, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def shape_text(shape: Shape) -> str:
    """Returns a shape as in `1x8x224x224x3`."""
    return "x".join(map(str, shape))
