"""Trains one config, from its newest checkpoint on if the directory holds one.

    python train.py --config FILE[:VARIANT] [--workdir DIR] [--config.key=value ...]

Without --workdir the run goes to runs/<config>[-<variant>]. The test at its end is written to
DIR/eval/, as by eval.py. Of several processes one says what happens; docs/scale.md starts them.
"""

from jaxaction.config import flags
from jaxaction.runtime import distributed
from jaxaction.training import loop


def main(argv: list[str]) -> None:
    config, _, workdir = flags.parse_train(distributed.start(argv))
    loop.train(config, workdir, log=lambda text: print(text, flush=True))


if __name__ == "__main__":
    flags.run_main(main)
