"""A run's changing state, what is due after a step, and how the run is saved."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxaction.storage.checkpoint import Checkpoints
from jaxaction.storage.events import Events, NoEvents
from jaxaction.train_state import TrainState
from jaxaction.training import early_stopping
from jaxaction.training.bad_videos import BadVideos
from jaxaction.training.early_stopping import BestValidation
from jaxaction.training.preemption import Interruption
from jaxaction.training.setup import TrainingSetup


@dataclasses.dataclass
class RunState:
    """How far a run has come."""

    state: TrainState
    step: int  # `state.step`, counted on the host too: reading it would wait for the device
    batches: Iterator[dict[str, np.ndarray]]
    bad_videos: BadVideos
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)  # of the last validation
    best: BestValidation = BestValidation()
    validation_due: bool = False  # SIGTERM interrupted the validation due at this step


class RunServices(NamedTuple):
    """Where a run writes, and what may interrupt it."""

    checkpoints: Checkpoints
    events: Events | NoEvents
    interruption: Interruption
    log: Callable[[str], None]


class Due(NamedTuple):
    """The tasks after a step."""

    line: bool  # the progress line
    validate: bool
    save: bool


def due_after(setup: TrainingSetup, step: int) -> Due:
    """Returns the tasks after `step`. The last step is tested, so it is not validated."""
    config, is_last = setup.config.train, step == setup.total_steps
    steps_between = round(config.eval_every_epochs * setup.steps_per_epoch)
    return Due(
        line=step % config.log_every_steps == 0 or is_last,
        validate=steps_between > 0 and step % steps_between == 0 and not is_last,
        save=step % config.checkpoint_every_steps == 0 or is_last,
    )


def is_over(setup: TrainingSetup, run: RunState) -> bool:
    """Whether all steps are taken, or validations have stopped getting better."""
    patience = setup.config.train.patience
    return run.step >= setup.total_steps or early_stopping.is_out_of_patience(run.best, patience)


def save_checkpoint(
    setup: TrainingSetup,
    run: RunState,
    services: RunServices,
    videos: np.ndarray,
    precise: dict[str, Any],
    validation_due: bool = False,
) -> None:
    """Saves a run with its `precise` statistics; InputError for a state that is not finite.

    `videos` are those of its last step. `validation_due`: the run validates when it goes on.
    """
    setup.divergence.check_state(run.state, videos)
    meta = {"bad": run.bad_videos.known, "metrics": run.metrics, "best": list(run.best)}
    services.checkpoints.save(run.state, meta | {"validate": validation_due}, precise)
