"""Reads text from a command line as the type that a config's value has."""

import ast
import math

from jaxaction.config.defaults import Value
from jaxaction.errors import InputError

_BOOLS = {"true": True, "1": True, "false": False, "0": False}


def parse(flag: str, text: str, current: Value | list) -> Value | list:
    """Returns `text` as the type of `current`.

    Tuples are written `(32,32)` or `32,32`; `()` and the empty text are the empty tuple. InputError
    names the flag, the text and the type.
    """
    # bool before int, since True is an int.
    if isinstance(current, (tuple, list)):
        return type(current)(_parse_tuple(flag, text, tuple(current)))
    if isinstance(current, bool):
        if text.lower() not in _BOOLS:
            raise InputError(f"{flag}={text}: not a truth value; write true or false")
        return _BOOLS[text.lower()]
    if isinstance(current, (int, float)):
        return _parse_number(flag, text, type(current))
    return text


def _parse_number(flag: str, text: str, kind: type) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        name = "a whole number" if kind is int else "a number"
        raise InputError(f"{flag}={text}: not {name}, as the config has it") from None
    if not math.isfinite(value):
        raise InputError(f"{flag}={text}: not a finite number")
    return value


def _parse_tuple(flag: str, text: str, current: tuple) -> tuple:
    """Returns a tuple whose elements have the type of the first element of `current`.

    If `current` is empty, nothing is known of the type, and the elements are as they are written.
    """
    inner = text.strip()
    if not inner or inner == "()":
        return ()
    if current and all(isinstance(value, str) for value in current):  # words without quotes
        words = inner.strip("()[]").split(",")
        return tuple(word.strip().strip("'\"") for word in words if word.strip())
    try:
        value = ast.literal_eval(inner)
    except (ValueError, SyntaxError):
        if current:
            raise InputError(f"{flag}={text}: not a tuple of numbers like (32,32)") from None
        # Words without quotes, which a shell would have removed.
        value = tuple(word.strip() for word in inner.split(","))
    value = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return tuple(_like(flag, text, element, current) for element in value)


def _like(flag: str, text: str, element: object, current: tuple) -> object:
    """Returns one element of a tuple; a whole number is accepted where the config has fractions."""
    if isinstance(element, (tuple, list)):
        return tuple(_like(flag, text, inner, ()) for inner in element)
    if not current or isinstance(current[0], (tuple, list)):
        return element
    kind = type(current[0])
    if kind is float and type(element) is int:
        return float(element)
    if type(element) is not kind:
        raise InputError(f"{flag}={text}: {element!r} is not of type {kind.__name__}")
    return element
