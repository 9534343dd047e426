"""`python -m jaxaction COMMAND ...`, also installed as the console script `jaxaction`."""

from jaxaction.commands import cli as commands
from jaxaction.commands import entry


def cli() -> None:
    """The console script."""
    entry.run_main(commands.main)


if __name__ == "__main__":
    cli()
