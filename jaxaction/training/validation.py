"""Validations and the test of a run that trains, and the best weights that it keeps."""

from jaxaction.evaluation import evaluate, results
from jaxaction.evaluation.settings import eval_settings
from jaxaction.train_state import TrainState
from jaxaction.training import early_stopping, precise_bn
from jaxaction.training.run_state import RunServices, RunState
from jaxaction.training.setup import TrainingSetup, precise_bn_settings


def precise_statistics(setup: TrainingSetup, state: TrainState) -> dict:
    """The precise `batch_stats` that a validation uses in place of the state's.

    Empty if `train.precise_bn_clips` is 0.
    """
    settings = precise_bn_settings(setup.config)
    return precise_bn.statistics(
        setup.model, state.eval_variables, setup.loader(), setup.mesh, settings
    )


def evaluate_split(
    setup: TrainingSetup, state: TrainState, precise: dict, split: str, services: RunServices
) -> evaluate.Evaluation:
    """Evaluates on the test videos under the protocol of `split` ("val" or "test"), and logs it."""
    evaluation = evaluate.run(
        setup.model,
        state.eval_variables | precise,
        setup.test_videos,
        setup.protocols[split],
        eval_settings(setup.config),
        services.interruption.watch,
    )
    curves = {f"{split}/{name}": value for name, value in _metrics(evaluation).items()}
    services.events.scalars(int(state.step), curves)
    label_names = setup.videos.label_names if split == "test" else ()
    services.log(results.summary(split, evaluation, label_names))
    return evaluation


def record_validation(
    setup: TrainingSetup,
    run: RunState,
    evaluation: evaluate.Evaluation,
    precise: dict,
    services: RunServices,
) -> None:
    """Keeps the metrics of a validation in `run`, and its weights if they are the best ones."""
    run.metrics, config = _metrics(evaluation), setup.config
    name = early_stopping.followed_metric(config.train.best_by, config.data.multi_label)
    if not name:
        return
    run.best = run.best.after(run.metrics[name], run.step)
    if run.best.step == run.step:
        variables = run.state.eval_variables | precise
        services.checkpoints.keep_best(run.step, variables, {"metrics": run.metrics})
    if early_stopping.is_out_of_patience(run.best, config.train.patience):
        services.log(
            f"stops early: no better {name} than {run.best.value:.4f}, that of step"
            f" {run.best.step}, in so many validations: {run.best.since}"
        )


def _metrics(evaluation: evaluate.Evaluation) -> dict[str, float]:
    return {name: value for name, value in evaluation.figures.items() if name != "num_videos"}
