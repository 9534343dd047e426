"""Tests the newest checkpoint of a run under the protocol that is stored with it.

    python eval.py --workdir DIR [--config.key=value ...]

Needs the directory alone (and the data set). The command line overrides the stored
config, for another data set or another protocol. Prints the accuracies and writes them, with
the scores of every video, to DIR/eval/; an earlier result of another test is kept there.
"""

from jaxaction.runtime import early_interrupt

if __name__ == "__main__":
    early_interrupt.install()
    from jaxaction.commands import entry, eval

    entry.run_main(eval.main)
