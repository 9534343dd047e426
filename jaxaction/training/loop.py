"""The training loop: goes on where the run stopped, trains, validates, saves, tests."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from jaxaction import report
from jaxaction.config import paths
from jaxaction.data import labels
from jaxaction.errors import Interrupted
from jaxaction.evaluation import evaluate, results
from jaxaction.runtime import distributed, sharding, xla_options
from jaxaction.storage import workdir
from jaxaction.storage.checkpoint import (
    Checkpoints,
    check_resumable,
    newest_good,
    stored_config,
    warn,
)
from jaxaction.storage.events import Events, NoEvents
from jaxaction.train_state import TrainState
from jaxaction.training import early_stopping, hang, init_from, precise_bn, progress, setup
from jaxaction.training.early_stopping import Best
from jaxaction.training.preemption import Interruption
from jaxaction.training.setup import Parts, check_memory, compile_step, create_state, prepare


class Place(NamedTuple):
    """Where a run stands."""

    state: TrainState
    iterator: Any
    bad: list[int]  # indices of the videos found unreadable so far
    metrics: dict[str, float]  # of the last validation
    best: Best
    validate: bool = False  # whether SIGTERM came before the one that was due here


class Outlets(NamedTuple):
    """Where a run tells and keeps what it finds, and what may end it."""

    checkpoints: Checkpoints
    events: Events | NoEvents
    interruption: Interruption
    log: Callable[[str], None]


def train(
    config: ConfigDict, folder: str, log: Callable[[str], None] = print
) -> evaluate.Evaluation:
    """Trains what `config` says in `folder`, from its newest good checkpoint on if it has one.

    Returns the test at the end, having written it there, too. InputError for anything that the user
    can mend; what concerns the config comes before anything is written or a first batch is read.
    `Interrupted` after SIGTERM, which may also end the process, see `Interruption`.
    """
    with Interruption() as interruption, hang.watching():
        return _train(config, folder, log, interruption)


def _train(
    config: ConfigDict, folder: str, log: Callable[[str], None], interruption: Interruption
) -> evaluate.Evaluation:
    first = jax.process_index() == 0
    log = log if first else lambda text: None
    paths.make_absolute(config)
    other = init_from.load(config, log)
    init_from.set_classes(config, log)
    parts = distributed.first_then_others(partial(prepare, config))
    names = parts.videos.label_names
    newest = newest_good(folder, log)
    check_resumable(folder, newest)
    workdir.check(folder, config, None if newest is None else stored_config(folder, newest))
    begun = init_from.weights(config, other, names, log) if newest is None else {}
    if first:
        workdir.claim(folder, config)
    distributed.wait("the directory is there")
    with Checkpoints(folder, config, names, config.train.keep) as checkpoints:
        place = _start(parts, checkpoints, newest, begun)
        step = int(place.state.step)
        log(progress.heading(parts, step))
        with Events(folder, step) if first else NoEvents() as events:
            outlets = Outlets(checkpoints, events, interruption, log)
            state = _run(parts, place, outlets)
            found = _evaluate(parts, state, _precise_statistics(parts, state), "test", outlets)
    if first:
        about = evaluate.about(config, int(state.step))
        results.write(folder, "test", found, names, about)
        report.write(folder, warn)
    return found


def _start(
    parts: Parts, checkpoints: Checkpoints, newest: int | None, begun: dict[str, jax.Array]
) -> Place:
    """The place of the checkpoint `newest`, or that of a new run, with the weights of `begun`."""
    create = partial(create_state, parts)
    if newest is None:
        checkpoints.drop_after(-1)
        options, whole = xla_options.for_one_run(), sharding.replicated(parts.mesh)
        state = jax.jit(create, out_shardings=whole, compiler_options=options)()
        state = state.begun_with(init_from.overlay(state.variables, begun))
        return Place(state, iter(parts.loader()), [], {}, Best())
    abstract = sharding.abstract(jax.eval_shape(create), parts.mesh)
    state, meta = checkpoints.restore(newest, abstract)
    found = Best(*meta.get("best", ()))
    bad, metrics, validate = meta["bad"], meta["metrics"], meta.get("validate", False)
    return Place(state, iter(parts.loader(newest)), bad, metrics, found, validate)


def _run(parts: Parts, place: Place, outlets: Outlets) -> TrainState:
    """Takes the steps that are left, with the lines, validations and checkpoints on the way."""
    config, state, interruption = parts.config, place.state, outlets.interruption
    if _is_over(parts, int(state.step), place.best):
        return state
    bad = progress.BadVideos(parts.videos, config.data.max_bad_share, place.bad, outlets.log)
    metrics, so_far = place.metrics, place.best
    guard = setup.build_guard(config, parts.schedule, parts.videos)
    step_fn = compile_step(parts, state, outlets.log)
    check_memory(parts, step_fn, state, outlets.log)

    def save(precise: dict, validate: bool = False) -> None:
        guard.check_state(state, batch["index"])
        extra = {"bad": bad.known, "metrics": metrics, "best": list(so_far), "validate": validate}
        outlets.checkpoints.save(state, extra, precise)

    if place.validate:
        precise = _precise_statistics(parts, state)
        metrics = _metrics(_evaluate(parts, state, precise, "val", outlets))
        so_far = _follow(parts, state, precise, metrics, so_far, outlets)
    window = progress.Window(int(state.step))
    while not _is_over(parts, window.step, so_far):
        hang.begin(config.train.hang_seconds)
        batch = window.next_batch(place.iterator)
        bad.note(batch["bad"])
        labels.check_labels(parts.videos, batch["index"], batch["label"], config.model.num_classes)
        shares = sharding.put({name: batch[name] for name in ("clip", "label")}, parts.mesh)
        state, found = step_fn(state, shares)
        interruption.begin()  # there is something to save
        window.add(found, batch["index"])
        due, stop = _due(parts, window.step), interruption.reached()
        if due or stop:
            bad.share()
            window.check(guard)
            hang.rest()
        if "line" in due:
            _report(parts, window, outlets)
            window = progress.Window(window.step)
        with window.paused():
            precise = _precise_statistics(parts, state) if due - {"line"} and not stop else {}
            if "validate" in due and not stop:
                with interruption.saving(partial(save, {}, validate=True)):
                    validation = _evaluate(parts, state, precise, "val", outlets)
                metrics = _metrics(validation)
                so_far = _follow(parts, state, precise, metrics, so_far, outlets)
            if "save" in due or stop or _is_over(parts, window.step, so_far):
                save(precise, validate="validate" in due and stop)
        if stop:
            raise Interrupted(f"ended by SIGTERM after step {window.step}, which is saved")
    interruption.end()
    return state


def _is_over(parts: Parts, step: int, so_far: Best) -> bool:
    return step >= parts.total_steps or early_stopping.is_enough(
        so_far, parts.config.train.patience
    )


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


def _report(parts: Parts, window: progress.Window, outlets: Outlets) -> None:
    """The progress line, and the same figures for TensorBoard."""
    step, values = window.step, window.means(parts.config.train.batch_size)
    outlets.log(progress.line(step, parts.total_steps, parts.steps_per_epoch, values))
    rate = float(parts.schedule(step - 1))
    curves = {"train/learning_rate": rate} | {f"train/{k}": v for k, v in values.items()}
    outlets.events.scalars(step, curves)


def _precise_statistics(parts: Parts, state: TrainState) -> dict:
    """The `batch_stats` that tests have in the place of the state's; empty if not configured."""
    settings = setup.precise_bn_settings(parts.config)
    return precise_bn.statistics(parts.model, state.tested, parts.loader(), parts.mesh, settings)


def _follow(
    parts: Parts,
    state: TrainState,
    precise: dict,
    metrics: dict[str, float],
    so_far: Best,
    outlets: Outlets,
) -> Best:
    """The best validation after one with these metrics; weights that are better are kept."""
    name, step = early_stopping.metric(parts.config), int(state.step)
    if not name:
        return so_far
    so_far = so_far.after(metrics[name], step)
    if so_far.step == step:
        outlets.checkpoints.keep_best(step, state.tested | precise, {"metrics": metrics})
    if early_stopping.is_enough(so_far, parts.config.train.patience):
        outlets.log(
            f"stops early: no better {name} than {so_far.value:.4f}, that of step {so_far.step},"
            f" in so many validations: {so_far.since}"
        )
    return so_far


def _evaluate(
    parts: Parts, state: TrainState, precise: dict, name: str, outlets: Outlets
) -> evaluate.Evaluation:
    """Tests under the protocol `name` ("val" or "test") on the test videos, and says so."""
    protocol, settings = parts.protocols[name], evaluate.settings(parts.config)
    variables, watch = state.tested | precise, outlets.interruption.watch
    found = evaluate.run(parts.model, variables, parts.test_videos, protocol, settings, watch)
    figures = {f"{name}/{k}": v for k, v in _metrics(found).items()}
    outlets.events.scalars(int(state.step), figures)
    names = parts.videos.label_names if name == "test" else ()
    outlets.log(results.summary(name, found, names))
    return found


def _metrics(found: evaluate.Evaluation) -> dict[str, float]:
    return {name: value for name, value in found.figures.items() if name != "num_videos"}
