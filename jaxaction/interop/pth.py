"""Reads PyTorch's checkpoints without PyTorch, and without running what their pickles name."""

import io
import mmap
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxaction.errors import InputError
from jaxaction.interop.torch_pickle import unpickler
from jaxaction.interop.torch_pickle.objects import Dropped, Placeholder, Unusable, printable
from jaxaction.interop.torch_pickle.plain import Arrays, Plain

__all__ = ["Dropped", "read_pth"]

# A file of `torch.save` before PyTorch 1.6 begins with two pickles of these numbers.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
FREE_BYTES = 2**26


def read_pth(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the dict that `torch.save` wrote: plain containers, with numpy arrays for tensors.

    Reads PyTorch's zip files and those of before 1.6. Arrays may be read-only and may share
    memory, as the tensors did; bfloat16 becomes float32, a dtype or device its name, an object of
    any other class `Dropped`. InputError, one line, if the file is something else, is damaged, or
    names something that runs code; nothing that it names is ever imported or called.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            return _read(file)
    except Unusable as problem:
        raise InputError(f"{path} {problem}") from None
    except Exception as error:  # a malformed pickle can raise anything
        reason = printable(f"{type(error).__name__}: {error}")
        raise InputError(f"{path} is damaged or cut off ({reason}); download it again") from error


def _open(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise Unusable("is a folder; give a .pth file in it")
        if path.exists() and not path.is_file():
            raise Unusable("is a device or pipe; give a .pth file")
        return open(path, "rb")
    except OSError as error:
        raise Unusable(f"can't be read ({error.strerror}); give a .pth file") from error


def _read(file: BinaryIO) -> dict[str, Any]:
    size = os.fstat(file.fileno()).st_size
    head = file.read(64)
    file.seek(0)
    if head.startswith(b"PK"):
        return _read_zip(file, size)
    if head.startswith(b"\x80"):
        return _read_legacy(file, size)
    if not head:
        raise Unusable("is empty; download it again")
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise Unusable("is a web page, not a checkpoint; download the file that it is about")
    raise Unusable(f"begins with {head[:16]!r}, as no checkpoint does; give one of torch.save")


def _read_zip(file: BinaryIO, size: int) -> dict[str, Any]:
    archive = zipfile.ZipFile(file)
    if sum(entry.file_size for entry in archive.infolist()) > size:
        raise Unusable("declares more bytes than it has, as zip bombs do; get it somewhere else")
    root = _root(set(archive.namelist()))
    order = ">" if _entry(archive, f"{root}byteorder", b"little") == b"big" else "<"
    pickled = unpickler.load(io.BytesIO(_entry(archive, f"{root}data.pkl")))
    return _to_plain(pickled, lambda key: _entry(archive, f"{root}data/{key}"), order, size)


def _root(names: set[str]) -> str:
    """Returns the folder of the archive's `data.pkl`, with its slash."""
    roots = [name.removesuffix("data.pkl") for name in names if f"/{name}".endswith("/data.pkl")]
    if any(f"{root}constants.pkl" in names for root in roots):
        raise Unusable(
            "is a TorchScript archive, which is code; save torch.jit.load(FILE).state_dict() "
            "with torch.save and give that"
        )
    if len(roots) != 1:
        raise Unusable(f"is a zip with {len(roots)} data.pkl; give a file that torch.save wrote")
    return roots[0]


def _entry(archive: zipfile.ZipFile, name: str, default: bytes | None = None) -> bytes:
    """Returns an entry's bytes, with its checksum tested; it must not be compressed."""
    if default is not None and name not in archive.namelist():
        return default
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise Unusable("is compressed, as torch.save never does; unzip it and zip it by `zip -0`")
    return archive.read(entry)


def _read_legacy(file: BinaryIO, size: int) -> dict[str, Any]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pickles:
        if unpickler.load(pickles).value != LEGACY_MAGIC:
            raise Unusable("is a pickle that torch.save did not write; give one that it wrote")
        version = unpickler.load(pickles).value
        if version != LEGACY_VERSION:
            raise ValueError("an unknown version")
        unpickler.load(pickles)  # the sizes of C's types; storages are little-endian in any case
        pickled = unpickler.load(pickles)
        keys = unpickler.load(pickles).value
        itemsizes = [pickled.dtypes[key].itemsize for key in keys]
        spans = dict(zip(keys, _spans(pickles, itemsizes), strict=True))
    return _to_plain(pickled, lambda key: _read_at(file, *spans[key]), "<", size)


def _spans(file: mmap.mmap, itemsizes: list[int]) -> Iterator[tuple[int, int]]:
    """Yields each storage's place and length in bytes; before it stands its number of values."""
    for itemsize in itemsizes:
        (count,) = struct.unpack("<q", file.read(8))
        if count < 0:
            raise ValueError(f"a storage of {count} values")
        yield file.tell(), count * itemsize
        file.seek(count * itemsize, os.SEEK_CUR)


def _read_at(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _to_plain(
    pickled: unpickler.Pickled, fetch: Callable[[str], bytes], order: str, size: int
) -> dict[str, Any]:
    value = pickled.value
    if isinstance(value, Placeholder):
        raise Unusable(
            f"holds a whole object of the class {printable(value.name)}, which is not here to read"
            " it; save its state_dict() and give that"
        )
    if not isinstance(value, dict):
        raise Unusable(f"holds one {type(value).__name__}, not a dict; save a state_dict()")
    return Plain(Arrays(fetch, order, 16 * size + FREE_BYTES))(value)
