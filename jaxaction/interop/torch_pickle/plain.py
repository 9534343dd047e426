"""Turns what a pickle built into plain containers and numpy arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxaction.interop.torch_pickle.objects import (
    Dropped,
    Dtype,
    KnownFunction,
    Placeholder,
    Storage,
    StorageKind,
    Tensor,
    Value,
)


class Arrays:
    """Makes arrays of storages' bytes: each storage is read once, when it is first needed.

    `fetch(key)` returns a storage's bytes, `order` is their byte order, "<" or ">".
    `max_bytes` is how large all tensors together may be: one with strides of 0 can be larger than
    any file, and whoever copied it would run out of memory.
    """

    def __init__(self, fetch: Callable[[str], bytes], order: str, max_bytes: int):
        self._fetch, self._order, self._bytes_left = fetch, order, max_bytes
        self._values: dict[tuple[str, str], np.ndarray] = {}

    def storage(self, storage: Storage, dtype: Dtype) -> np.ndarray:
        """Returns the storage's values, read as `dtype`, as an array of one dimension.

        ValueError if the file has fewer.
        """
        if (storage.key, dtype.code) not in self._values:
            data = self._fetch(storage.key)
            self._values[storage.key, dtype.code] = _decoded(data, dtype, self._order)
        values = self._values[storage.key, dtype.code]
        start = storage.start * storage.dtype.itemsize // dtype.itemsize
        stop = start + storage.numel * storage.dtype.itemsize // dtype.itemsize
        if not 0 <= start <= stop <= len(values):
            raise ValueError(f"values {start} to {stop} of storage {storage.key[:20]}")
        return values[start:stop]

    def tensor(self, tensor: Tensor) -> np.ndarray:
        """Returns a view of its storage's values; ValueError if it reaches beyond them."""
        values = self.storage(tensor.storage, tensor.dtype)
        if any(n < 0 for n in (tensor.offset, *tensor.shape, *tensor.strides)):
            raise ValueError("a negative offset, size or stride")
        array = np.ndarray(
            tensor.shape,
            values.dtype,
            buffer=values,
            offset=tensor.offset * values.itemsize if 0 not in tensor.shape else 0,
            strides=[stride * values.itemsize for stride in tensor.strides],
        )
        self._bytes_left -= array.nbytes
        if self._bytes_left < 0:
            raise ValueError("tensors far larger than the file")
        return array


class Plain:
    """Turns objects into what they stand for, each once, so that shared ones stay shared."""

    def __init__(self, arrays: Arrays):
        self._arrays = arrays
        self._converted_values: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if id(value) not in self._converted_values:
            self._converted_values[id(value)] = self._convert(value)
        return self._converted_values[id(value)]

    def _convert(self, value):
        match value:
            case Value():
                return value.value
            case Tensor():
                return self._arrays.tensor(value)
            case Storage():
                return self._arrays.storage(value, value.dtype)
            case Dtype():
                return value.name
            case StorageKind():
                return Dropped(f"torch.storage of {value.dtype.name}")
            case KnownFunction() | Placeholder() | type():
                return Dropped(value.name)
            case list() | dict() | tuple() | set() | frozenset():
                return self._container(value)
        return value

    def _container(self, value):
        """A list or dict is in `_converted_values` before its items, which may hold it in turn."""
        if isinstance(value, list):
            self._converted_values[id(value)] = items = []
            items.extend(map(self, value))
        elif isinstance(value, dict):
            self._converted_values[id(value)] = items = {}
            items.update((self._key(key), self(item)) for key, item in value.items())
        elif isinstance(value, tuple):
            items = tuple(map(self, value))
        else:
            items = type(value)(map(self._key, value))
        return items

    def _key(self, value):
        key = self(value)
        return Dropped("unhashable") if isinstance(key, np.ndarray) else key


def _decoded(data: bytes, dtype: Dtype, order: str) -> np.ndarray:
    """Returns the bytes as this machine's numbers; bfloat16 are a float32's upper halves."""
    count = len(data) // dtype.itemsize
    if dtype.code == "bfloat16":
        wide = np.frombuffer(data, f"{order}u2", count).astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    values = np.frombuffer(data, np.dtype(dtype.code).newbyteorder(order), count)
    return values.astype(dtype.code, copy=False)
