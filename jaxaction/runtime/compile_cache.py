"""Where XLA keeps compiled programs from one start of a script to the next."""

import contextlib
import os
import re
import sys
import warnings
from pathlib import Path

import jax

# JAX's warnings about an entry that it can't read, and about one that it can't write. It goes on
# either way, but leaves a damaged entry where it is, so that every later start warns again.
_WARNING = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)"
)


def keep_compiled_programs() -> None:
    """Makes XLA keep compiled programs in ~/.cache/jaxaction/xla, or JAX_COMPILATION_CACHE_DIR.

    If that folder can't be written, nothing is kept, since JAX would warn at every program. Damaged
    entries of our own folder are replaced. A folder that is full is named once.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "jaxaction" / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or a user without a home folder
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        _handle_warnings(folder)


def _handle_warnings(folder: Path) -> None:
    show = warnings.showwarning
    told = []

    def show_others(message, category, filename, lineno, file=None, line=None):
        match = _WARNING.match(str(message))
        if not match:
            show(message, category, filename, lineno, file, line)
            return
        action, program, reason = match.groups()
        if action == "reading":  # JAX compiles it now, and writes an entry where none is
            for entry in folder.glob(f"{program}-*-cache"):
                with contextlib.suppress(OSError):
                    entry.unlink()
        elif not told:
            told.append(reason)
            print(f"compiled programs can't be kept in {folder} ({reason})", file=sys.stderr)

    warnings.showwarning = show_others
