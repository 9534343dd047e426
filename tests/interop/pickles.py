"""Checkpoints written opcode by opcode, as another PyTorch, or somebody hostile, would."""

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

MAGIC = 0x1950A86A20F9469CFC6C
NONE = b"N"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def class_named(name: str) -> bytes:
    """Pushes what is behind "module.name"; the module may have dots."""
    module, _, name = name.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def several(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def listed(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def numbers(*values: int) -> bytes:
    return several(*map(number, values))


def called(name: str, *args: bytes) -> bytes:
    return class_named(name) + several(*args) + b"R"


def built(value: bytes, state: bytes) -> bytes:
    return value + state + b"b"


def mapped(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + item for key, item in items.items()) + b"u"


def storage(kind: str, key: str, numel: int, *view: bytes) -> bytes:
    """A persistent id; the legacy format's has the view as well, None or a tuple."""
    named_kind = class_named(f"torch.{kind}")
    return several(text("storage"), named_kind, text(key), text("cpu"), number(numel), *view) + b"Q"


def tensor(storage: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    place = (number(offset), numbers(*shape), numbers(*strides))
    return called("torch._utils._rebuild_tensor_v2", storage, *place, b"\x89", NONE)


def write_zip(path: Path, value: bytes, root: str = "archive", **entries: bytes) -> Path:
    """Writes a checkpoint with this pickled value; `data_0` is the storage with key "0"."""
    files = {"data.pkl": b"\x80\x04" + value + b"."}
    files |= {name.replace("_", "/"): data for name, data in entries.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{root}/{name}", data)
    return path


def write_legacy(path: Path, value: bytes, storages: dict[str, tuple[int, bytes]]) -> Path:
    """Writes a checkpoint of before PyTorch 1.6; a storage is its number of values and bytes."""
    heads: list[Any] = [MAGIC, 1001, {"little_endian": True}]
    data = b"".join(struct.pack("<q", numel) + data for numel, data in storages.values())
    heads = b"".join(pickle.dumps(head, 2) for head in heads)
    path.write_bytes(heads + b"\x80\x02" + value + b"." + pickle.dumps([*storages], 2) + data)
    return path
