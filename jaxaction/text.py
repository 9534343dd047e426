"""Words and numbers as messages show them."""

from collections.abc import Iterable

SHOWN = 8  # names of each kind in a message of the command line


def first_few(names: Iterable[str], shown: int | None = SHOWN) -> str:
    """The first `shown` names (None: all), and how many more there are."""
    names = list(names)
    left = len(names[shown:]) if shown else 0
    return ", ".join(names[:shown]) + (f" and {left} more" if left else "")


def clock(seconds: float) -> str:
    """`2:10`, or `1:02:10` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
