"""The report as one HTML file that loads nothing: it contains its styles, script and pictures."""

import base64
import hashlib
import operator
from datetime import datetime
from importlib import resources

from jaxaction.config import flags
from jaxaction.evaluation.evaluate import Evaluation
from jaxaction.report import classes, confusion, curves, worst
from jaxaction.report.contents import Contents
from jaxaction.report.elements import Element, element, pairs, percent, text
from jaxaction.report.thumbnails import Thumbnails

MOST_UNREADABLE = 50  # ids that are listed


def html(contents: Contents) -> str:
    """Returns the whole page."""
    files = resources.files("jaxaction.report")
    style, script = ((files / name).read_text("utf-8") for name in ("page.css", "page.js"))
    head = [
        element("meta", {"charset": "utf-8"}),
        # A policy applies to the elements after it, so it comes before styles and scripts.
        element("meta", {"http-equiv": "Content-Security-Policy", "content": _policy(script)}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", {}, f"{contents.name}: {contents.result}"),
        element("style", {}, style),
    ]
    sections = _sections(contents)
    body = [_header(contents, sections), element("main", {}, *map(_section, sections))]
    body.append(element("script", {}, script))
    page = element("html", {"lang": "en"}, element("head", {}, *head), element("body", {}, *body))
    return f"<!DOCTYPE html>\n{text(page)}\n"


def _policy(script: str) -> str:
    """Returns a policy that forbids loading and all other scripts, even if a label were HTML."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    nothing = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"{nothing}; script-src 'sha256-{digest}'"


def _sections(contents: Contents) -> list[tuple[str, list[Element]]]:
    """Returns the titles and elements of the sections that aren't empty."""
    charts = curves.charts(contents.curves)
    sections = [("Curves", [element("div", {"class": "charts"}, *charts)] if charts else [])]
    test = contents.test
    if test:
        sections.append(("Worst videos", worst.section(contents, test, Thumbnails(contents, test))))
        if not test.multi_label:
            sections.append(("Confusion matrix", confusion.section(contents, test)))
        sections += [
            ("Classes", [classes.section(contents, test)]),
            ("Unreadable", _unreadable(test)),
        ]
    sections.append(("Run", _run(contents)))
    return [(title, inside) for title, inside in sections if inside]


def _header(contents: Contents, sections: list[tuple[str, list[Element]]]) -> Element:
    links = [element("a", {"href": f"#{_anchor(title)}"}, title) for title, _ in sections]
    lines = [element("p", {"class": "result"}, contents.result)]
    if contents.test:
        lines.append(element("p", {}, f"protocol: {_protocol(contents)}"))
    heading = element("h1", {}, contents.name)
    return element("header", {}, heading, *lines, element("nav", {"aria-label": "Parts"}, *links))


def _section(titled: tuple[str, list[Element]]) -> Element:
    title, inside = titled
    return element("section", {"id": _anchor(title)}, element("h2", {}, title), *inside)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _protocol(contents: Contents) -> str:
    return contents.record.get("protocol_line", "unknown")


def _unreadable(test: Evaluation) -> list[Element]:
    """Returns the ids of videos that the test left out."""
    names = test.unreadable
    if not names:
        return []
    sentence = f"{len(names)} videos could not be read and are left out of all figures"
    sentence += f"; the first {MOST_UNREADABLE}:" if len(names) > MOST_UNREADABLE else ":"
    items = [element("li", {}, name) for name in names[:MOST_UNREADABLE]]
    return [element("p", {}, sentence), element("ul", {}, *items)]


def _run(contents: Contents) -> list[Element]:
    """Returns the test's conditions, its data set, the versions and the config."""
    made = datetime.now().astimezone().isoformat(" ", "minutes")
    rows = [*_test_rows(contents), ("report made", made)]
    keys = flags.flatten(contents.config)
    values = [(key, repr(operator.attrgetter(key)(contents.config))) for key in keys]
    summary = element("summary", {}, f"{len(values)} values")
    return [
        pairs(rows, "Test"),
        element("h3", {}, "Config"),
        element("details", {}, summary, pairs(values, "Config")),
    ]


def _test_rows(contents: Contents) -> list[tuple[str, str]]:
    test, record = contents.test, contents.record
    if not test:
        return []
    conditions = record.get("about", {})
    step = str(conditions.get("step", "unknown"))
    rows = [("network", contents.config.model.name), ("step", step)]
    rows += [("protocol", _protocol(contents)), ("test videos", str(test.num_videos))]
    rows += [(f"data.{key}", str(value)) for key, value in contents.dataset.items() if value]
    figures = record.get("metrics", {}).items()
    rows += [(name, percent(value)) for name, value in figures if name != "num_videos"]
    rows += [("compute", str(conditions.get("compute", "")))]
    rows += [("devices", str(record.get("devices", "unknown")))]
    return rows + [(name, str(value)) for name, value in record.get("versions", {}).items()]
