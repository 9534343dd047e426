"""Saves and restores the checkpoints of a run, `WORKDIR/checkpoints/STEP`, with Orbax.

A checkpoint has the items `variables`, `optimizer` and `meta` (JSON: config, label names, protocol,
metrics, bad videos). If the config asks for them, it also has `averaged` (the moving average of
`variables`) and `statistics` (precise batch statistics for tests). A converted model has only
`variables` and `meta`. Restoring needs only the directory, on any number of devices and processes:
the step says which batch comes next. Older checkpoints have an item `data`, which is ignored.
"""

import dataclasses
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, cast

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from ml_collections import ConfigDict

from jaxaction.config import build, paths, stored
from jaxaction.config.stored import Json
from jaxaction.data import Protocol
from jaxaction.errors import InputError
from jaxaction.runtime import distributed, sharding
from jaxaction.storage import digests, disk
from jaxaction.train_state import TrainState

BEST = "best"  # a folder in a run's directory with the best weights; load_run reads it like a run


class Run(NamedTuple):
    """The parts of a checkpoint that evaluation and prediction need."""

    config: ConfigDict
    variables: dict[str, PyTree]  # {"params", "batch_stats"} for tests, replicated over all devices
    label_names: tuple[str, ...]
    protocol: Protocol  # of the test views
    step: int
    missing: dict[str, list[str]] = {}  # see `paths.Relocated`


def warn(text: str) -> None:
    """Prints a line on stderr."""
    print(text, file=sys.stderr)


def load_run(workdir: str, log: Callable[[str], None] = warn) -> Run:
    """Returns the newest good checkpoint of a run; `log` gets a line for each damaged one.

    InputError if the directory contains no good checkpoint.
    """
    if Path(workdir).is_file():
        raise InputError(
            f"{workdir} is a file, not a run's directory; `jaxaction convert` makes a directory of"
            " a file of weights"
        )
    step = newest_good(workdir, log)
    if step is None:
        raise InputError(
            f"{workdir} contains no checkpoint; give a directory that `jaxaction train` or"
            " `jaxaction convert` has written"
        )
    with _manager(workdir) as manager:
        meta = _restore(manager, step, meta=ocp.args.JsonRestore()).meta
        kept = stored.from_json(meta["config"])
        config, missing = kept.config, _relocate(kept, workdir, log)
        abstract = sharding.abstract(build.abstract_variables(config), sharding.device_mesh())
        items = {path.name for path in (_folder(workdir) / str(step)).iterdir()}
        variables = _eval_variables(manager, step, items, abstract)
    wanted = config.train.get("precise_bn_clips", 0)
    # A checkpoint without an optimizer contains weights for tests only, whose own statistics may
    # be precise already.
    if wanted and items & {"optimizer", "statistics"} == {"optimizer"}:
        log(
            f"checkpoint {step} has no precise batch statistics (train.precise_bn_clips), so the"
            " running averages of training are used"
        )
    protocol = Protocol(**stored.tuples(meta["protocol"]))
    return Run(config, variables, tuple(meta["label_names"]), protocol, step, missing)


def _relocate(
    kept: stored.StoredConfig, workdir: str, log: Callable[[str], None]
) -> dict[str, list[str]]:
    """Sets the config's paths to where their files are now; returns `Relocated.missing`."""
    relocated = paths.relocate(kept.config, workdir, kept.workdir)
    for key in paths.LISTS:
        if key in relocated.moved and kept.workdir:
            log(f"{key} has moved with the run: {relocated.moved[key]}")
    return relocated.missing


def _eval_variables(
    manager: ocp.CheckpointManager, step: int, items: set[str], abstract: dict[str, PyTree]
) -> dict[str, PyTree]:
    """Returns the variables for tests: averages and precise statistics if there are any."""
    name = "averaged" if "averaged" in items else "variables"
    variables = _restore(manager, step, **{name: ocp.args.StandardRestore(abstract)})[name]
    if "statistics" not in items:
        return variables
    args = ocp.args.StandardRestore({"batch_stats": abstract["batch_stats"]})
    return variables | _restore(manager, step, statistics=args).statistics


def save_run(
    workdir: str,
    config: ConfigDict,
    variables: dict[str, PyTree],
    label_names: tuple[str, ...],
    step: int = 0,
) -> None:
    """Saves only variables as a checkpoint, such as those of a converted model, for `load_run`.

    InputError if the directory contains a checkpoint already.
    """
    if steps(workdir):
        raise InputError(f"{workdir} contains a run already; give another directory")
    with Checkpoints(workdir, config, label_names, keep=1) as checkpoints:
        checkpoints.save_items(step, {}, variables=ocp.args.StandardSave(variables))


def steps(workdir: str) -> list[int]:
    """Returns the steps of all checkpoints of a run, also damaged ones, in rising order."""
    folders = [path for path in _folder(workdir).glob("[0-9]*") if path.is_dir()]
    # `007` and other spellings of a number are no folders of ours.
    return sorted(int(f.name) for f in folders if f.name.isdecimal() and str(int(f.name)) == f.name)


def newest_good(workdir: str, log: Callable[[str], None]) -> int | None:
    """Returns the step of the newest undamaged checkpoint; None if none was ever finished.

    `log` gets a line for each newer checkpoint that is damaged. InputError if all are damaged.
    """
    # All processes have to restore the same step, so the first one decides for all.
    newest = _newest_good(workdir, log) if jax.process_index() == 0 else None
    step = distributed.from_first(-1 if newest is None else newest)
    return None if step < 0 else step


def _newest_good(workdir: str, log: Callable[[str], None]) -> int | None:
    damages = []
    for step in reversed(steps(workdir)):
        damage = digests.find_damage(_folder(workdir) / str(step))
        if not damage:
            return step
        log(f"checkpoint {_folder(workdir) / str(step)} is not used: {damage}")
        damages.append(damage)
    if len(damages) > 1 or any(damage != digests.CUT_OFF for damage in damages):
        raise InputError(
            f"all checkpoints of {workdir} are damaged; restore one from a backup, or train in"
            " another --workdir"
        )
    return None  # a single one without digests: the run's first save was cut off


def check_resumable(workdir: str, step: int | None) -> None:
    """Raises InputError if the checkpoint contains only weights, as that of a converted model."""
    if step is not None and not (_folder(workdir) / str(step) / "optimizer").is_dir():
        raise InputError(
            f"{workdir} contains weights without an optimizer's state; train in another --workdir,"
            f" with --config.init_from={workdir}"
        )


def stored_config(workdir: str, step: int) -> stored.StoredConfig:
    """Returns the config of a good checkpoint."""
    with _manager(workdir) as manager:
        meta = _restore(manager, step, meta=ocp.args.JsonRestore()).meta
    return stored.from_json(meta["config"])


class Checkpoints:
    """The checkpoints of a training run, open for saving; a context manager that closes them."""

    def __init__(
        self, workdir: str, config: ConfigDict, label_names: tuple[str, ...], keep: int
    ) -> None:
        self.workdir = workdir
        self.keep = keep
        self._config, self._label_names = config, label_names
        self._meta = {
            "config": stored.to_json(config, workdir),
            "label_names": list(label_names),
            "protocol": dataclasses.asdict(build.protocol(config.test)),
        }
        self._manager = _manager(workdir, create=True)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.close()

    def save(
        self,
        state: TrainState,
        extra: dict[str, Json],
        statistics: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Saves the state; the JSON values `extra` are added to `meta`.

        `statistics` is the result of `precise_bn.statistics`. Returns once everything is on disk,
        since the next step donates the state's buffers.
        """
        others = {"averaged": state.averaged, "statistics": statistics}
        self.save_items(
            int(state.step),
            extra,
            **{name: ocp.args.StandardSave(tree) for name, tree in others.items() if tree},
            variables=ocp.args.StandardSave(state.variables),
            optimizer=ocp.args.StandardSave(state.opt_state),
        )

    def save_items(
        self, step: int, extra: dict[str, Json], **items: ocp.args.CheckpointArgs
    ) -> None:
        """Saves `meta` and `items`, then their digests; deletes all but the newest `keep`.

        InputError if the disk refuses to take it; the unfinished checkpoint is removed then.
        """
        meta = ocp.args.JsonSave(self._meta | extra)
        with disk.removed_on_failure(_folder(self.workdir) / str(step)):
            self._manager.save(step, args=ocp.args.Composite(meta=meta, **items), force=True)
            if jax.process_index() == 0:
                digests.write(_folder(self.workdir) / str(step))
        # Only now, so that there is a good checkpoint at any time. Orbax's own `max_to_keep` would
        # delete before the digests are written.
        for old in self._manager.all_steps()[: -self.keep]:
            self._manager.delete(old)

    def keep_best(self, step: int, variables: dict[str, PyTree], extra: dict[str, Json]) -> None:
        """Saves only `variables` in `WORKDIR/best`, a run's directory for tests and predictions.

        They replace the earlier ones.
        """
        # A resumed run repeats steps, and comes to the same best step with the same bits.
        folder = str(Path(self.workdir) / BEST)
        if distributed.from_first(int(_is_kept(folder, step))):
            return
        with Checkpoints(folder, self._config, self._label_names, keep=1) as kept:
            kept.drop_after(step - 1)
            kept.save_items(step, extra, variables=ocp.args.StandardSave(variables))

    def restore(self, step: int, abstract: TrainState) -> tuple[TrainState, dict[str, Json]]:
        """Returns the state at `step` and its `meta`.

        `abstract` has the shapes, and the shardings to restore into. Newer checkpoints are
        removed, since the run will repeat their steps.
        """
        averaged = {"averaged": ocp.args.StandardRestore(abstract.averaged)}
        restored = _restore(
            self._manager,
            step,
            **(averaged if abstract.averaged else {}),
            meta=ocp.args.JsonRestore(),
            variables=ocp.args.StandardRestore(abstract.variables),
            optimizer=ocp.args.StandardRestore(abstract.opt_state),
        )
        self.drop_after(step)
        count = jax.device_put(jax.numpy.int32(step), abstract.step.sharding)
        state = TrainState(step=count, opt_state=restored.optimizer, **restored.variables)
        averages = restored.get("averaged") or {}
        return dataclasses.replace(state, averaged=averages), restored.meta

    def drop_after(self, step: int) -> None:
        """Removes the checkpoints that are newer than `step`."""
        if jax.process_index() == 0:
            for newer in steps(self.workdir):
                if newer > step:
                    shutil.rmtree(_folder(self.workdir) / str(newer))
        distributed.wait("newer checkpoints are gone")
        self._manager.reload()  # Orbax keeps a list of the steps


def _is_kept(workdir: str, step: int) -> bool:
    return steps(workdir)[-1:] == [step] and not digests.find_damage(_folder(workdir) / str(step))


def _folder(workdir: str) -> Path:
    return Path(workdir).absolute() / "checkpoints"


def _manager(workdir: str, create: bool = False) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        create=create, cleanup_tmp_directories=create, enable_async_checkpointing=False
    )
    return ocp.CheckpointManager(_folder(workdir), options=options)


def _restore(
    manager: ocp.CheckpointManager, step: int, **items: ocp.args.CheckpointArgs
) -> ocp.args.Composite:
    # Orbax annotates the result of older arguments; for `Composite` it is another one.
    return cast(ocp.args.Composite, manager.restore(step, args=ocp.args.Composite(**items)))
