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
from jaxaction import data, train_state
from jaxaction.config import build, checks
from jaxaction.data import Protocol
from jaxaction.models.trainable import frozen_parameters
from jaxaction.runtime import device_memory, sharding, xla_options
from jaxaction.train_state import TrainState
from jaxaction.training import (
    accumulation,
    early_stopping,
    losses,
    precise_bn,
    step_memory,
    train_step,
)
from jaxaction.training.divergence import Guard, loss_limit
from jaxaction.training.optimizer import (
    Schedule,
    chain,
    check_schedule,
    check_warmup,
    freeze,
    scaled_rate,
)


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
    recipe = build_recipe(config, mesh.size)
    train_transform(config)
    protocols = {name: build.protocol(config[name], name) for name in ("val", "test")}
    checks.check_clips(config)
    videos = build.source(config, "train")
    loader = partial(train_loader, config, videos)
    loader()  # refuses what can't be read so
    steps_per_epoch = whole_batches(config, videos)
    optimizer, schedule = build_optimizer(config, steps_per_epoch)
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
    kinds = (config.train.deterministic, parts.model.uses_remat)
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


def train_transform(config: ConfigDict) -> data.TrainTransform:
    """How a training video becomes a clip."""
    return build.dataclass_fields(data.TrainTransform, config.data)


def train_loader(config: ConfigDict, videos: Any, first_step: int = 0) -> Any:
    """The endless, shuffled batches of training clips from `first_step` on; a process gets its
    share of each."""
    return data.train_loader(
        videos,
        train_transform(config),
        config.train.batch_size,
        config.train.seed,
        config.data.num_threads,
        (jax.process_index(), jax.process_count()),
        first_step,
    )


def build_recipe(config: ConfigDict, devices: int) -> train_step.Recipe:
    """What a training step does on so many devices; InputError for what does not fit."""
    section, classes = config.train, config.model.num_classes
    losses.check_class_weights(section.class_weights, classes)
    sizes = (section.batch_size, section.accumulate, devices)
    accumulation.check(*sizes)
    return train_step.Recipe(
        train_step.Mixing(section.mixup, section.cutmix),
        section.label_smoothing,
        tuple(section.class_weights),
        section.ema_decay,
        section.accumulate,
        accumulation.kept_together(*sizes, config.model.get("bn_group", 0)),
    )


def precise_bn_settings(config: ConfigDict) -> precise_bn.Settings:
    """How the statistics of tests are computed."""
    section, pixels = config.train, (tuple(config.data.mean), tuple(config.data.std))
    sizes = (section.batch_size, section.accumulate)
    return precise_bn.Settings(section.precise_bn_clips, *sizes, *pixels)


def build_guard(config: ConfigDict, schedule: Schedule, videos: Any) -> Guard:
    """What ends a training whose numbers go wrong."""
    factor, classes = config.train.max_loss_factor, config.model.num_classes
    return Guard(schedule, videos.id, loss_limit(factor, classes, config.data.multi_label))


def build_optimizer(config: ConfigDict, steps_per_epoch: int) -> tuple[Any, Schedule]:
    """The optax chain of `config.optim`, and its learning rate as a function of the step.

    It leaves the parameters that `config.model` freezes as they are.
    """
    section = config.optim
    values = {name: section[name] for name in Schedule._fields[2:] if name in section}
    if section.warmup_samples:
        per_epoch = config.train.batch_size * steps_per_epoch
        check_warmup(section.warmup_epochs, section.warmup_by)
        values["warmup_epochs"] = section.warmup_samples / per_epoch
    rate = scaled_rate(section.learning_rate, config.train.batch_size, section.reference_batch)
    schedule = Schedule(rate, steps_per_epoch, **values)
    check_schedule(schedule)
    transformation = chain(
        section.name,
        schedule,
        section.momentum,
        section.weight_decay,
        section.clip_norm,
        section.multipliers,
    )
    return freeze(transformation, frozen_parameters(build.model(config))), schedule


def whole_batches(config: ConfigDict, videos: Any) -> int:
    """Whole batches in one pass over the videos, at least one."""
    return max(1, len(videos) // config.train.batch_size)
