"""`report.html`: a run in one file that opens in a browser, without a network.

It is made from a run's directory, and from the test's videos for the pictures, at the end of a
training run and again by `jaxaction report WORKDIR`.
"""

from collections.abc import Callable
from pathlib import Path

from jaxaction.files import write_atomically
from jaxaction.report import contents, page

NAME = "report.html"


def write(workdir: str, log: Callable[[str], None]) -> None:
    """Writes the report at the end of a run; `log` gets a line, also if it can't be made.

    It raises nothing: the run's results have been written, and the report is only a view of them.
    """
    try:
        log(f"report: {make(workdir)}")
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        log(f"no report ({reason}); `jaxaction report {workdir}` makes it")


def make(workdir: str) -> Path:
    """Writes `report.html` in a run's directory, all of it or nothing; returns its path.

    InputError if the directory holds no run, or can't be written.
    """
    path = Path(workdir) / NAME
    content = page.html(contents.read(workdir)).encode()
    write_atomically(path, lambda file: file.write(content))
    return path
