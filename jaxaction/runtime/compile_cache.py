"""Where XLA keeps compiled programs from one start of a script to the next."""

import os
from pathlib import Path

import jax


def keep_compiled_programs() -> None:
    """Makes XLA keep compiled programs in ~/.cache/jaxaction/xla, or JAX_COMPILATION_CACHE_DIR.

    If that folder can't be written, nothing is kept, since JAX would warn at every program.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxaction" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
