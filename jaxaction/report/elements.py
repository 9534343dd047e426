"""HTML as a tree, so that the standard library escapes all labels and ids."""

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

Element = ElementTree.Element

# Characters that no HTML file may contain: control characters, and halves of surrogate pairs.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def element(tag: str, attributes: Mapping[str, object], *content: Element | str) -> Element:
    """Returns an element with these attributes, and with text and elements in the given order.

    >>> text(element("p", {"title": '"'}, "a < b ", element("b", {}, "&")))
    '<p title="&quot;">a &lt; b <b>&amp;</b></p>'
    """
    made = ElementTree.Element(tag, {name: str(value) for name, value in attributes.items()})
    for item in content:
        if not isinstance(item, str):
            made.append(item)
        elif len(made):
            # ElementTree keeps the text that follows an element in that element.
            made[-1].tail = (made[-1].tail or "") + item
        else:
            made.text = (made.text or "") + item
    return made


def text(tree: Element) -> str:
    """Returns the HTML; U+FFFD replaces characters that it can't contain."""
    # method="html": in HTML an empty <td/> would not end the cell.
    return _FORBIDDEN.sub("\ufffd", ElementTree.tostring(tree, "unicode", method="html"))


def table(
    attributes: Mapping[str, object], head: Iterable[Element], rows: Iterable[Element]
) -> Element:
    """Returns a table of header cells and rows, in a box that scrolls, also by the keyboard."""
    inside = element("thead", {}, element("tr", {}, *head)), element("tbody", {}, *rows)
    # Without tabindex no key reaches the box; a box that a key reaches needs a role and a name.
    box: dict[str, object] = {"class": "scroll", "tabindex": 0, "role": "region"}
    box |= {"aria-label": attributes["aria-label"]}
    return element("div", box, element("table", attributes, *inside))


def pairs(rows: Iterable[tuple[str, str]], caption: str) -> Element:
    """Returns a table with a name and a value in each row."""
    made = [
        element("tr", {}, element("th", {"scope": "row"}, name), element("td", {}, value))
        for name, value in rows
    ]
    head = (element("th", {"scope": "col"}, word) for word in ("what", "value"))
    return table({"class": "pairs", "aria-label": caption}, head, made)


def percent(share: float) -> str:
    """Returns a share of 1 as in `87.5 %`; a dash for NaN."""
    return f"{100 * share:.1f} %" if share == share else "\u2013"
