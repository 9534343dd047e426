"""`jaxaction zoo NAME --copy FILE`: writes a config as one complete Python file."""

import copy
import functools
import json
import operator
import pprint
import textwrap
from typing import TypeAlias, cast

from ml_collections import ConfigDict

from jaxaction.config import flags
from jaxaction.config.recipes import Variant
from jaxaction.errors import InputError

Value: TypeAlias = bool | int | float | str | tuple  # all that a shipped config contains

# A raw docstring, so that the line below may end in a backslash, as a shell wants it.
_PAGE = '''r"""A copy of {name}, with every value written out, for you to change.

docs/config.md explains every key.

    jaxaction train --config {file} --workdir DIR{lists}
{source}"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Keys with `get_oneway_ref` take the value of another key until they are set themselves."""
{body}
'''
_LISTS = """ \\
        --config.data.train_file=train.txt --config.data.test_file=val.txt --config.data.root=DIR"""
# The order of the sections in the file; a config's further sections come after these.
_ORDER = ("model", "data", "optim", "train", "val", "test")
_WIDTH = 70  # columns of a tuple, so that its line stays below 100 with key and indent


def write(file: str, name: str, row: Variant | None, config: ConfigDict) -> None:
    """Writes the config called `name` to a new Python file.

    `row` is the config's row of `VARIANTS`, or None for a family's default. InputError for a file
    that exists already, that can't be written, or that has no name in .py.
    """
    if not file.endswith(".py"):
        raise InputError(f"--copy {file}: a config's file name ends in .py; write --copy {file}.py")
    text = _PAGE.format(
        name=name,
        file=file,
        lists=_LISTS if config.data.source == "annotations" else "",
        source=_source(row),
        body=_indent(_body(config)),
    )
    try:
        # "x" fails on an existing file, also on one that appeared a moment ago.
        with open(file, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"--copy {file}: it exists already; name another file") from None
    except OSError as error:
        raise InputError(f"--copy {file} can't be written ({error.strerror})") from error


def followers(config: ConfigDict) -> dict[str, str]:
    """Maps each key that follows another key to that key: {"test.clip_len": "data.clip_len", ...}.

    `ConfigDict` has no public way to list references. So each key in turn is changed in a copy, to
    see which other keys change with it.
    """
    keys = flags.flatten(config)
    before = {key: _value(config, key) for key in keys}
    targets = {}
    for key in keys:
        changed = copy.deepcopy(config)
        section, name = flags.find(changed, key)
        section[name] = _another(before[key])
        moved = [other for other in keys if _value(changed, other) != before[other]]
        targets |= {other: key for other in moved if other != key}
    return targets


def _value(config: ConfigDict, key: str) -> Value:
    return cast(Value, functools.reduce(operator.getitem, key.split("."), config))


def _another(value: Value) -> Value:
    """Returns another value of the same type, since a `ConfigDict` refuses other types."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "?"
    return (*value, 0) if isinstance(value, tuple) else value + 1


def _source(row: Variant | None) -> str:
    if row is None or not row.mmaction_name:
        return ""
    accuracy = f"It reached {row.top1:.2f} % top-1 there.\n" if row.top1 else ""
    return f"\nThe recipe is MMAction2's {row.mmaction_name}.\n{accuracy}"


def _body(config: ConfigDict) -> str:
    """Returns the statements of `get_config`. Sections that others refer to are variables there."""
    targets = followers(config)
    names = sorted(config, key=[*_ORDER, *config].index)
    # A reference needs the section that it refers to as a variable.
    first = [name for name in names if any(key.startswith(f"{name}.") for key in targets.values())]
    texts = {name: _literal(config[name], name, targets) for name in names}
    lines = [f"{name} = {_config_dict(texts[name])}" for name in first]
    everything = _braces({name: name if name in first else texts[name] for name in names})
    return "\n".join([*lines, f"return {_config_dict(everything)}"])


def _config_dict(braces: str) -> str:
    return f"ConfigDict(\n{_indent(braces)}\n)"


def _literal(value: Value | ConfigDict, key: str, targets: dict[str, str]) -> str:
    """Returns the Python expression for the value of `key`."""
    if key in targets:
        section, _, name = targets[key].rpartition(".")
        return f'{section}.get_oneway_ref("{name}")'
    if isinstance(value, ConfigDict):
        return _braces({name: _literal(value[name], f"{key}.{name}", targets) for name in value})
    # JSON, for the double quotes that ruff prefers.
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = pprint.pformat(value, width=_WIDTH, compact=True)
    # pprint indents by one for its bracket; ours stands on a line of its own, as ruff formats it.
    lines = text[1:-1].replace("\n ", "\n")
    return f"(\n{_indent(lines)},\n)" if "\n" in text else text


def _braces(entries: dict[str, str]) -> str:
    lines = (f'"{name}": {text},' for name, text in entries.items())
    return "{\n" + _indent("\n".join(lines)) + "\n}" if entries else "{}"


def _indent(text: str) -> str:
    return textwrap.indent(text, " " * 4)
