"""A report as a tree of elements, from the standard library's HTML parser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = ("meta", "img")  # tags without an end tag


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    inside: list = field(default_factory=list)

    def all(self, tag: str, kind: str = "") -> "list[Node]":
        """Returns all elements of a tag (and class) inside this one."""
        elements = []
        for item in self.inside:
            if isinstance(item, Node):
                fits = item.tag == tag and (not kind or item.attributes.get("class") == kind)
                elements += ([item] if fits else []) + item.all(tag, kind)
        return elements

    def one(self, tag: str, kind: str = "") -> "Node":
        (element,) = self.all(tag, kind)
        return element

    def section(self, name: str) -> "Node":
        (element,) = [x for x in self.all("section") if x.attributes["id"] == name]
        return element

    @property
    def text(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.inside)

    def cells(self) -> list[list[str]]:
        """Returns the texts of a table's cells, row by row, without the head."""
        rows = self.one("tbody").all("tr")
        return [[x.text.strip() for x in row.inside if isinstance(x, Node)] for row in rows]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        self.open[-1].inside.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].inside.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def parse(path: Path) -> Node:
    """Returns the page; AssertionError if elements aren't nested properly."""
    parser = _Parser()
    parser.feed(path.read_text("utf-8"))
    parser.close()
    assert len(parser.open) == 1, parser.open[-1].tag
    return parser.open[0]
