"""A run's directory belongs to one config: stores it, and refuses a run of another config."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxaction.config import paths, stored
from jaxaction.errors import InputError
from jaxaction.version import VERSION

NAME = "config.json"

# A resumed run may change these keys, and all of `val` and `test`: they alter neither the batches
# nor what a step does. `train.epochs` also moves `optim.decay_epochs`, which is not in the list.
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


def check(workdir: str, config: ConfigDict, kept: stored.StoredConfig | None = None) -> None:
    """Raises InputError, naming the first differing keys, if another config's run lives there.

    `kept` is the config of its newest good checkpoint. Without a finished checkpoint (None) nothing
    can be lost, but a `config.json` of another program is never overwritten.
    """
    if kept is None:
        _check_is_a_runs(Path(workdir) / NAME, stored.to_dict(config).keys())
        return
    there = kept.config.copy_and_resolve_references()
    paths.relocate(there, workdir, kept.workdir)
    old, new = _comparable(there), _comparable(config)
    differing = [key for key in sorted(old | new) if not _agree(key, old.get(key), new.get(key))]
    if differing:
        shown = ", ".join(f"{k} {old.get(k)!r} there, {new.get(k)!r} now" for k in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        follower = "optim.decay_epochs"  # of train.epochs, in a schedule that ends with the run
        keep = f", or --config.{follower}={old.get(follower)}" if differing == [follower] else ""
        raise InputError(
            f"{workdir} holds a run of another config: {shown}{more}{_newer(kept.version)};"
            f" give another --workdir{keep}"
        )


def claim(workdir: str, config: ConfigDict) -> None:
    """Makes the directory this config's: writes its `config.json`.

    InputError if it can't be written.
    """
    text = json.dumps(stored.to_json(config, workdir), indent=1)
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


def read_config(workdir: str) -> ConfigDict | None:
    """The config of a run's `config.json`, its paths where their files are now; None without one.

    OSError or ValueError for a file that can't be read.
    """
    path = Path(workdir) / NAME
    if not path.is_file():
        return None
    kept = stored.from_json(json.loads(path.read_text()))
    paths.relocate(kept.config, workdir, kept.workdir)
    return kept.config


def _comparable(config: ConfigDict) -> dict[str, Any]:
    """Every value by its dotted key; a key that the config lacks has its default."""
    return _flat(stored.to_dict(stored.from_json(stored.to_dict(config)).config))


def _agree(key: str, old: Any, new: Any) -> bool:
    """Whether a run goes on with the new value."""
    if old == new or key in MAY_CHANGE or key.startswith(("val.", "test.")):
        return True
    return key in paths.KEYS and bool(old and new) and paths.same_file(old, new)


def _newer(version: str) -> str:
    if stored.number(version) <= stored.number(VERSION):
        return ""
    return f" (version {version} wrote it, this is {VERSION}: upgrade jaxaction)"


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
