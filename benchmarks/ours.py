"""This project's networks as steps to time."""

from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxaction
from benchmarks import layers
from benchmarks.families import CLASSES, FAMILIES
from jaxaction import train_state
from jaxaction.commands import flops
from jaxaction.interop import mmaction
from jaxaction.runtime import host_memory, xla_options
from jaxaction.training.train_step import make_train_step

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "jaxaction": metadata.version("jaxaction")}


def make_step(family: str, mode: str, batch: int, size: int, dtype: str) -> Callable[[], None]:
    """Returns a function that does one step and waits for it; `mode` is inference or training."""
    host_memory.keep_freed_memory()
    model, variables, shape = network(family, batch, size, dtype)
    if mode == "inference":
        model, variables = jaxaction.fold_batch_norm(model, variables)
        clip = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        operands = jax.device_put((variables, clip))
        compiled = compile_inference(model, *operands)
        return lambda: jax.block_until_ready(compiled(*operands))
    state, batch = jax.device_put(training_operands(variables, shape))
    return training(compile_training(train_step(model), state, batch), state, batch)


def training(compiled: jax.stages.Compiled, state: Any, batch: Any) -> Callable[[], None]:
    """Returns a function that takes one more step from where it was, and waits for it."""

    def once():
        nonlocal state
        state, _ = compiled(state, batch)
        jax.block_until_ready(state)

    return once


def compile_step(family: str, mode: str, batch: int, size: int, dtype: str) -> jax.stages.Compiled:
    """Returns the program behind `make_step`, compiled without any values."""
    model, variables, shape = network(family, batch, size, dtype)
    if mode == "inference":
        model, variables = jaxaction.fold_batch_norm(model, variables)
        clip = jax.ShapeDtypeStruct(shape, jnp.float32)
        return compile_inference(model, variables, clip)
    return compile_training(train_step(model), *training_operands(variables, shape))


def network(family: str, batch: int, size: int, dtype: str) -> tuple[Any, Any, tuple[int, ...]]:
    """The model, its variables and the shape of its clips; sets the precision of `dtype`."""
    precision = "highest" if dtype == "float32" else "default"
    jax.config.update("jax_default_matmul_precision", precision)
    config = mmaction.model_config(FAMILIES[family].settings) | {"dtype": dtype}
    model, shape = jaxaction.build(config), clip_shape(family, batch, size)
    return model, random_variables(model, shape), shape


def clip_shape(family: str, batch: int, size: int) -> tuple[int, ...]:
    return (batch, FAMILIES[family].frames, size, size, 3)


def yardstick(family: str, mode: str, batch: int, size: int, dtype: str) -> dict[str, float]:
    """The FLOPs that a step of the model takes, however it computes them, and the machine's rate.

    Those that `flops.count` counts, two a product; a training step counts as three inferences.
    """
    model = jaxaction.build(mmaction.model_config(FAMILIES[family].settings))
    inference = 2 * flops.count(model, clip_shape(family, batch, size)).macs
    rate = layers.matrix_product_rate(dtype, 0.1)
    return {"flops": inference * (3 if mode == "training" else 1), "flops_per_second": rate}


def random_variables(model, shape):
    """He-normal kernels, unit norms: the same distribution as the peers', without a program."""
    shapes = jax.eval_shape(lambda: jaxaction.init(model, shape, jax.random.key(0)))
    rng = np.random.default_rng(0)

    def value(path, x):
        if path[-1].key == "kernel":
            return rng.standard_normal(x.shape, np.float32) * np.sqrt(2 / np.prod(x.shape[:-1]))
        return np.full(x.shape, path[-1].key in ("scale", "var"), np.float32)

    return jax.device_put(jax.tree_util.tree_map_with_path(value, shapes))


def compile_inference(model, variables, clip) -> jax.stages.Compiled:
    forward = jax.jit(lambda variables, clip: model.apply(variables, clip, False))
    return forward.lower(variables, clip).compile(compiler_options=xla_options.for_inference())


def optimizer() -> optax.GradientTransformation:
    return optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(0.001, momentum=0.9))


def train_step(model) -> Callable:
    return make_train_step(model, optimizer(), MEAN, STD, 0)


def compile_training(step, state, batch) -> jax.stages.Compiled:
    lowered = jax.jit(step, donate_argnums=0).lower(state, batch)
    return lowered.compile(compiler_options=xla_options.for_training())


def training_operands(variables, shape) -> tuple[train_state.TrainState, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    batch = {
        "clip": rng.integers(0, 256, shape, np.uint8),
        "label": rng.integers(0, CLASSES, shape[:1]).astype(np.int32),
    }
    return train_state.create(variables, optimizer()), batch


def peak_bytes() -> int:
    """The most device memory that was in use; 0 where the device does not count (a CPU)."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
