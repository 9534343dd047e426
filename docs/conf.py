"""The documentation site: `sphinx-build -W docs docs/_build/html` after installing `.[docs]`.

The notebooks in `examples/` are pages of it. They are Markdown (MyST), so that a change reads like
a change of any other page, and are executed at build, so that the outputs shown are those of this
code. jupyter-cache keeps outputs in `docs/_build/.jupyter_cache` until a code cell changes.
`-D nb_execution_mode=off` builds in seconds, with the notebooks' text and code alone.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from nbclient import NotebookClient
from sphinx.application import Sphinx

from jaxaction import __version__

ROOT = Path(__file__).resolve().parents[1]

# Sphinx only reads pages below docs/, so the notebooks are copied there (.gitignore names the
# copies). copy2 keeps their times, so an unchanged notebook isn't built again.
PAGES = ROOT / "docs" / "examples"
PAGES.mkdir(exist_ok=True)
for notebook in (ROOT / "examples").glob("*.md"):
    shutil.copy2(notebook, PAGES)

# Cells call `jaxaction` as a user would, also if sphinx-build's environment isn't active.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

project = "jaxaction"
author = "the jaxaction authors"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"jaxaction {release}"

nb_execution_mode = "cache"
nb_execution_timeout = 600  # seconds a cell; each notebook takes under a minute on two idle cores
nb_execution_raise_on_error = True
nb_merge_streams = True  # one box for a cell's stdout, not one a line
# IPython passes on the output of `%%bash` in pieces of 100 bytes, and MyST-NB (1.4) would break the
# line after each. nbclient joins them without a break.
NotebookClient.coalesce_streams = True

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"  # Float[Array, "n t h w c"] without the modules' names
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
python_display_short_literal_types = True
default_role = "code"  # docstrings say `name`, as Markdown does
smartquotes = False  # "name" is a value to type, quotes included


def escape_markup(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Has docstrings, which are plain text with `code`, read as reStructuredText.

    Outside of `code`, `*`, `|` and a final `_` would be markup. `>>>` examples stay as they are.
    """
    text = "\n".join(lines)
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*|\\]|_(?!\w))", r"\\\1", part) for part in parts[::2]]
    if ">>>" not in text:
        lines[:] = "".join(parts).split("\n")


def hide_linen_fields(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Leaves `parent` and `name`, which Linen adds to each module's fields, out of signatures."""
    if what == "class" and signature and ", parent: " in signature:
        signature = signature[: signature.index(", parent: ")] + ")"
    return signature, returns


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", escape_markup)
    app.connect("autodoc-process-signature", hide_linen_fields)
