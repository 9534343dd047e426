"""The checkpoints of a run, `WORKDIR/checkpoints/STEP`, saved and restored by Orbax.

A checkpoint has the items `variables`, `optimizer` and `meta` (JSON: config, label names, protocol,
metrics, bad videos); where the config asks for them, `averaged` (the moving average of `variables`)
and `statistics` (the precise ones of what tests are made with). A converted one has `variables` and
`meta` alone. Restoring needs nothing but the directory, on any number of devices and processes: the
place of the data follows from the step. Older checkpoints have an item `data`, which is left alone.
"""

import dataclasses
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from jaxaction.config import build, paths, stored
from jaxaction.data import Protocol
from jaxaction.errors import InputError
from jaxaction.runtime import distributed, sharding
from jaxaction.storage import digests, disk
from jaxaction.train_state import TrainState

BEST = "best"  # a folder in a run's directory with the best weights; load_run reads it like a run


class Run(NamedTuple):
    """What evaluation and prediction need of a run."""

    config: ConfigDict
    variables: dict  # {"params", "batch_stats"} for tests, replicated over this machine's devices
    label_names: tuple[str, ...]
    protocol: Protocol  # of the test views
    step: int
    missing: dict[str, list[str]] = {}  # paths of the config that lead nowhere, and where it looked


def warn(text: str) -> None:
    """Prints a line on stderr."""
    print(text, file=sys.stderr)


def load_run(workdir: str, log: Callable[[str], None] = warn) -> Run:
    """The newest good checkpoint of a run; a damaged one is named by `log` and passed over.

    InputError if the directory holds no good checkpoint.
    """
    if Path(workdir).is_file():
        raise InputError(f"{workdir} is a file; `jaxaction convert` makes a run's directory of it")
    step = newest_good(workdir, log)
    if step is None:
        raise InputError(
            f"{workdir} holds no checkpoint; `jaxaction train` and `jaxaction convert` write them"
        )
    with _manager(workdir) as manager:
        meta = _restore(manager, step, meta=ocp.args.JsonRestore()).meta
        kept = stored.from_json(meta["config"])
        config, missing = kept.config, _relocate(kept, workdir, log)
        abstract = sharding.abstract(build.abstract_variables(config), sharding.device_mesh())
        items = {path.name for path in (_folder(workdir) / str(step)).iterdir()}
        variables = _eval_variables(manager, step, items, abstract)
    wanted = config.train.get("precise_bn_clips", 0)
    if wanted and items & {"optimizer", "statistics"} == {"optimizer"}:
        log(
            f"checkpoint {step} has no precise statistics (train.precise_bn_clips); those of"
            " training are used"
        )
    protocol = Protocol(**stored.tuples(meta["protocol"]))
    return Run(config, variables, tuple(meta["label_names"]), protocol, step, missing)


def _relocate(
    kept: stored.StoredConfig, workdir: str, log: Callable[[str], None]
) -> dict[str, list[str]]:
    """Sets the config's paths to where their files are now, and says which have moved."""
    relocated = paths.relocate(kept.config, workdir, kept.workdir)
    for key in paths.LISTS:
        if key in relocated.moved and kept.workdir:
            log(f"{key} has moved with the run: {relocated.moved[key]}")
    return relocated.missing


def _eval_variables(
    manager: ocp.CheckpointManager, step: int, items: set[str], abstract: dict
) -> dict:
    """The variables for tests: averaged, with precise statistics, where the checkpoint has them."""
    name = "averaged" if "averaged" in items else "variables"
    variables = _restore(manager, step, **{name: ocp.args.StandardRestore(abstract)})[name]
    if "statistics" not in items:
        return variables
    args = ocp.args.StandardRestore({"batch_stats": abstract["batch_stats"]})
    return variables | _restore(manager, step, statistics=args).statistics


def save_run(
    workdir: str, config: ConfigDict, variables: dict, label_names: tuple[str, ...], step: int = 0
) -> None:
    """Stores variables alone as a checkpoint, such as a converted model's; `load_run` reads it.

    InputError if the directory holds a checkpoint already.
    """
    if steps(workdir):
        raise InputError(f"{workdir} holds a run already; give another directory")
    with Checkpoints(workdir, config, label_names, keep=1) as checkpoints:
        checkpoints.save_items(step, {}, variables=ocp.args.StandardSave(variables))


def steps(workdir: str) -> list[int]:
    """The steps of all checkpoints there, good or not, rising."""
    folders = [path for path in _folder(workdir).glob("[0-9]*") if path.is_dir()]
    # `007` and other spellings of a number are no folders of ours.
    return sorted(int(f.name) for f in folders if f.name.isdecimal() and str(int(f.name)) == f.name)


def newest_good(workdir: str, log: Callable[[str], None]) -> int | None:
    """The step of the newest undamaged checkpoint; None if none was ever finished.

    `log` gets one line for each newer one that is passed over. InputError if all are damaged.
    With several processes, the first one looks and tells the others.
    """
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
        raise InputError(f"no checkpoint of {workdir} is undamaged; train in another --workdir")
    return None  # one alone without digests: the run's first save was cut off


def check_resumable(workdir: str, step: int | None) -> None:
    """Raises InputError if the checkpoint is one of weights alone, as of a converted model."""
    if step is not None and not (_folder(workdir) / str(step) / "optimizer").is_dir():
        raise InputError(
            f"{workdir} holds weights without a training state; train in another --workdir,"
            f" with --config.init_from={workdir}"
        )


def stored_config(workdir: str, step: int) -> stored.StoredConfig:
    """The config of a good checkpoint."""
    with _manager(workdir) as manager:
        meta = _restore(manager, step, meta=ocp.args.JsonRestore()).meta
    return stored.from_json(meta["config"])


class Checkpoints:
    """The checkpoints of a training run, open for saving; close it, or use it in `with`."""

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

    def __exit__(self, *exception: Any) -> None:
        self._manager.close()

    def save(
        self, state: TrainState, extra: dict, statistics: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Saves the state; `extra` (JSON values) goes into `meta`.

        `statistics` is `precise_bn.statistics`' result. Returns once all is on disk, since the next
        step donates the state's buffers.
        """
        others = {"averaged": state.averaged, "statistics": statistics}
        self.save_items(
            int(state.step),
            extra,
            **{name: ocp.args.StandardSave(tree) for name, tree in others.items() if tree},
            variables=ocp.args.StandardSave(state.variables),
            optimizer=ocp.args.StandardSave(state.opt_state),
        )

    def save_items(self, step: int, extra: dict, **items: Any) -> None:
        """Saves items beside `meta`, then their digests; drops what is older than the last `keep`.

        Older ones go only now, so that there is a good checkpoint at any time. InputError if the
        disk can't take it; what was written of it is removed.
        """
        meta = ocp.args.JsonSave(self._meta | extra)
        with disk.removed_on_failure(_folder(self.workdir) / str(step)):
            self._manager.save(step, args=ocp.args.Composite(meta=meta, **items), force=True)
            if jax.process_index() == 0:
                digests.write(_folder(self.workdir) / str(step))
        for old in self._manager.all_steps()[: -self.keep]:
            self._manager.delete(old)

    def keep_best(self, step: int, variables: dict, extra: dict) -> None:
        """Keeps `variables` alone in `WORKDIR/best`, a run's directory for tests and predictions.

        They replace what is there. A run that goes on finds the same step's there already, with
        the same bits, and leaves them.
        """
        folder = str(Path(self.workdir) / BEST)
        if distributed.from_first(int(_is_kept(folder, step))):
            return
        with Checkpoints(folder, self._config, self._label_names, keep=1) as kept:
            kept.drop_after(step - 1)
            kept.save_items(step, extra, variables=ocp.args.StandardSave(variables))

    def restore(self, step: int, abstract: TrainState) -> tuple[TrainState, dict]:
        """The state at `step` and its `meta`.

        `abstract` has the shapes, and the shardings to restore into. Newer checkpoints are
        removed, since their steps are about to be taken again.
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
        return state.replace(averaged=restored.get("averaged") or {}), restored.meta

    def drop_after(self, step: int) -> None:
        """Removes the checkpoints that are newer than `step`."""
        if jax.process_index() == 0:
            for newer in steps(self.workdir):
                if newer > step:
                    shutil.rmtree(_folder(self.workdir) / str(newer))
        distributed.wait("newer checkpoints are gone")
        self._manager.reload()


def _is_kept(workdir: str, step: int) -> bool:
    return steps(workdir)[-1:] == [step] and not digests.find_damage(_folder(workdir) / str(step))


def _folder(workdir: str) -> Path:
    return Path(workdir).absolute() / "checkpoints"


def _manager(workdir: str, create: bool = False) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        create=create, cleanup_tmp_directories=create, enable_async_checkpointing=False
    )
    return ocp.CheckpointManager(_folder(workdir), options=options)


def _restore(manager: ocp.CheckpointManager, step: int, **items: Any) -> Any:
    return manager.restore(step, args=ocp.args.Composite(**items))
