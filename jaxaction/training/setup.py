"""What a config names, built and checked against each other: all that a training is made of."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

import jaxaction
from jaxaction import train_state
from jaxaction.config import build, checks
from jaxaction.data import Protocol
from jaxaction.models import remat
from jaxaction.runtime import device_memory, sharding, xla_options
from jaxaction.train_state import TrainState
from jaxaction.training import early_stopping, step_memory, train_step
from jaxaction.training.optimizer import Schedule


class Parts(NamedTuple):
    """What a config names; nothing has been written yet."""

    config: ConfigDict
    model: Any
    optimizer: Any
    schedule: Schedule
    mesh: Mesh
    videos: Any
    loader: Callable[..., Any]  # loader(first_step) yields batches from there on
    test_videos: Any
    protocols: dict[str, Protocol]
    steps_per_epoch: int
    recipe: train_step.Recipe

    @property
    def total_steps(self) -> int:
        return round(self.config.train.epochs * self.steps_per_epoch)


def prepare(config: ConfigDict) -> Parts:
    """Builds the parts and checks them against each other; InputError for what does not fit."""
    build.set_precision(config)
    checks.check_numbers(config)
    early_stopping.check(config)
    mesh = sharding.device_mesh()
    sharding.check_batch(config.train.batch_size, mesh)
    recipe = build.recipe(config, mesh.size)
    build.train_transform(config)
    protocols = {name: build.protocol(config[name], name) for name in ("val", "test")}
    checks.check_clips(config)
    videos = build.source(config, "train")
    loader = partial(build.train_loader, config, videos)
    loader()  # refuses what can't be read so
    steps_per_epoch = build.steps_per_epoch(config, videos)
    optimizer, schedule = build.optimizer(config, steps_per_epoch)
    return Parts(
        config=config,
        model=build.model(config),
        optimizer=optimizer,
        schedule=schedule,
        mesh=mesh,
        videos=videos,
        loader=loader,
        test_videos=build.source(config, "test"),
        protocols=protocols,
        steps_per_epoch=steps_per_epoch,
        recipe=recipe,
    )


def create_state(parts: Parts) -> TrainState:
    """The state before the first step, with fresh weights."""
    key = jax.random.key(parts.config.train.seed)
    variables = jaxaction.init(parts.model, build.clip_shape(parts.config), key)
    return train_state.create(variables, parts.optimizer, bool(parts.recipe.ema_decay))


def compile_step(
    parts: Parts, state: TrainState, log: Callable[[str], None]
) -> jax.stages.Compiled:
    """The training step as a program for this mesh, compiled now to keep the progress line true."""
    config, begin = parts.config, time.monotonic()
    log("compiling the training step (kept for the next start)")
    pixels, seed = (config.data.mean, config.data.std), config.train.seed
    step = train_step.make_train_step(parts.model, parts.optimizer, *pixels, seed, parts.recipe)
    whole, split = sharding.replicated(parts.mesh), sharding.split(parts.mesh)
    jitted = jax.jit(
        step, in_shardings=(whole, split), out_shardings=(whole, whole), donate_argnums=0
    )
    kinds = (config.train.deterministic, remat.is_used(parts.model))
    options = xla_options.for_training(*kinds)
    compiled = jitted.lower(state, _batch(config)).compile(compiler_options=options)
    log(f"compiled the training step in {time.monotonic() - begin:.1f} s")
    return compiled


def check_memory(
    parts: Parts, program: jax.stages.Compiled, state: TrainState, log: Callable[[str], None]
) -> None:
    """Tells what a compiled training step takes; InputError if that is more than there is."""
    found = step_memory.measure(program, state, parts.config.train.batch_size)
    memory, multiple = device_memory.total(), checks.batch_multiple(parts.config, parts.mesh)
    log(step_memory.line(found, memory, multiple))
    step_memory.check(found, memory)


def _batch(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    shape = (config.train.batch_size, *build.clip_shape(config)[1:])
    label = (shape[:1], jnp.int32)
    if config.data.multi_label:
        label = ((shape[0], config.model.num_classes), jnp.float32)
    return {
        "clip": jax.ShapeDtypeStruct(shape, jnp.uint8),
        "label": jax.ShapeDtypeStruct(*label),
    }
