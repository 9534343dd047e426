"""`train.py` and `jaxaction train`: start a training run, or continue it."""

from jaxaction.config import flags
from jaxaction.runtime import distributed
from jaxaction.training import loop


def main(argv: list[str], program: str = "train.py") -> None:
    """Trains the network of `--config`, and prints the result of the test at the end.

    `program` is the name in help texts. InputError for a mistake in the flags, the config or the
    data set, before any step.
    """
    config, _, workdir = flags.parse_train(distributed.start(argv), program)
    # Flushed, since a log file would otherwise get the lines of a long run in blocks, hours late.
    loop.train(config, workdir, log=lambda text: print(text, flush=True))
