"""SHA-256 of every file of a checkpoint, kept beside them.

Orbax restores an array with a flipped byte without an error (tried). These digests notice it.
"""

import hashlib
import json
import os
from pathlib import Path

NAME = "digests.json"
# The key of the step among the digests. No file has this name. Version 0.1.0 wrote no step.
_STEP = "/step"
CUT_OFF = f"{NAME} is missing, as where a save was cut off"


def write(folder: Path) -> None:
    """Writes the digests of all files under `folder`, as one file that is whole or absent.

    Its presence marks a complete save: a folder without it was cut off.
    """
    digests = {str(path.relative_to(folder)): _digest(path) for path in _files(folder)}
    digests[_STEP] = folder.name
    temporary = folder / f"{NAME}.tmp"
    with open(temporary, "w") as file:
        json.dump(digests, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / NAME)


def find_damage(folder: Path) -> str:
    """What is wrong with the folder, in a few words; empty if every file is as it was written."""
    if not (folder / NAME).is_file():
        return CUT_OFF
    name = NAME
    try:
        digests = json.loads((folder / NAME).read_text())
        if not isinstance(digests, dict) or not digests:
            return f"{NAME} is damaged"
        step = digests.pop(_STEP, folder.name)
        if step != folder.name:
            return f"it is the checkpoint of step {step}, under another name"
        for name, digest in digests.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if _digest(folder / name) != digest:
                return f"{name} is damaged"
    except ValueError:
        return f"{NAME} is damaged"
    except OSError as error:
        return f"{name} can't be read ({error.strerror})"
    return ""


def _files(folder: Path) -> list[Path]:
    names = (NAME, f"{NAME}.tmp")
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in names)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
