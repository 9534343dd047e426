"""Where a run starts: at its newest good checkpoint, or at its first step."""

from collections.abc import Callable
from functools import partial

import jax
from ml_collections import ConfigDict

from jaxaction.config import paths
from jaxaction.evaluation import results
from jaxaction.runtime import distributed, sharding, xla_options
from jaxaction.storage import workdir
from jaxaction.storage.checkpoint import Checkpoints, check_resumable, newest_good, stored_config
from jaxaction.storage.run_lock import RunLock
from jaxaction.training import init_from
from jaxaction.training.bad_videos import BadVideos
from jaxaction.training.early_stopping import BestValidation
from jaxaction.training.run_state import RunState
from jaxaction.training.setup import TrainingSetup, create_state, prepare

Log = Callable[[str], None]


def prepare_run(
    config: ConfigDict, lock: RunLock, log: Log
) -> tuple[TrainingSetup, int | None, dict[str, jax.Array]]:
    """Checks everything that can be checked before compiling, then claims the run's directory.

    Changes `config`: paths become absolute, the network and pixel statistics are those of
    `init_from`, and `model.num_classes` may follow the videos.

    Returns the setup, the step of the checkpoint to restore (None: a new run), and the weights that
    a new run takes from `config.init_from`.
    """
    paths.make_absolute(config)
    source_run = init_from.load(config, log)
    init_from.set_classes(config, log)
    setup = distributed.first_then_others(partial(prepare, config))
    folder = str(lock.folder)
    # Before the directory is looked at: what another start saves there meanwhile would be lost.
    if jax.process_index() == 0:
        lock.acquire()
    distributed.wait("the directory is locked")
    checkpoint_step = newest_good(folder, log)
    check_resumable(folder, checkpoint_step)
    if checkpoint_step is None:
        workdir.check(folder, config, None)
        weights = init_from.weights(config, source_run, setup.videos.label_names, log)
    else:
        workdir.check(folder, config, stored_config(folder, checkpoint_step))
        weights = {}
    if jax.process_index() == 0:
        workdir.claim(folder, config)
        results.check_can_write(results.folder_of(folder))
    distributed.wait("the directory is there")
    return setup, checkpoint_step, weights


def new_run(
    setup: TrainingSetup, checkpoints: Checkpoints, weights: dict[str, jax.Array], log: Log
) -> RunState:
    """A run before its first step; `weights` replace the fresh ones that have the same names."""
    checkpoints.drop_after(-1)
    create = jax.jit(
        partial(create_state, setup),
        out_shardings=sharding.replicated(setup.mesh),
        compiler_options=xla_options.for_one_run(),
    )
    state = create()
    state = state.with_variables(init_from.overlay(state.variables, weights))
    return RunState(state, 0, iter(setup.loader()), _bad_videos(setup, [], log))


def restored_run(setup: TrainingSetup, checkpoints: Checkpoints, step: int, log: Log) -> RunState:
    """The run as it was when it saved the checkpoint `step`."""
    abstract = jax.eval_shape(partial(create_state, setup))
    state, meta = checkpoints.restore(step, sharding.abstract(abstract, setup.mesh))
    return RunState(
        state,
        step,
        iter(setup.loader(step)),
        _bad_videos(setup, meta["bad"], log),
        meta["metrics"],
        BestValidation(*meta.get("best", ())),
        meta.get("validate", False),
    )


def _bad_videos(setup: TrainingSetup, known: list[int], log: Log) -> BadVideos:
    return BadVideos(setup.videos, setup.config.data.max_bad_share, known, log)
