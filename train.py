"""Trains one config, from its newest checkpoint on if the directory holds one.

    python train.py --config FILE[:VARIANT] [--workdir DIR] [--config.key=value ...]

Without --workdir the run goes to runs/<config>[-<variant>]. The test at its end is written to
DIR/eval/, as by eval.py. With several processes, the
first one prints; docs/scale.md shows how to start them.
"""

from jaxaction.runtime import early_interrupt

if __name__ == "__main__":
    early_interrupt.install()
    from jaxaction.commands import entry, train

    entry.run_main(train.main)
