"""`python -m jaxaction COMMAND ...`, also installed as the console script `jaxaction`."""

from jaxaction.runtime import early_interrupt


def cli() -> None:
    """The console script."""
    early_interrupt.install()
    from jaxaction.commands import cli as commands
    from jaxaction.commands import entry

    entry.run_main(commands.main)


if __name__ == "__main__":
    cli()
