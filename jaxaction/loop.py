"""The training loop: builds everything a config names, goes on where the run stopped, trains."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

import jaxaction
from jaxaction import (
    evaluate,
    from_config,
    initial,
    progress,
    results,
    sharding,
    steps,
    train_state,
    workdir,
    xla_options,
)
from jaxaction.checkpoint import Checkpoints, check_resumable, newest_good
from jaxaction.data import Protocol
from jaxaction.events import Events
from jaxaction.models import remat
from jaxaction.optim import Schedule
from jaxaction.train_state import TrainState


class Parts(NamedTuple):
    """What a config names, built and checked; nothing has been written yet."""

    config: ConfigDict
    model: Any
    optimizer: Any
    schedule: Schedule
    mesh: Mesh
    videos: Any
    loader: Any
    test_videos: Any
    protocols: dict[str, Protocol]
    steps_per_epoch: int

    @property
    def total_steps(self) -> int:
        return round(self.config.train.epochs * self.steps_per_epoch)


class Place(NamedTuple):
    """Where a run stands."""

    state: TrainState
    iterator: Any
    bad: list[int]  # indices of the videos found unreadable so far
    metrics: dict[str, float]  # of the last validation


def train(
    config: ConfigDict, folder: str, log: Callable[[str], None] = print
) -> evaluate.Evaluation:
    """Trains what `config` says in `folder`, from its newest good checkpoint on if it has one.

    Returns the test at the end, having written it there, too. InputError for anything that the user
    can mend; what concerns the config comes before anything is written or a first batch is read.
    """
    log = log if jax.process_index() == 0 else lambda text: None
    other = initial.load(config, log)
    initial.set_classes(config, log)
    parts = prepare(config)
    names = parts.videos.label_names
    workdir.check(folder, config)
    newest = newest_good(folder, log)
    check_resumable(folder, newest)
    begun = initial.weights(config, other, names, log) if newest is None else {}
    workdir.claim(folder, config)
    with Checkpoints(folder, config, names, config.train.keep) as checkpoints:
        place = _start(parts, checkpoints, newest, begun)
        log(_heading(parts, int(place.state.step)))
        with Events(folder, int(place.state.step)) as events:
            state = _run(parts, place, checkpoints, events, log)
            found = _evaluate(parts, state, "test", events, log)
    if jax.process_index() == 0:
        about = evaluate.about(config, int(state.step))
        results.write(folder, "test", found, names, about)
    return found


def prepare(config: ConfigDict) -> Parts:
    """Builds the parts and checks them against each other; InputError for what does not fit."""
    from_config.set_precision(config)
    from_config.check_numbers(config)
    mesh = sharding.device_mesh()
    sharding.check_batch(config.train.batch_size, mesh)
    from_config.train_transform(config)
    protocols = {name: from_config.protocol(config[name], name) for name in ("val", "test")}
    from_config.check_clips(config)
    videos = from_config.source(config, "train")
    steps_per_epoch = from_config.steps_per_epoch(config, videos)
    optimizer, schedule = from_config.optimizer(config, steps_per_epoch)
    return Parts(
        config=config,
        model=from_config.model(config),
        optimizer=optimizer,
        schedule=schedule,
        mesh=mesh,
        videos=videos,
        loader=from_config.train_loader(config, videos),
        test_videos=from_config.source(config, "test"),
        protocols=protocols,
        steps_per_epoch=steps_per_epoch,
    )


def _start(
    parts: Parts, checkpoints: Checkpoints, newest: int | None, begun: dict[str, jax.Array]
) -> Place:
    """The place of the checkpoint `newest`, or that of a new run, with the weights of `begun`."""
    iterator = iter(parts.loader)
    create = partial(create_state, parts)
    if newest is None:
        checkpoints.drop_after(-1)
        options, whole = xla_options.for_one_run(), sharding.replicated(parts.mesh)
        state = jax.jit(create, out_shardings=whole, compiler_options=options)()
        state = dataclasses.replace(state, **initial.overlay(state.variables, begun))
        return Place(state, iterator, [], {})
    abstract = sharding.abstract(jax.eval_shape(create), parts.mesh)
    state, meta = checkpoints.restore(newest, abstract, iterator)
    return Place(state, iterator, meta["bad"], meta["metrics"])


def create_state(parts: Parts) -> TrainState:
    """The state before the first step, with fresh weights."""
    key = jax.random.key(parts.config.train.seed)
    variables = jaxaction.init(parts.model, from_config.clip_shape(parts.config), key)
    return train_state.create(variables, parts.optimizer)


def _heading(parts: Parts, step: int) -> str:
    train = parts.config.train
    begin = f"goes on after step {step} of" if step else "takes"
    return (
        f"{parts.config.model.name} {begin} {parts.total_steps} steps on {len(parts.videos)} videos"
        f" ({parts.steps_per_epoch} an epoch); batch {train.batch_size} on {parts.mesh.size}"
        f" {jax.devices()[0].platform} devices, learning rate {parts.schedule.learning_rate:g}"
        + _scaling(parts.config)
    )


def _scaling(config: ConfigDict) -> str:
    """How the learning rate follows the batch, where it does."""
    reference = config.optim.reference_batch
    if reference in (0, config.train.batch_size):
        return ""
    return (
        f" ({config.optim.learning_rate:g} for a batch of {reference};"
        " --config.optim.reference_batch=0 leaves it)"
    )


def compile_step(parts: Parts, state: TrainState, log: Callable[[str], None]) -> Callable:
    """The training step as a program for this mesh, compiled now to keep the progress line true."""
    config, begin = parts.config, time.monotonic()
    log("compiling the training step (kept for the next start)")
    pixels, mix = (config.data.mean, config.data.std), from_config.mixing(config)
    seed = config.train.seed
    step = steps.make_train_step(parts.model, parts.optimizer, *pixels, seed, mix)
    whole, split = sharding.replicated(parts.mesh), sharding.split(parts.mesh)
    shape = (config.train.batch_size, *from_config.clip_shape(config)[1:])
    label = (shape[:1], jnp.int32)
    if config.data.multi_label:
        label = ((shape[0], config.model.num_classes), jnp.float32)
    batch = {
        "clip": jax.ShapeDtypeStruct(shape, jnp.uint8),
        "label": jax.ShapeDtypeStruct(*label),
    }
    jitted = jax.jit(
        step, in_shardings=(whole, split), out_shardings=(whole, whole), donate_argnums=0
    )
    options = xla_options.for_training(remat.is_used(parts.model))
    compiled = jitted.lower(state, batch).compile(compiler_options=options)
    log(f"compiled the training step in {time.monotonic() - begin:.1f} s")
    return compiled


def _run(
    parts: Parts,
    place: Place,
    checkpoints: Checkpoints,
    events: Events,
    log: Callable[[str], None],
) -> TrainState:
    """Takes the steps that are left, with the lines, validations and checkpoints on the way."""
    total, state = parts.total_steps, place.state
    if int(state.step) >= total:
        return state
    bad = progress.BadVideos(parts.videos, parts.config.data.max_bad_share, place.bad, log)
    metrics, step_fn = place.metrics, compile_step(parts, state, log)
    classes = parts.config.model.num_classes
    window = progress.Window(int(state.step))
    while window.step < total:
        batch = window.next_batch(place.iterator)
        bad.note(batch["bad"])
        evaluate.check_labels(parts.videos, batch["index"], batch["label"], classes)
        shares = sharding.put({name: batch[name] for name in ("clip", "label")}, parts.mesh)
        state, found = step_fn(state, shares)
        window.add(found)
        due = _due(parts, window.step)
        if due:
            window.check()
        if "line" in due:
            _report(parts, window, events, log)
            window = progress.Window(window.step)
        with window.paused():
            if "validate" in due:
                metrics = _metrics(_evaluate(parts, state, "val", events, log))
            if "save" in due:
                checkpoints.save(state, place.iterator, {"bad": bad.known, "metrics": metrics})
    return state


def _due(parts: Parts, step: int) -> set[str]:
    """What happens after `step`; the last one ends with the test in place of a validation."""
    config, last = parts.config.train, step == parts.total_steps
    epochs = round(config.eval_every_epochs * parts.steps_per_epoch)
    due = {
        "line": step % config.log_every_steps == 0 or last,
        "validate": epochs > 0 and step % epochs == 0 and not last,
        "save": step % config.checkpoint_every_steps == 0 or last,
    }
    return {name for name, wanted in due.items() if wanted}


def _report(
    parts: Parts, window: progress.Window, events: Events, log: Callable[[str], None]
) -> None:
    """The progress line, and the same figures for TensorBoard."""
    step, values = window.step, window.means(parts.config.train.batch_size)
    log(progress.line(step, parts.total_steps, parts.steps_per_epoch, values))
    rate = float(parts.schedule(step - 1))
    curves = {"train/learning_rate": rate} | {f"train/{k}": v for k, v in values.items()}
    events.scalars(step, curves)


def _evaluate(
    parts: Parts, state: TrainState, name: str, events: Events, log: Callable[[str], None]
) -> evaluate.Evaluation:
    """Tests under the protocol `name` ("val" or "test") on the test videos, and says so."""
    protocol, settings = parts.protocols[name], evaluate.settings(parts.config)
    found = evaluate.run(parts.model, state.variables, parts.test_videos, protocol, settings)
    events.scalars(int(state.step), {f"{name}/{k}": v for k, v in _metrics(found).items()})
    log(results.summary(name, found, parts.videos.label_names if name == "test" else ()))
    return found


def _metrics(found: evaluate.Evaluation) -> dict[str, float]:
    return {name: value for name, value in found.figures.items() if name != "num_videos"}
