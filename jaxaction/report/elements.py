"""HTML as a tree, so that labels and ids are escaped by the standard library and not by hand."""

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

Element = ElementTree.Element

# What no HTML file may hold: control characters, and the halves of pairs that are no text.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def element(tag: str, attributes: Mapping[str, object], *content: Element | str) -> Element:
    """An element with these attributes, and with text and elements in their order.

    >>> text(element("p", {"title": '"'}, "a < b ", element("b", {}, "&")))
    '<p title="&quot;">a &lt; b <b>&amp;</b></p>'
    """
    made = ElementTree.Element(tag, {name: str(value) for name, value in attributes.items()})
    for item in content:
        if not isinstance(item, str):
            made.append(item)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + item
        else:
            made.text = (made.text or "") + item
    return made


def text(tree: Element) -> str:
    """The HTML; characters that it can't have are replaced."""
    return _FORBIDDEN.sub("\ufffd", ElementTree.tostring(tree, "unicode", method="html"))


def table(
    attributes: Mapping[str, object], head: Iterable[Element], rows: Iterable[Element]
) -> Element:
    """A table of header cells and rows, in a box of its own that scrolls, also by the keyboard."""
    inside = element("thead", {}, element("tr", {}, *head)), element("tbody", {}, *rows)
    box = {"class": "scroll", "tabindex": 0, "role": "region"}
    box |= {"aria-label": attributes["aria-label"]}
    return element("div", box, element("table", attributes, *inside))


def pairs(rows: Iterable[tuple[str, str]], caption: str) -> Element:
    """A table of names and what they stand for."""
    made = [
        element("tr", {}, element("th", {"scope": "row"}, name), element("td", {}, value))
        for name, value in rows
    ]
    head = (element("th", {"scope": "col"}, word) for word in ("what", "value"))
    return table({"class": "pairs", "aria-label": caption}, head, made)


def percent(share: float) -> str:
    """`87.5 %`; a dash where there is no number."""
    return f"{100 * share:.1f} %" if share == share else "\u2013"
