"""Trains one config, from its newest checkpoint on if the directory holds one.

    python train.py --config FILE[:VARIANT] [--workdir DIR] [--config.key=value ...]

Without --workdir the run goes to runs/<config>[-<variant>].
"""

import logging
import os
from pathlib import Path

import jax

from jaxaction import flags, loop


def keep_compiled_programs() -> None:
    """Has XLA keep what it compiles in ~/.cache/jaxaction/xla, or JAX_COMPILATION_CACHE_DIR."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(folder / "jaxaction" / "xla"))


def main(argv: list[str]) -> None:
    config, _, workdir = flags.parse_train(argv)
    keep_compiled_programs()
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax's and grain's remarks
    loop.train(config, workdir, log=lambda text: print(text, flush=True))


if __name__ == "__main__":
    flags.run_main(main)
