"""Docstrings, comments, test names and pages are plain English: no banned opening or phrase."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.paths import ROOT

# A sentence that begins like this has its subject late, or none. A question may begin with "What".
BANNED_OPENINGS = (
    r"What\b(?![^.!?]*\?)",
    r"Of\b(?! course\b)",
    r"Those\b",
    r"That which\b",
)
# "a training" needs a noun, with at most two words between: "a training step", "a training video's
# name", but not "a training that sets".
_NOUNS = (
    "accuracy|batch|checkpoint|clip|code|command|config|data|epoch|example|feature|file|frame|job|"
    "label|list|loader|loop|loss|mode|network|option|pipeline|process|program|recipe|record|run|"
    "sample|script|session|set|source|split|state|step|time|transform|video"
)
_BETWEEN = r"(?!(?:after|at|before|by|for|from|in|is|of|on|sets|that|to|was|which|with)\b)[\w-]+"
BANNED_PHRASES = (
    r"\banew\b",
    r"\bin the place of\b",
    r"\b(?:the|its|their|of|a) so far\b",  # a noun; "was read so far" and "the best so far" are not
    rf"\b[Aa] training\b(?![\s-]+(?:{_BETWEEN} ){{0,2}}(?:{_NOUNS})(?:e?s|'s)?\b)",
    r"\b[Tt]rainings\b",
    # MMAction2 has a name.
    r"\b[Tt]he reference\b(?! (?:batch|clip|count|figures?|frame|image|number|rate|values?)\b)",
)
_PHRASES = re.compile("|".join(BANNED_PHRASES))
# A sentence begins a paragraph, or follows the end of another; quotes or emphasis may be around it.
_START = r"(?:^|(?<=[.!?] )|(?<=[.!?][)\"*_`] ))[\"(*_]*"
_OPENINGS = re.compile(f"{_START}(?:{'|'.join(BANNED_OPENINGS)})")


class Text(NamedTuple):
    """A paragraph of prose: its words, each with its line in the file."""

    path: Path
    words: tuple[tuple[str, int], ...]
    is_heading: bool = False

    def __str__(self) -> str:
        return " ".join(word for word, _ in self.words)

    def line(self, position: int) -> int:
        """Returns the line of the file at a position of the text."""
        end = 0
        for word, number in self.words:
            end += len(word) + 1
            if position < end:
                return number
        return self.words[-1][1]


class Finding(NamedTuple):
    path: Path
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.words}"


def findings(text: Text) -> list[Finding]:
    """Returns the banned openings and phrases of a paragraph, with a few words after them.

    A heading is no sentence: it may begin with "What".
    """
    plain = str(text)
    openings = [] if text.is_heading else _OPENINGS.finditer(plain)
    return [
        Finding(
            text.path, text.line(match.start()), plain[match.start() : match.end() + 40].strip()
        )
        for match in [*openings, *_PHRASES.finditer(plain)]
    ]


def paragraphs(path: Path, lines: list[tuple[str, int]]) -> Iterator[Text]:
    """Yields the paragraphs among numbered lines; empty lines, headings and items end one."""
    words: list[tuple[str, int]] = []
    heading = False
    for line, number in [*lines, ("", 0)]:
        start = re.match(r"\s*(?:[-*]|\d+\.|#+)\s", line)
        if (start or heading or not line.strip()) and words:
            yield Text(path, tuple(words), heading)
            words = []
        heading = bool(start) and "#" in start[0]
        words += [(word, number) for word in line[start.end() if start else 0 :].split()]


def python_texts(path: Path, source: str) -> Iterator[Text]:
    """Yields the docstrings and comments of a module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(ast.Constant(str(docstring))):
                lines = enumerate(docstring.splitlines(), node.lineno)
                yield from paragraphs(path, _without_code([(line, i) for i, line in lines]))
    yield from paragraphs(path, _without_code(_comments(source)))


def names_of_tests(path: Path, source: str) -> Iterator[Text]:
    """Yields the names of a module's tests as sentences."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            name = node.name.removeprefix("test_").replace("_", " ")
            words = (name[:1].upper() + name[1:]).split()
            yield Text(path, tuple((word, node.lineno) for word in words))


def _comments(source: str) -> list[tuple[str, int]]:
    """Returns the comments of a module; those that don't follow one another are apart."""
    lines: list[tuple[str, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            number = token.start[0]
            alone = not token.line[: token.start[1]].strip()
            if not (alone and lines and lines[-1][1] == number - 1):
                lines.append(("", number))
            lines.append((token.string.lstrip("# "), number))
    return lines


def page_texts(path: Path, source: str) -> Iterator[Text]:
    """Yields the paragraphs of a Markdown page; each cell of a table is one."""
    lines = [(line, number) for number, line in enumerate(source.splitlines(), 1)]
    kept: list[tuple[str, int]] = []
    for line, number in _without_code(lines):
        if line.startswith("|"):
            kept += [(cell, number) for cell in line.replace("|", "\n\n").split("\n")]
        elif line.startswith("    ") and not (kept and kept[-1][0].strip()):
            kept.append(("", number))  # an indented block of code
        else:
            kept.append((line, number))
    yield from paragraphs(path, kept)


def _without_code(lines: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Returns the lines with fenced blocks and `>>>` examples blanked, and code spans as `x`."""
    kept, fenced, example = [], False, False
    for line, number in lines:
        fence = line.lstrip().startswith(("```", ":::"))
        fenced ^= fence
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        code = fence or fenced or example
        kept.append(("" if code else re.sub(r"``?[^`]*``?", "`x`", line), number))
    return kept


def prose() -> Iterator[Text]:
    """Yields all that is held against the rules."""
    modules = [*ROOT.glob("jaxaction/**/*.py"), *ROOT.glob("configs/*.py")]
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/api/*.md")]
    readers = [
        (python_texts, [*modules, ROOT / "train.py", ROOT / "eval.py"]),
        (names_of_tests, [*ROOT.glob("tests/**/test_*.py")]),
        (page_texts, [*pages, *ROOT.glob("examples/*.md")]),
    ]
    for read, paths in readers:
        for path in sorted(paths):
            yield from read(path, path.read_text("utf-8"))


def test_no_sentence_has_a_banned_opening_or_phrase():
    found = [finding for text in prose() for finding in findings(text)]
    if found:
        pytest.fail(f"{len(found)} findings:\n" + "\n".join(map(str, found)), pytrace=False)


BAD = (
    "What is not frozen gets a gradient.",
    "It is read. What is left is dropped.",
    'It is "done." Of these the first counts.',
    "Of a model, some layers are frozen.",
    "Those of the list.",
    "That which is given counts.",
    "Videos are encoded anew.",
    "A fresh one comes in the place of the old one.",
    "The mean of so far.",
    "It ends a training before its time.",
    "A training that sets a seed is repeatable.",
    "Two trainings differ.",
    "The logits agree with the reference.",
    "They are the reference's.",
)
GOOD = (
    "Returns what is not frozen.",
    "What does a config key mean? The table says it.",
    "Of course it is.",
    "The best so far is kept.",
    "How many frames have been read so far.",
    "A training run takes minutes.",
    "A training video's name, of a training clip, a training data set.",
    "A training or test split.",
    "The reference batch is 64 clips; see the references.",
    "Offers those of the list.",
)


def _found(words: str) -> list[Finding]:
    (text,) = paragraphs(ROOT / "page.md", [(words, 1)])
    return findings(text)


@pytest.mark.parametrize("words", BAD)
def test_a_bad_sentence_is_found_once(words):
    assert len(_found(words)) == 1


@pytest.mark.parametrize("words", GOOD)
def test_a_good_sentence_is_left_alone(words):
    assert not _found(words)


MODULE = '''
"""Reads videos. What can't be

read is left out.
"""
x = "Those of the list."  # Of these the first counts


def test_what_is_left_is_dropped():
    """Encodes
    anew.

    >>> "anew"
    """
    # It is good. That
    # which is not is `anew`.
'''
PAGE = """# What it costs

Nothing is done
anew; `anew` is code.

    an indented anew

| of | it |
|---|---|
| Those | Of the rest |

```python
"anew"
```
- Of an item
"""


def _places(texts) -> list[tuple[int, str]]:
    return sorted(
        (found.line, found.words.split()[0]) for text in texts for found in findings(text)
    )


def test_docstrings_comments_and_names_of_tests_are_read_and_other_strings_are_not():
    path = ROOT / "module.py"
    expected = [(2, "What"), (6, "Of"), (11, "anew."), (15, "That")]
    assert _places(python_texts(path, MODULE)) == expected
    assert _places(names_of_tests(path, MODULE)) == [(9, "What")]


def test_pages_are_read_without_their_code_and_tables_cell_by_cell():
    expected = [(4, "anew;"), (10, "Of"), (10, "Those"), (15, "Of")]
    assert _places(page_texts(ROOT / "page.md", PAGE)) == expected
