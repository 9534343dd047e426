"""Reads an MMAction2 config file, 1.x or 0.x, without running it."""

import ast
import operator
import os
from pathlib import Path
from typing import Any, NoReturn

from jaxaction.errors import InputError

OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul}
WAY_OUT = "can't be read without running the file; write its value as a literal"


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the values of a config file by name, merged over those of its `_base_` files.

    Agrees with mmengine's `Config.fromfile`: a dict goes into the base's dict key by key, or in its
    place where it has `_delete_=True`; any other value replaces. The lines are `NAME = VALUE` or
    `NAME[KEY] = VALUE`. A value is a literal, a name assigned above, `dict(...)`, a dict's
    `.copy()`, `_base_.NAME`, or a sum or product of such values. InputError (a ValueError) names
    the file, the line and what else is there, and a base that is missing, leads back to its reader
    or shares a name with another base.
    """
    try:
        return _read(Path(path), ())
    except RecursionError:
        raise InputError(f"{path}: the file or its chain of _base_ is nested too deep") from None


def _read(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    """`readers` are the files on the way here, each a reader of the next as its `_base_`."""
    if os.path.realpath(path) in map(os.path.realpath, readers):
        circle = " -> ".join(map(str, (*readers, path)))
        raise InputError(f"_base_ leads back to the same file: {circle}; take one out")
    statements = _parse(path, readers)
    base = _read_bases(statements, path, readers)
    reader = _Reader(path, base)
    for statement in statements:
        reader.assign(statement)
    values = {name: value for name, value in reader.names.items() if not name.startswith("__")}
    return _merge(base, values, str(path))


def _parse(path: Path, readers: tuple[Path, ...]) -> list[ast.stmt]:
    who = f"{path}, a _base_ of {readers[-1]}" if readers else f"{path}"
    try:
        return ast.parse(path.read_bytes(), str(path)).body
    except FileNotFoundError:
        raise InputError(f"{who}: no such file") from None
    except OSError as error:
        raise InputError(f"{who}: can't be read ({error.strerror})") from error
    except (SyntaxError, ValueError, MemoryError) as error:
        raise InputError(f"{who}: not Python, {error}") from None


def _read_bases(
    statements: list[ast.stmt], path: Path, readers: tuple[Path, ...]
) -> dict[str, Any]:
    """The values of all bases together; a name is in one of them alone, as mmengine demands."""
    base_line = next((s for s in statements if _is_base(s)), None)
    files = [] if base_line is None else _Reader(path, {}).evaluate(base_line)
    files = [files] if isinstance(files, str) else files
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise InputError(f"{path}:{base_line.lineno}: _base_ is neither a path nor a list of paths")
    merged, origins = {}, {}
    for file in files:
        values = _read(path.parent / file, (*readers, path))
        for name in (name for name in values if name in origins):
            raise InputError(
                f"{path}:{base_line.lineno}: _base_ {origins[name]} and {file} both have {name}; "
                "take it out of one"
            )
        merged |= values
        origins |= dict.fromkeys(values, file)
    return merged


def _is_base(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign([ast.Name("_base_")]):
            return True
    return False


def _merge(base: dict, child: dict, where: str) -> dict:
    merged = dict(base)
    for key, value in child.items():
        if key not in base or not isinstance(value, dict):
            merged[key] = value
            continue
        inner = {name: item for name, item in value.items() if name != "_delete_"}
        if value.get("_delete_"):
            merged[key] = inner
        elif isinstance(base[key], dict):
            merged[key] = _merge(base[key], inner, f"{where}: {key}")
        else:
            raise InputError(
                f"{where}: {key} is a dict, but of type {type(base[key]).__name__} in the _base_; "
                "add _delete_=True to replace it"
            )
    return merged


class _Reader:
    """The names that a file has assigned so far, and the values of its bases."""

    def __init__(self, path: Path, base: dict[str, Any]):
        self.path = path
        self.base = base
        self.names: dict[str, Any] = {}

    def assign(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.Assign() if _is_base(statement):
                pass
            case ast.Assign([ast.Name(name)]):
                self.names[name] = self.evaluate(statement)
            case ast.Assign([ast.Subscript(ast.Name() as name, ast.Constant(key))]):
                value, owner = self.evaluate(statement), self.look_up(name)
                if not isinstance(owner, dict):
                    self.refuse(statement, "sets an item of what is no dict; write the value out")
                owner[key] = value
            case _:
                self.refuse(statement, "is no NAME = VALUE; only such lines can be read")

    def evaluate(self, statement: ast.Assign) -> Any:
        try:
            return self.value(statement.value)
        except (TypeError, OverflowError, MemoryError) as error:
            reason = str(error) or "out of memory"
            raise InputError(
                f"{self.path}:{statement.lineno}: {reason}; write a literal"
            ) from error

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(str() as text) if "{{" in text:
                self.refuse(node, "is a template; write its value as a literal")
            case ast.Constant(constant):
                return constant
            case ast.Name():
                return self.look_up(node)
            case ast.List(items):
                return [self.value(item) for item in items]
            case ast.Tuple(items):
                return tuple(self.value(item) for item in items)
            case ast.Dict(keys, values) if None not in keys:
                pairs = zip(keys, values, strict=True)
                return {self.value(key): self.value(value) for key, value in pairs}
            case ast.UnaryOp(ast.USub(), operand):
                return -self.value(operand)
            case ast.BinOp(left, symbol, right) if type(symbol) in OPERATORS:
                return OPERATORS[type(symbol)](self.value(left), self.value(right))
            case ast.Call(ast.Name("dict"), [], keywords):
                return self.dict_of(keywords)
            case ast.Call(ast.Attribute(owner, "copy"), [], []):
                return self.copied(owner)
            case ast.Attribute():
                return self.of_base(node)
        self.refuse(node, WAY_OUT)

    def look_up(self, node: ast.Name) -> Any:
        if node.id in self.names:
            return self.names[node.id]
        hint = f"_base_.{node.id}" if node.id in self.base else "its value"
        self.refuse(node, f"is a name that is not defined above; write {hint}")

    def dict_of(self, keywords: list[ast.keyword]) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for keyword in keywords:
            value = self.value(keyword.value)
            # Python's own call refuses a key that is there already and `**` of what is no dict.
            items = dict(**items, **(value if keyword.arg is None else {keyword.arg: value}))
        return items

    def copied(self, node: ast.expr) -> dict:
        value = self.value(node)
        if not isinstance(value, dict):
            self.refuse(node, "is no dict, of which alone .copy() can be read")
        return dict(value)

    def of_base(self, node: ast.Attribute) -> Any:
        """The value of `_base_.NAME`, or of `_base_.NAME.KEY` inside its dicts."""
        match node.value:
            case ast.Name("_base_"):
                owner = self.base
            case ast.Attribute():
                owner = self.of_base(node.value)
            case _:
                self.refuse(node, WAY_OUT)
        if not isinstance(owner, dict) or node.attr not in owner:
            self.refuse(node, "is not in the file's _base_; write its value as a literal")
        return owner[node.attr]

    def refuse(self, node: ast.stmt | ast.expr, rule: str) -> NoReturn:
        text = ast.unparse(node).splitlines()[0][:60]
        raise InputError(f"{self.path}:{node.lineno}: {text} {rule}")
