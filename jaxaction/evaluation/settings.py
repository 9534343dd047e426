"""The settings that an evaluation takes from the config of a run."""

from typing import NamedTuple

from ml_collections import ConfigDict


class EvalSettings(NamedTuple):
    """The settings of an evaluation besides its protocol; pixels on the scale 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int  # videos of all processes
    num_threads: int
    max_bad_share: float  # of the videos; 0 allows none, more allows at least one
    multi_label: bool = False  # each class has a probability of its own


def eval_settings(config: ConfigDict) -> EvalSettings:
    """The settings of a run's validations, tests and predictions."""
    section = config.data
    return EvalSettings(
        tuple(section.mean),
        tuple(section.std),
        config.test.batch_size,
        section.num_threads,
        section.max_bad_share,
        section.multi_label,
    )


def result_conditions(config: ConfigDict, step: int) -> dict:
    """Returns the conditions of a result besides its protocol, as JSON values.

    They are the data set, the step of the checkpoint, and the precision.
    """
    section = config.data
    kept = ("name", "test_split") if section.source == "tfds" else ("test_file", "root")
    dataset = {key: section[key] for key in ("source", *kept)}
    return {"dataset": dataset, "step": step, "compute": config.compute}
