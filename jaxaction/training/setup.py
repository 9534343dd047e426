"""Builds and checks everything that a config asks for, before a run starts."""

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
from jaxaction.training.divergence import DivergenceCheck, loss_limit
from jaxaction.training.optimizer import (
    Schedule,
    chain,
    check_schedule,
    check_warmup,
    freeze,
    scaled_rate,
)


class TrainingSetup(NamedTuple):
    """Everything that a config asks for, and that stays the same while the run trains."""

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
    divergence: DivergenceCheck

    @property
    def total_steps(self) -> int:
        return round(self.config.train.epochs * self.steps_per_epoch)


def prepare(config: ConfigDict) -> TrainingSetup:
    """Builds everything and checks that it fits together; InputError if not.

    Writes nothing to a run's directory, but prepares a built-in data set that is missing.
    """
    build.set_precision(config)
    checks.check_numbers(config)
    early_stopping.check_early_stopping(
        config.train.best_by,
        config.train.patience,
        config.train.eval_every_epochs,
        config.data.multi_label,
    )
    mesh = sharding.device_mesh()
    sharding.check_batch(config.train.batch_size, mesh)
    recipe = build_recipe(config, mesh.size)
    train_transform(config)
    protocols = {name: build.protocol(config[name], name) for name in ("val", "test")}
    checks.check_clips(config)
    videos = build.source(config, "train")
    loader = partial(train_loader, config, videos)
    loader()  # InputError for videos that the transform can't take
    steps_per_epoch = batches_per_epoch(config, videos)
    optimizer, schedule = build_optimizer(config, steps_per_epoch)
    return TrainingSetup(
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
        divergence=build_divergence_check(config, schedule, videos),
    )


def create_state(setup: TrainingSetup) -> TrainState:
    """The state before the first step, with fresh weights."""
    key = jax.random.key(setup.config.train.seed)
    variables = jaxaction.init(setup.model, build.clip_shape(setup.config), key)
    return train_state.create(variables, setup.optimizer, bool(setup.recipe.ema_decay))


def compile_step(
    setup: TrainingSetup, state: TrainState, log: Callable[[str], None]
) -> jax.stages.Compiled:
    """The training step, compiled for this mesh.

    Compiled before the first step, so that the progress line does not count it as training time.
    """
    config, begin = setup.config, time.monotonic()
    log("compiling the training step (kept for the next start)")
    pixels, seed = (config.data.mean, config.data.std), config.train.seed
    step = train_step.make_train_step(setup.model, setup.optimizer, *pixels, seed, setup.recipe)
    replicated, split = sharding.replicated(setup.mesh), sharding.split(setup.mesh)
    jitted = jax.jit(
        step,
        in_shardings=(replicated, split),
        out_shardings=(replicated, replicated),
        donate_argnums=0,
    )
    options = xla_options.for_training(config.train.deterministic, setup.model.uses_remat)
    compiled = jitted.lower(state, _abstract_batch(config)).compile(compiler_options=options)
    log(f"compiled the training step in {time.monotonic() - begin:.1f} s")
    return compiled


def check_step_memory(
    setup: TrainingSetup,
    program: jax.stages.Compiled,
    state: TrainState,
    log: Callable[[str], None],
) -> None:
    """Logs the memory that a compiled training step needs; InputError if there is less."""
    footprint = step_memory.measure(program, state, setup.config.train.batch_size)
    memory, multiple = device_memory.total(), checks.batch_multiple(setup.config, setup.mesh)
    log(step_memory.line(footprint, memory, multiple))
    step_memory.check_footprint(footprint, memory)


def _abstract_batch(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
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
    """The endless, shuffled batches of training clips from `first_step` on.

    Each process gets its share of every batch.
    """
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
    """The optional features of the training step; InputError for values that do not fit."""
    section, classes = config.train, config.model.num_classes
    losses.check_class_weights(section.class_weights, classes)
    sizes = (section.batch_size, section.accumulate, devices)
    accumulation.check_batch_divides(*sizes)
    return train_step.Recipe(
        train_step.Mixing(section.mixup, section.cutmix),
        section.label_smoothing,
        tuple(section.class_weights),
        section.ema_decay,
        section.accumulate,
        accumulation.group_size(*sizes, config.model.get("bn_group", 0)),
    )


def precise_bn_settings(config: ConfigDict) -> precise_bn.PreciseBNSettings:
    """How precise statistics for validations and tests are computed."""
    section, pixels = config.train, (tuple(config.data.mean), tuple(config.data.std))
    sizes = (section.batch_size, section.accumulate)
    return precise_bn.PreciseBNSettings(section.precise_bn_clips, *sizes, *pixels)


def build_divergence_check(config: ConfigDict, schedule: Schedule, videos: Any) -> DivergenceCheck:
    """The check that ends a run that diverges."""
    factor, classes = config.train.max_loss_factor, config.model.num_classes
    max_loss = loss_limit(factor, classes, config.data.multi_label)
    return DivergenceCheck(schedule, videos.id, max_loss)


def build_optimizer(config: ConfigDict, steps_per_epoch: int) -> tuple[Any, Schedule]:
    """The optax chain of `config.optim`, and its learning rate as a function of the step.

    Parameters that `config.model` freezes stay as they are.
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


def batches_per_epoch(config: ConfigDict, videos: Any) -> int:
    """The number of full batches in one pass over the videos, at least 1."""
    return max(1, len(videos) // config.train.batch_size)
