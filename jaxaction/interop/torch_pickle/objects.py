"""Stand-ins that the pickle of a checkpoint may build; none is a class of numpy or PyTorch.

Arrays are made of them once the pickle has ended (`plain`). Each has a `__setstate__` of its own,
so that no pickle sets attributes on it, and none has others that pickles use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMPY_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")


@dataclass(frozen=True)
class Dropped:
    """An object of a checkpoint that is not plain data: what is left is the name of its class."""

    name: str


class Unusable(Exception):
    """Why a file can't be used; the text goes on where the file's name ends."""

    @classmethod
    def running(cls, name: str) -> "Unusable":
        """The reason to refuse a file that names code, such as "posix.system"."""
        rule = "it is not a checkpoint of weights, get it from its authors again"
        return cls(f"would run {printable(name)}; {rule}")


def printable(text: str) -> str:
    """Returns the first 100 letters of a text from a file, escaped if they would break the line."""
    return text[:100] if text[:100].isprintable() else ascii(text[:100])


class Inert:
    """Something that BUILD cannot change: neither an object nor, called without one, its class."""

    __slots__ = ()

    def __setstate__(*_):
        pass


class Placeholder(Inert):
    """A class that is not looked up: swallows whatever a pickle does to it and its objects."""

    __slots__ = ()
    name = ""

    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)

    def __call__(self, *_args, **_kwargs):
        return self

    def __setitem__(self, key, value):
        pass

    def _swallow(*_):
        pass

    append = extend = add = _swallow


class KnownFunction(Inert):
    """A function of this project under the name that pickles have for it.

    A call first hands the lengths of its arguments to `pay`: a function's work is linear in them.
    """

    __slots__ = ("_function", "_pay", "name")

    def __init__(self, name: str, function: Callable, pay: Callable[[int], None]):
        self.name, self._function, self._pay = name, function, pay

    def __call__(self, *args):
        self._pay(sum(len(arg) for arg in args if hasattr(arg, "__len__")))
        return self._function(*args)


class Mapping(dict, Inert):
    """Any of Python's dicts that can have attributes, without them."""

    __slots__ = ()


class Value(Inert):
    """Holds what a pickle could change if it had it itself."""

    def __init__(self, value: Any):
        self.value = value


class NumpyDtype(Inert):
    """A dtype of numpy; its BUILD says the byte order."""

    def __init__(self, text: str, *_):
        self._text, self._order = text, "="

    def __setstate__(self, state):
        self._order = state[1]

    @property
    def numpy(self) -> np.dtype | None:
        """The dtype of a number or a bool; None for any other, such as objects and structs."""
        if self._text not in NUMPY_CODES or self._order not in ("<", ">", "=", "|"):
            return None
        return np.dtype(self._text).newbyteorder(self._order)


@dataclass(frozen=True, eq=False)
class Dtype(Inert):
    """A dtype of PyTorch; `code` is numpy's, or "bfloat16"."""

    name: str
    code: str
    itemsize: int


@dataclass(frozen=True, eq=False)
class StorageKind(Inert):
    """A class of PyTorch's storages, such as FloatStorage."""

    dtype: Dtype


@dataclass(frozen=True, eq=False)
class Storage(Inert):
    """`numel` values of `dtype`, from value `start` on of the checkpoint's storage `key`."""

    key: str
    dtype: Dtype
    start: int
    numel: int


@dataclass(frozen=True, eq=False)
class Tensor(Inert):
    """A view of a storage; offset and strides count values of `dtype`."""

    storage: Storage
    dtype: Dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
