"""Stores the config of a run's directory, and refuses a run of another config there."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from jaxaction.config import paths, stored
from jaxaction.errors import InputError
from jaxaction.version import VERSION

NAME = "config.json"

# A resumed run may change these keys, and all keys of `val` and `test`: they change neither batches
# nor steps. `train.epochs` also moves `optim.decay_epochs`, which is not in the list.
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
    """Raises InputError if the directory contains a run of another config; names differing keys.

    `kept` is the config of the newest good checkpoint. If there is none (None), no work can be
    lost, and another config may take the directory. A `config.json` of another program is never
    overwritten.
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
        # It follows `train.epochs`, so a user who makes a run longer has not set it.
        follower = "optim.decay_epochs"
        keep = f", or --config.{follower}={old.get(follower)}" if differing == [follower] else ""
        raise InputError(
            f"{workdir} contains a run of another config: {shown}{more}{_newer(kept.version)};"
            f" give another --workdir{keep}"
        )


def claim(workdir: str, config: ConfigDict) -> None:
    """Writes `config.json`, which makes the directory that of this config.

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
        raise InputError(f"{path} is not the config of a run; give another --workdir")


def read_config(workdir: str) -> ConfigDict | None:
    """Returns the config of a run's `config.json`, with paths to where files are now.

    None if there is no such file. OSError or ValueError if it can't be read.
    """
    path = Path(workdir) / NAME
    if not path.is_file():
        return None
    kept = stored.from_json(json.loads(path.read_text()))
    paths.relocate(kept.config, workdir, kept.workdir)
    return kept.config


def _comparable(config: ConfigDict) -> dict[str, object]:
    """Returns all values by their dotted keys; a key that the config lacks has its default."""
    # The detour through JSON adds the defaults.
    return _flat(stored.to_dict(stored.from_json(stored.to_dict(config)).config))


def _agree(key: str, old: object, new: object) -> bool:
    """Returns whether a run may continue with the new value."""
    if old == new or key in MAY_CHANGE or key.startswith(("val.", "test.")):
        return True
    return key in paths.KEYS and bool(old and new) and paths.same_file(str(old), str(new))


def _newer(version: str) -> str:
    if stored.number(version) <= stored.number(VERSION):
        return ""
    return f" (version {version} wrote it, this is {VERSION}: upgrade jaxaction)"


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
