"""Whose run a directory holds: its config is kept there, and another config's run is refused."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxaction.config import stored
from jaxaction.errors import InputError

NAME = "config.json"

# What may change when a run goes on: it alters neither the parameters nor the batches. A schedule
# that ends with the run has its own key, `optim.decay_epochs`, which `train.epochs` moves along.
MAY_CHANGE = (
    "data.data_dir",
    "data.max_bad_share",
    "data.num_threads",
    "data.root",
    "train.checkpoint_every_steps",
    "train.epochs",
    "train.eval_every_epochs",
    "train.hang_seconds",
    "train.keep",
    "train.log_every_steps",
    "train.max_loss_factor",
)


def check(workdir: str, config: ConfigDict, kept: dict | None = None) -> None:
    """Raises InputError, naming the first differing keys, if another config's run lives there.

    `kept` is the config of its newest good checkpoint, as JSON values. A run that finished none
    has nothing to lose; but a `config.json` that is no run's is not written over.
    """
    new = stored.to_dict(config)
    if kept is None:
        _check_is_a_runs(Path(workdir) / NAME, new.keys())
        return
    old, new = _flat(kept), _flat(new)
    differing = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    differing = [key for key in differing if not _may_change(key)]
    if differing:
        shown = ", ".join(f"{k} {old.get(k)!r} there, {new.get(k)!r} now" for k in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        follower = "optim.decay_epochs"  # of train.epochs, in a schedule that ends with the run
        keep = f", or --config.{follower}={old.get(follower)}" if differing == [follower] else ""
        raise InputError(
            f"{workdir} holds a run of another config: {shown}{more}; give another --workdir{keep}"
        )


def claim(workdir: str, config: ConfigDict) -> None:
    """Makes the directory this config's: writes its `config.json`.

    InputError if it can't be written.
    """
    text = json.dumps(stored.to_dict(config), indent=1)
    temporary = Path(workdir) / f"{NAME}.tmp"
    try:
        (Path(workdir) / "checkpoints").mkdir(parents=True, exist_ok=True)
        temporary.write_text(text + "\n")
        temporary.rename(Path(workdir) / NAME)
    except OSError as error:
        raise InputError(
            f"{workdir} can't be written ({error.strerror}); give another --workdir"
        ) from error


def _check_is_a_runs(path: Path, sections: Iterable[str]) -> None:
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({error}); give another --workdir") from error
    if not isinstance(found, dict) or not found.keys() >= set(sections):
        raise InputError(f"{path} is no run's config; give another --workdir")


def _may_change(key: str) -> bool:
    return key in MAY_CHANGE or key.startswith(("val.", "test."))


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
