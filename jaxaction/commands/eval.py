"""`eval.py` and `jaxaction eval`: tests a run's newest checkpoint."""

import sys
from pathlib import Path

import jax

from jaxaction.config import build, checks, flags, paths
from jaxaction.data import labels
from jaxaction.evaluation import evaluate, results
from jaxaction.evaluation.settings import eval_settings, result_conditions
from jaxaction.runtime import distributed
from jaxaction.storage import checkpoint


def main(argv: list[str], program: str = "eval.py") -> None:
    """Tests the run that the flags name; prints the accuracies and writes them to its directory."""
    workdir, overrides, out = flags.parse_eval(distributed.start(argv), program)
    run = checkpoint.load_run(workdir)
    checks.check_test_keys(run.config, overrides)
    if "data.test_file" not in overrides:
        paths.check_list("data.test_file", run.missing)
    config = flags.apply_overrides(run.config, overrides)
    if config.data.test_file and config.data.source == "annotations" and jax.process_index() == 0:
        print(f"videos: {config.data.test_file}")
    folder = Path(out) if out else results.folder_of(workdir)
    if jax.process_index() == 0:
        results.check_can_write(folder)
    build.set_precision(config)
    checks.check_numbers(config)
    evaluate.check_fits(run.variables, build.abstract_variables(config))
    source = distributed.first_then_others(lambda: build.source(config, "test"))
    difference = labels.differing_labels(run.label_names, source.label_names)
    if difference and jax.process_index() == 0:
        print(f"{program}: warning: {difference}; accuracies mean little", file=sys.stderr)
    evaluation = evaluate.run(
        build.model(config),
        run.variables,
        source,
        build.protocol(config.test),
        eval_settings(config),
    )
    if jax.process_index() == 0:
        label_names = run.label_names or source.label_names
        conditions = result_conditions(config, run.step)
        # The figures come before the files: nothing that was computed is lost to a path.
        print(f"{workdir}, step {run.step}: {folder / 'test.json'}")
        print(results.summary("test", evaluation, label_names), flush=True)
        results.write(workdir, "test", evaluation, label_names, conditions, folder)
