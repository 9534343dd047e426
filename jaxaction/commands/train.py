"""`train.py` and `jaxaction train`: trains a run, from its newest checkpoint on."""

from jaxaction.config import flags
from jaxaction.runtime import distributed
from jaxaction.training import loop


def main(argv: list[str], program: str = "train.py") -> None:
    """Trains the config that the flags name, and prints the test at the end."""
    config, _, workdir = flags.parse_train(distributed.start(argv), program)
    loop.train(config, workdir, log=lambda text: print(text, flush=True))
