"""`report.html`: a run in one file that a browser shows without a network.

A training run writes it at its end; `jaxaction report WORKDIR` writes it again. It needs the run's
directory, and the videos of the test for their pictures.
"""

from collections.abc import Callable
from pathlib import Path

from jaxaction.files import write_atomically
from jaxaction.report import contents, page

NAME = "report.html"


def write(workdir: str, log: Callable[[str], None]) -> None:
    """Writes the report at the end of a run; passes a line about success or failure to `log`.

    Raises nothing: the run's results are on the disk already, and the report only shows them.
    """
    try:
        log(f"report: {make(workdir)}")
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        log(f"no report ({reason}); `jaxaction report {workdir}` makes it")


def make(workdir: str) -> Path:
    """Writes `report.html` in a run's directory as a whole or not at all; returns its path.

    InputError if the directory contains no run, or can't be written.
    """
    path = Path(workdir) / NAME
    content = page.html(contents.read(workdir)).encode()
    write_atomically(path, lambda file: file.write(content))
    return path
