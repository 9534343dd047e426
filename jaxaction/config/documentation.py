"""Reads the documentation of every config key from the source, and makes docs/config.md of it.

    python -m jaxaction.config.documentation > docs/config.md

A key of `defaults.py` is documented by the comment above or next to it. A key of `model` is a field
of a network's class; the docstring below the field documents it.
"""

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import flax.linen as nn
from ml_collections import ConfigDict, FieldReference

from jaxaction.config import defaults
from jaxaction.models import MODELS
from jaxaction.models.base import Recognizer

WIDTH = 100  # columns of the page

# For each section the functions of defaults.py that contain its keys. The first one that has a key
# documents it.
_FUNCTIONS = {
    "data": ("_data",),
    "train": ("_train",),
    "optim": ("_optim", "motions"),
    "val": ("_view", "motions"),
    "test": ("_view", "motions"),
    "": ("motions",),
}

# Fields of all networks that are no config keys: `compute` sets the first, `fold_batch_norm` the
# second, and Linen the others.
_NO_KEYS = ("dtype", "folded", "parent", "name")

_TITLES = {
    "data": "`data`: videos, and the clips that training sees",
    "train": "`train`: the run",
    "optim": "`optim`: optimizer and learning rate",
    "test": "`val` and `test`: views of a video",
    "model": "`model`: the network",
    "": "Keys without a section",
}

_INTRODUCTION = """\
Every key of a config, its default, and its meaning. Set keys on the command line
(`--config.train.epochs=10`) or in a config file. The defaults train a small network on `motions` on
a CPU; each config in `configs/` changes some of them, and `jaxaction zoo NAME` shows its values. An
empty text `''` or tuple `()` means that there is none. Sizes are (height, width) in pixels.

`python -m jaxaction.config.documentation > docs/config.md` writes this page. Its text comes from
`jaxaction/config/defaults.py` and, for `model`, from the classes in `jaxaction/models`."""

_MODEL_INTRODUCTION = """\
The fields of the network's class, with the class's defaults. A key that not all families of
`model.name` have names those that have it. The command line can set only the keys that the config
file sets; a config file of your own can set all of them."""


class Key(NamedTuple):
    """One config key; a key of `model` that families document in different words is several."""

    name: str  # "data.clip_len"
    defaults: Mapping[str, str]  # Python text {"": "16"}, for `model` by family; empty text: none
    text: str  # one line; empty: undocumented
    follows: str = ""  # of `val` and `test`: the key of `data` whose value is taken until it is set

    @property
    def section(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def families(self) -> tuple[str, ...]:
        """The families that have a key of `model`; empty for other keys."""
        return tuple(family for family in self.defaults if family)


def keys() -> list[Key]:
    """Returns every key, section by section; those of `model` last."""
    return [*default_keys(), *model_keys()]


def undocumented() -> list[str]:
    """Returns the keys without a text; a field of a model as `model.KEY (FAMILY, ...)`."""
    return [
        f"{key.name} ({', '.join(key.families)})" if key.families else key.name
        for key in keys()
        if not key.text
    ]


def default_keys() -> list[Key]:
    """Returns the keys of defaults.py, in the order in which they stand there."""
    config, comments = defaults.motions({}), key_comments(inspect.getsource(defaults))
    found = []
    for section, functions in _FUNCTIONS.items():
        items = (config[section] if section else config).items(preserve_field_references=True)
        values = {name: value for name, value in items if not isinstance(value, ConfigDict)}
        texts = {name: "" for name in values if not any((f, name) in comments for f in functions)}
        for function in functions:
            for (place, name), text in comments.items():
                if place == function and name in values:
                    texts.setdefault(name, text)
        found += [_default_key(section, name, values[name], text) for name, text in texts.items()]
    return found


def _default_key(section: str, name: str, value: object, text: str) -> Key:
    follows = ""
    if isinstance(value, FieldReference):
        value = value.get()
        if section in ("val", "test"):
            follows = f"data.{name}"
            text = text or f"As `{follows}`, which it follows until it is set."
    return Key(f"{section}.{name}" if section else name, {"": repr(value)}, text, follows)


def model_keys() -> list[Key]:
    """Returns the fields of all networks, in the order of the classes.

    A field that several families document in other words is one key for each text.
    """
    grouped: dict[tuple[str, str], dict[str, str]] = {}
    for family, model in MODELS.items():
        for field in dataclasses.fields(cast(type[Recognizer], model)):
            if field.name not in _NO_KEYS:
                place = (field.name, field_docstring(model, field.name))
                grouped.setdefault(place, {})[family] = _default(field)
    names = list(dict.fromkeys(name for name, _ in grouped))
    ordered = sorted(grouped.items(), key=lambda item: names.index(item[0][0]))
    choice = Key("model.name", {"": ""}, f"The family: {_listed(tuple(MODELS))}.")
    return [
        choice,
        *(Key(f"model.{name}", by_family, text) for (name, text), by_family in ordered),
    ]


def _default(field: dataclasses.Field) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
        return repr(dict(value) if isinstance(value, nn.FrozenDict) else value)
    return "" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


def field_docstring(model: type, name: str) -> str:
    """Returns the docstring below a field, from the first class in the MRO that has one."""
    for kind in model.__mro__:
        if kind.__module__.startswith("jaxaction") and name in inspect.get_annotations(kind):
            text = attribute_docstrings(textwrap.dedent(inspect.getsource(kind))).get(name, "")
            if text:
                return text
    return ""


def attribute_docstrings(source: str) -> dict[str, str]:
    """Returns the string below each annotated field of the first class in `source`, as one line."""
    kind = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    texts = {}
    for field, below in zip(kind.body, kind.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[field.target.id] = " ".join(str(below.value.value).split())
    return texts


def key_comments(source: str) -> dict[tuple[str, str], str]:
    """Returns the comment of each key of a dict, `{(function, key): text}`.

    It is the comment in the lines right above the key, then the one behind the value.
    """
    above, behind = _comments(source)
    texts = {}
    for function, key, last_line in _dict_keys(ast.parse(source)):
        lines, number = [], key.lineno - 1
        while number in above:
            lines.insert(0, above[number])
            number -= 1
        text = " ".join([*lines, *([behind[last_line]] if last_line in behind else [])])
        texts[function, key.value] = text
    return texts


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Returns comments by line number: those that have a line of their own, and the others."""
    above, behind = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            (above if alone else behind)[token.start[0]] = token.string.lstrip("# ").strip()
    return above, behind


def _dict_keys(module: ast.Module) -> Iterator[tuple[str, ast.Constant, int]]:
    """Yields (function, key, last line of its value) for each text key of a dict in a function."""
    for function in module.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield function.name, key, value.end_lineno or value.lineno


def page() -> str:
    """Returns docs/config.md."""
    by_section: dict[str, list[Key]] = {}
    for key in keys():
        by_section.setdefault(key.section, []).append(key)
    views = by_section.pop("val")
    parts = ["# Config keys", _INTRODUCTION]
    for section, title in _TITLES.items():
        parts.append(f"## {title}")
        if section == "test":
            parts.append(_views_introduction(views))
        if section == "model":
            parts.append(_MODEL_INTRODUCTION)
        parts.append("\n".join(_entry(key) for key in by_section[section] if not key.follows))
    return "\n\n".join(parts) + "\n"


def _views_introduction(keys_of_val: list[Key]) -> str:
    followers = [key.follows for key in keys_of_val if key.follows]
    names = tuple(name.partition(".")[2] for name in followers)
    return _fill(
        "`val` says how validations make views of a video, `test` how tests and predictions do."
        f" Both have {_listed(names)} as `data` has them, and follow `data` until they are set"
        " themselves. The keys below are the same in `val` and `test`, except `test.batch_size`."
    )


def _entry(key: Key) -> str:
    """Returns a key's item of the list, wrapped."""
    families = f" ({_families(key)})" if _families(key) else ""
    text = key.text or "undocumented."
    return _fill(f"- **`{key.name}`**{families}{_default_text(key)}: {text}", "  ")


def _families(key: Key) -> str:
    """Returns which families have the key, as briefly as possible; empty: all."""
    lacking = tuple(family for family in MODELS if family not in key.families)
    if not lacking or not key.families:
        return ""
    return f"all but {_listed(lacking)}" if len(lacking) < 3 else _listed(key.families)


def _default_text(key: Key) -> str:
    """Returns ` = DEFAULT`; of several defaults the commonest, then those of other families."""
    values = list(key.defaults.values())
    common = max(values, key=values.count)
    if not common:
        return ", no default"
    others = "".join(
        f"; `{value}` in {_listed(tuple(f for f in key.families if key.defaults[f] == value))}"
        for value in dict.fromkeys(values)
        if value != common
    )
    return f" = `{common}`{others}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    print(page(), end="")
