"""The training loop: goes on where the run stopped, trains, validates, saves, tests."""

from collections.abc import Callable
from functools import partial

import jax
from ml_collections import ConfigDict

from jaxaction import report
from jaxaction.data import labels
from jaxaction.errors import Interrupted
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.evaluation.settings import result_conditions
from jaxaction.runtime import sharding
from jaxaction.storage.checkpoint import Checkpoints, warn
from jaxaction.storage.events import Events, NoEvents
from jaxaction.storage.run_lock import RunLock
from jaxaction.training import hang, progress, start
from jaxaction.training.preemption import Interruption
from jaxaction.training.run_state import RunServices, due_after, is_over, save_checkpoint
from jaxaction.training.setup import check_step_memory, compile_step
from jaxaction.training.validation import evaluate_split, precise_statistics, record_validation


def train(config: ConfigDict, folder: str, log: Callable[[str], None] = print) -> Evaluation:
    """Trains `config` in `folder`; resumes from the newest good checkpoint there, if any.

    Returns the evaluation of the final test, which is also written to `folder`. InputError for
    anything that the user can fix; a mistake in the config, other than a batch too large for the
    memory, is found before the run's directory is written. SIGTERM raises `Interrupted` or ends
    the process, see `Interruption`.
    """
    is_first = jax.process_index() == 0
    log = log if is_first else lambda text: None
    with RunLock(folder) as lock, Interruption() as interruption, hang.disarmed_on_exit():
        setup, checkpoint_step, weights = start.prepare_run(config, lock, log)
        label_names = setup.videos.label_names
        with Checkpoints(folder, config, label_names, config.train.keep) as checkpoints:
            if checkpoint_step is None:
                run = start.new_run(setup, checkpoints, weights, log)
            else:
                run = start.restored_run(setup, checkpoints, checkpoint_step, log)
            log(progress.heading(setup, run.step))
            with Events(folder, run.step) if is_first else NoEvents() as events:
                services = RunServices(checkpoints, events, interruption, log)
                if not is_over(setup, run):
                    train_step = compile_step(setup, run.state, log)
                    check_step_memory(setup, train_step, run.state, log)
                    if run.validation_due:  # SIGTERM cut it off
                        precise = precise_statistics(setup, run.state)
                        evaluation = evaluate_split(setup, run.state, precise, "val", services)
                        record_validation(setup, run, evaluation, precise, services)

                window = progress.Window()
                while not is_over(setup, run):
                    hang.arm(config.train.hang_seconds)
                    batch = window.next_batch(run.batches)
                    videos, classes = batch["index"], config.model.num_classes
                    run.bad_videos.note(batch["bad"])
                    labels.check_labels(setup.videos, videos, batch["label"], classes)
                    inputs = {name: batch[name] for name in ("clip", "label")}
                    inputs = sharding.put(inputs, setup.mesh)
                    run.state, metrics = train_step(run.state, inputs)
                    run.step += 1
                    interruption.begin()  # from here on there is something to save
                    window.add(metrics, videos)

                    due, stop = due_after(setup, run.step), interruption.reached()
                    if any(due) or stop:  # waits for the steps, and ends a run that diverges
                        run.bad_videos.share()
                        window.check(setup.divergence, run.step)
                        hang.disarm()
                    if due.line:
                        progress.report(setup, run.step, window, services)
                        window = progress.Window()
                    with window.paused():
                        save = partial(save_checkpoint, setup, run, services, videos)
                        precise = {}
                        if (due.validate or due.save) and not stop:
                            precise = precise_statistics(setup, run.state)
                        if due.validate and not stop:
                            # SIGTERM saves at once, with the mark that this validation is due.
                            with interruption.saving(partial(save, {}, validation_due=True)):
                                evaluation = evaluate_split(
                                    setup, run.state, precise, "val", services
                                )
                            record_validation(setup, run, evaluation, precise, services)
                        if due.save or stop or is_over(setup, run):
                            save(precise, validation_due=due.validate and stop)
                    if stop:
                        raise Interrupted(f"ended by SIGTERM after step {run.step}, which is saved")

                interruption.end()  # everything is saved
                precise = precise_statistics(setup, run.state)
                evaluation = evaluate_split(setup, run.state, precise, "test", services)
        if is_first:
            conditions = result_conditions(config, run.step)
            results.write(folder, "test", evaluation, label_names, conditions)
            report.write(folder, warn)
        return evaluation
