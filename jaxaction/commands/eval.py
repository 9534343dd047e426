"""`eval.py` and `jaxaction eval`: the test of a run's newest checkpoint."""

import sys

import jax

from jaxaction.config import build, checks, flags
from jaxaction.data import labels
from jaxaction.evaluation import evaluate, results
from jaxaction.runtime import distributed
from jaxaction.storage import checkpoint


def main(argv: list[str], program: str = "eval.py") -> None:
    """Tests what the flags name, prints the accuracies, and writes them to the run's directory."""
    workdir, overrides = flags.parse_eval(distributed.start(argv), program)
    run = checkpoint.load_run(workdir)
    checks.check_test_keys(run.config, overrides)
    config = flags.apply_overrides(run.config, overrides)
    build.set_precision(config)
    checks.check_numbers(config)
    evaluate.check_fits(run.variables, build.abstract_variables(config))
    source = distributed.first_then_others(lambda: build.source(config, "test"))
    difference = labels.differing_labels(run.label_names, source.label_names)
    if difference and jax.process_index() == 0:
        print(f"{program}: warning: {difference}; accuracies mean little", file=sys.stderr)
    found = evaluate.run(
        build.model(config),
        run.variables,
        source,
        build.protocol(config.test),
        evaluate.settings(config),
    )
    if jax.process_index() == 0:
        names = run.label_names or source.label_names
        about = evaluate.about(config, run.step)
        path = results.write(workdir, "test", found, names, about)
        print(f"{workdir}, step {run.step}: {path}")
        print(results.summary("test", found, names))
