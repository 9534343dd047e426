"""The only functions, classes and constants that a pickle's names lead to, by these names."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxaction.interop.torch_pickle.objects import (
    Dropped,
    Dtype,
    Inert,
    Mapping,
    NumpyDtype,
    Storage,
    StorageKind,
    Tensor,
    Value,
)


class NumpyArray(Value):
    """A numpy array: made empty, filled by its BUILD."""

    def __init__(self, *_):
        super().__init__(Dropped("numpy.ndarray"))

    def __setstate__(self, state):
        _version, shape, dtype, is_fortran, data = state
        self.value = numpy_array(data, dtype, shape, "F" if is_fortran else "C").value


def numpy_array(data: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Value:
    """Returns the bytes `data` as an array of exactly this shape; Dropped if not of numbers."""
    if not isinstance(dtype, NumpyDtype) or not dtype.numpy or not isinstance(data, BYTES):
        return Value(Dropped("numpy.ndarray"))
    return Value(np.frombuffer(data, dtype.numpy).reshape(shape, order=order))


def numpy_scalar(dtype: NumpyDtype, data: bytes | str = b"") -> Value:
    """Returns one number; Dropped if it is something else. Python 2 wrote its bytes as a str."""
    if not dtype.numpy:
        return Value(Dropped("numpy.generic"))
    (number,) = np.frombuffer(to_bytes(data), dtype.numpy)
    return Value(number)


def to_bytes(data: bytes | str = b"", encoding: str = "latin1") -> bytes:
    """Returns the bytes that protocols below 3 write as a str of their code points."""
    if isinstance(data, str) and encoding in ("latin1", "latin-1"):
        return data.encode("latin1")
    if isinstance(data, BYTES):
        return data
    raise ValueError(f"bytes made of {type(data).__name__}")


def mapping(pairs: Any = ()) -> Mapping:
    """Returns the items of an OrderedDict or Counter, from pairs or a dict."""
    made = Mapping()
    for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
        made[quickly_hashed(key)] = value
    return made


def default_mapping(_factory: Any = None, pairs: Any = ()) -> Mapping:
    """Returns a defaultdict without its default."""
    return mapping(pairs)


def unique(items: Any = ()) -> set:
    """Returns a set; a frozenset too is one, as nothing but a key needs it frozen."""
    return set(map(quickly_hashed, items))


def quickly_hashed(key: Any) -> Any:
    """Returns the key; ValueError for a tuple whose hash isn't paid for by counting keys."""
    if isinstance(key, frozenset) or (isinstance(key, tuple) and not is_short(key)):
        raise ValueError("a long or nested tuple as a key")
    return key


def is_short(key: tuple) -> bool:
    """Whether the tuple has at most 16 items and none of them more."""
    return len(key) <= 16 and not any(isinstance(item, tuple | frozenset) for item in key)


def device(kind: str, index: int | None = None) -> str:
    """Returns "cpu" or "cuda:0"."""
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise ValueError("a device that is no name and number")
    return kind if index is None else f"{kind}:{index}"


def tensor_v1(storage, offset, shape, strides) -> Tensor | Value:
    """`torch._utils._rebuild_tensor`, PyTorch up to 0.3."""
    return tensor_v2(storage, offset, shape, strides)


def tensor_v2(storage, offset, shape, strides, grad=False, hooks=(), flags=None) -> Tensor | Value:
    """`torch._utils._rebuild_tensor_v2`, PyTorch from 0.4."""
    return tensor_v3(storage, offset, shape, strides, grad, hooks, storage.dtype, flags)


def tensor_v3(storage, offset, shape, strides, _grad, _hooks, dtype, flags=None) -> Tensor | Value:
    """`torch._utils._rebuild_tensor_v3`, for dtypes that have no class of storages.

    Dropped if numpy has no such dtype, or if `flags` say that the values are to be conjugated or
    negated.
    """
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    if not isinstance(dtype, Dtype) or flags:
        return Value(Dropped("torch.Tensor"))
    return Tensor(storage, dtype, offset, tuple(shape), tuple(strides))


def tensor_with_attributes(function: Any, _class: Any, args: tuple, _attributes: Any) -> Any:
    """`torch._tensor._rebuild_from_type_v2`: a Buffer, or a tensor that was given attributes."""
    return function(*args)


def parameter(tensor: Any, *_) -> Any:
    """`torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`."""
    return tensor


BYTES = bytes | bytearray
FUNCTIONS: dict[str, Callable] = {
    "_codecs.encode": to_bytes,
    "builtins.bytearray": to_bytes,
    "builtins.bytes": to_bytes,
    "builtins.complex": complex,
    "builtins.frozenset": unique,
    "builtins.set": unique,
    "collections.Counter": mapping,
    "collections.OrderedDict": mapping,
    "collections.defaultdict": default_mapping,
    "numpy._core.multiarray._reconstruct": NumpyArray,
    "numpy._core.multiarray.scalar": numpy_scalar,
    "numpy._core.numeric._frombuffer": numpy_array,
    "numpy.core.multiarray._reconstruct": NumpyArray,
    "numpy.core.multiarray.scalar": numpy_scalar,
    "numpy.core.numeric._frombuffer": numpy_array,
    "numpy.dtype": NumpyDtype,
    "torch.Size": tuple,
    "torch._tensor._rebuild_from_type_v2": tensor_with_attributes,
    "torch._utils._rebuild_parameter": parameter,
    "torch._utils._rebuild_parameter_with_state": parameter,
    "torch._utils._rebuild_tensor": tensor_v1,
    "torch._utils._rebuild_tensor_v2": tensor_v2,
    "torch._utils._rebuild_tensor_v3": tensor_v3,
    "torch.device": device,
}
DTYPES = {
    name: Dtype(f"torch.{name}", code, itemsize)
    for name, code, itemsize in (
        ("bfloat16", "bfloat16", 2),
        ("bool", "b1", 1),
        ("complex128", "c16", 16),
        ("complex64", "c8", 8),
        ("float16", "f2", 2),
        ("float32", "f4", 4),
        ("float64", "f8", 8),
        ("int16", "i2", 2),
        ("int32", "i4", 4),
        ("int64", "i8", 8),
        ("int8", "i1", 1),
        ("uint16", "u2", 2),
        ("uint32", "u4", 4),
        ("uint64", "u8", 8),
        ("uint8", "u1", 1),
    )
}
STORAGES = {
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "QInt32Storage": "int32",
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "ShortStorage": "int16",
    "UntypedStorage": "uint8",
}
CONSTANTS: dict[str, Inert] = {dtype.name: dtype for dtype in DTYPES.values()} | {
    f"{module}.{name}": StorageKind(DTYPES[dtype])
    for module in ("torch", "torch.cuda", "torch.storage")
    for name, dtype in STORAGES.items()
}
