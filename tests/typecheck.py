"""How arguments and results are held against annotations while the tests run."""

import contextlib
import functools
from collections.abc import Callable, Iterator

from beartype import BeartypeConf, beartype

# An int is a float where a float is asked for, as in PEP 484.
_decorate = beartype(conf=BeartypeConf(is_pep484_tower=True))
_off = []


def check(function: Callable) -> Callable:
    """Decorates a function, or the checks that jaxtyping makes of one."""
    if isinstance(function, type):
        return _decorate(function)
    checked = _decorate(function)

    @functools.wraps(checked)
    def call(*args, **kwargs):
        return (function if _off else checked)(*args, **kwargs)

    return call


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Lets a test give values of a wrong type, which have an error message of their own."""
    _off.append(True)
    try:
        yield
    finally:
        _off.pop()
