"""`eval.py` and `jaxaction eval`: test the newest checkpoint of a run."""

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
    """Tests the run in `--workdir`; prints the accuracies and writes them to its directory.

    `program` is the name in help texts and warnings. InputError for a directory without a
    checkpoint, an override that doesn't fit the stored config, a data set that can't be read, and
    a folder that the result can't be written to.
    """
    workdir, overrides, out = flags.parse_eval(distributed.start(argv), program)
    run = checkpoint.load_run(workdir)
    checks.check_test_keys(run.config, overrides)
    # A stored list may have moved since the training run; another one on the command line is fine.
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
    # Before the data set is opened, which may take minutes the first time.
    evaluate.check_fits(run.variables, build.abstract_variables(config))
    # The first process may have to prepare the data set; the others then find it on the disk.
    source = distributed.first_then_others(lambda: build.source(config, "test"))
    difference = labels.differing_labels(run.label_names, source.label_names)
    if difference and jax.process_index() == 0:
        print(f"{program}: warning: {difference}; the accuracies mean little", file=sys.stderr)
    evaluation = evaluate.run(
        build.model(config),
        run.variables,
        source,
        build.protocol(config.test),
        eval_settings(config),
    )
    if jax.process_index() == 0:
        # Converted weights may have no names of classes.
        label_names = run.label_names or source.label_names
        conditions = result_conditions(config, run.step)
        # The figures come before the files: nothing that was computed is lost to a path.
        print(f"{workdir}, step {run.step}: {folder / 'test.json'}")
        print(results.summary("test", evaluation, label_names), flush=True)
        results.write(workdir, "test", evaluation, label_names, conditions, folder)
