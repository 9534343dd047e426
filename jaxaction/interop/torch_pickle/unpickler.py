"""An unpickler for which a name is a key of a table, never something to import."""

import pickle
from typing import Any, NamedTuple

from jaxaction.interop.torch_pickle import opcodes
from jaxaction.interop.torch_pickle.functions import CONSTANTS, FUNCTIONS
from jaxaction.interop.torch_pickle.names import runs_code
from jaxaction.interop.torch_pickle.objects import (
    Dtype,
    Inert,
    KnownFunction,
    Placeholder,
    Storage,
    StorageKind,
    Unusable,
)

MAX_NAME = 1000
NAME_COST = 1000  # bytes of memory, roughly, that a class takes
FREE_COST = 2**20


class Pickled(NamedTuple):
    """The value that a pickle built, and the dtypes of its storages by their keys."""

    value: Any
    dtypes: dict[str, Dtype]


def load(file: opcodes.ByteStream) -> Pickled:
    """Returns what the pickle at `file`'s position builds, and leaves `file` behind it.

    Its value is made of `objects` and of Python's own containers and numbers. Unusable if a name
    in it runs code; any other Exception if the pickle is malformed.
    """
    start = file.tell()
    opcodes.check_opcodes(file)
    end = file.tell()
    file.seek(start)
    reader = Unpickler(file, end - start)
    value = reader.load()
    file.seek(end)
    return Pickled(value, reader.dtypes)


class Unpickler(pickle.Unpickler):
    """Reads one pickle of this length; what its calls may cost in memory grows with it."""

    def __init__(self, file: opcodes.ByteStream, length: int):
        super().__init__(file, encoding="latin1")
        self.dtypes: dict[str, Dtype] = {}
        self._bytes_left = 8 * length + FREE_COST
        self._placeholders: dict[str, type[Placeholder]] = {}

    def find_class(self, module: str, name: str) -> Inert | type[Placeholder]:
        """Returns the table's entry or a Placeholder; Unusable if the name is of RUNS_CODE."""
        if len(module) + len(name) > MAX_NAME:
            raise ValueError(f"a name of more than {MAX_NAME} letters")
        stored_name = f"{module}.{name}"
        full_name = f"builtins.{name}" if module == "__builtin__" else stored_name
        if full_name in FUNCTIONS:
            return KnownFunction(full_name, FUNCTIONS[full_name], self._pay)
        if full_name in CONSTANTS:
            return CONSTANTS[full_name]
        if runs_code(full_name):
            raise Unusable.running(stored_name)
        if full_name not in self._placeholders:
            self._pay(NAME_COST)
            self._placeholders[full_name] = type("Placeholder", (Placeholder,), {"name": full_name})
        return self._placeholders[full_name]

    def persistent_load(self, pid: Any) -> Any:
        """Returns the storage that `pid` describes; for a module's source, the class beside it."""
        if pid[0] == "module":
            return pid[1]
        tag, kind, key, _device, numel, *view = pid
        if tag != "storage" or not isinstance(kind, StorageKind) or not isinstance(key, str):
            raise ValueError("an unknown kind of storage")
        self.dtypes.setdefault(key, kind.dtype)
        _view_key, start, numel = (view and view[0]) or (key, 0, numel)
        return Storage(key, kind.dtype, start, numel)

    def _pay(self, cost):
        self._bytes_left -= cost
        if self._bytes_left < 0:
            raise ValueError("it asks for far more memory than it fills")
