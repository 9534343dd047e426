"""Reading checkpoints; tests/parity/pth/make_more.py wrote three of the files."""

import copyreg
import os
import pickle
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxaction.errors import InputError
from jaxaction.interop.pth import Dropped, read_pth
from jaxaction.interop.torch_pickle import opcodes
from tests.figures import FOLDER
from tests.interop.pickles import (
    NONE,
    built,
    called,
    class_named,
    listed,
    mapped,
    number,
    numbers,
    several,
    storage,
    tensor,
    text,
    write_legacy,
    write_zip,
)

FILES = FOLDER / "pth"
SIX = np.arange(6, dtype=np.float32)


def refusal(path: Path) -> str:
    """Returns what the InputError says after the file's name, which must be a single line."""
    with pytest.raises(InputError) as error:
        read_pth(path)
    line = str(error.value)
    assert line.startswith(f"{path} ") and "\n" not in line and line.isprintable()
    return line.removeprefix(f"{path} ")


def assert_same(value, expected):
    """Equal in type as well, with the arrays' dtypes."""
    assert type(value) is type(expected)
    if isinstance(expected, np.ndarray):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected, strict=True)
    else:
        assert value == expected


def read_value(tmp_path: Path, value: bytes, **entries: bytes):
    """Returns what the pickled value is read as."""
    return read_pth(write_zip(tmp_path / "a.pth", mapped(x=value), **entries))["x"]


def refused_value(tmp_path: Path, value: bytes, **entries: bytes) -> str:
    return refusal(write_zip(tmp_path / "a.pth", mapped(x=value), **entries))


# What PyTorch writes


@pytest.mark.parametrize("name", ["zip", "legacy", "mmaction_full"])
def test_tensors_have_the_values_that_were_saved(name):
    read = read_pth(FILES / f"{name}.pth")
    read = read.get("state_dict", read)
    with np.load(FILES / "expected.npz") as expected:
        assert list(read) == expected.files
        for key in expected.files:
            assert_same(read[key], expected[key])


@pytest.mark.parametrize("name", ["zip", "legacy"])
def test_tensors_of_one_storage_share_their_memory(name):
    read = read_pth(FILES / f"{name}.pth")
    assert np.shares_memory(read["slice_of_shared"], read["whole_shared"])


def test_checkpoint_keeps_its_plain_data_and_names_the_rest():
    read = read_pth(FILES / "mmaction_full.pth")
    meta = read["meta"]
    assert {key: meta[key] for key in ("epoch", "iter", "seed")} == {
        "epoch": 3,
        "iter": 99,
        "seed": None,
    }
    assert_same(meta["np"], np.float64(1.25))
    assert_same(meta["arr"], np.arange(3))
    assert type(read["state_dict"]) is dict
    assert read["optimizer"]["param_groups"][0]["momentum"] == 0.9
    history = Dropped("mmengine.logging.history_buffer.HistoryBuffer")
    assert read["message_hub"]["log_scalars"] == {"loss": history}
    assert read["custom"] == Dropped("nobody.has.Custom")


MORE = {
    "expanded": np.array([[0, 1, 2], [0, 1, 2]], np.float32),
    "every_second": np.array([1, 3, 5, 7, 9]),
    "complex": np.array([1 + 2j], np.complex64),
    "uint16": np.array([1, 65535], np.uint16),
    "buffer": np.array([0, 1, 2], np.float32),
    "with_attribute": np.ones(2, np.float32),
    "parameter": np.ones(2, np.float32),
    "storage": np.array([0, 0, 128, 63], np.uint8),
    "half_storage": np.ones(2, np.float16),
    "float8": Dropped("torch.Tensor"),
    "sparse": Dropped("torch._utils._rebuild_sparse_tensor"),
    "conjugate": Dropped("torch.Tensor"),
    "shape": (2, 3),
    "device": "cuda:1",
    "dtype": "torch.bfloat16",
    "default": {1: [2]},
    "counter": {"a": 2, "b": 1},
    "set": {1, (2, 3)},
    "frozen": {3},
    "bytes": b"abc",
    "no_bytes": b"",
    "imaginary": 1j,
    "by_columns": np.array([[0.0, 1, 2], [3, 4, 5]]),
    "no_rows": np.zeros((0, 3)),
    "objects": Dropped("numpy.ndarray"),
    "string": Dropped("numpy.generic"),
    "options": Dropped("argparse.Namespace"),
    "tuple_key": {(1, (2, 3)): 4},
}


@pytest.mark.parametrize("key", MORE)
def test_other_values_are_plain_or_dropped(key):
    assert_same(read_pth(FILES / "more.pth")[key], MORE[key])


def test_nothing_else_is_in_the_file_of_other_values():
    assert list(read_pth(FILES / "more.pth")) == list(MORE)


# What other versions of PyTorch wrote


def test_archive_without_byteorder_is_little_endian(tmp_path):
    value = tensor(storage("FloatStorage", "0", 6), 0, (6,), (1,))
    assert_same(read_value(tmp_path, value, data_0=SIX.tobytes()), SIX)


@pytest.mark.parametrize(
    ("kind", "data"),
    [("FloatStorage", SIX.astype(">f4")), ("BFloat16Storage", SIX.view("u4") >> 16)],
)
def test_big_endian_archive_comes_out_native(tmp_path, kind, data):
    value = tensor(storage(kind, "0", 6), 0, (6,), (1,))
    data = data.astype(">u2") if kind == "BFloat16Storage" else data
    assert_same(read_value(tmp_path, value, data_0=data.tobytes(), byteorder=b"big"), SIX)


def test_any_root_folder_is_fine(tmp_path):
    write_zip(tmp_path / "a.pth", mapped(x=number(1)), root="epoch_100")
    assert read_pth(tmp_path / "a.pth") == {"x": 1}


def test_view_of_a_legacy_storage_begins_at_its_offset(tmp_path):
    view = several(text("0.2"), number(2), number(4))
    value = tensor(storage("FloatStorage", "0", 6, view), 1, (2,), (2,))
    write_legacy(tmp_path / "a.pth", mapped(x=value), {"0": (6, SIX.tobytes())})
    assert_same(read_pth(tmp_path / "a.pth")["x"], np.array([3, 5], np.float32))


def test_first_tensors_had_four_arguments(tmp_path):
    place = (storage("cuda.DoubleStorage", "0", 3), number(1), numbers(2), numbers(1))
    value = called("torch._utils._rebuild_tensor", *place)
    read = read_value(tmp_path, value, data_0=np.arange(3.0).tobytes())
    assert_same(read, np.array([1.0, 2]))


def test_python_2_wrote_ordered_dicts_as_pairs_and_bytes_as_str(tmp_path):
    eight_bytes = b"U\x08" + struct.pack("<d", 1.25)
    dtype = called("numpy.dtype", b"U\x02f8", number(0), number(1))
    value = called(
        "numpy.core.multiarray.scalar", built(dtype, several(NONE, b"U\x01<")), eight_bytes
    )
    pairs = called("collections.OrderedDict", listed(listed(b"U\x01k", value)))
    assert read_value(tmp_path, pairs) == {"k": 1.25}


def test_source_beside_a_legacy_class_is_skipped(tmp_path):
    source = (
        several(text("module"), class_named("my.Net"), text("my.py"), text("class Net: ...")) + b"Q"
    )
    value = mapped(x=source + b")R", y=number(1))
    write_legacy(tmp_path / "a.pth", value, {})
    assert read_pth(tmp_path / "a.pth") == {"x": Dropped("my.Net"), "y": 1}


def test_list_that_holds_itself_still_does(tmp_path):
    read = read_value(tmp_path, b"]q\x00h\x00a")
    assert read[0] is read


def test_storages_are_held_once(tmp_path):
    size = 8_000_000
    value = listed(*[tensor(storage("ByteStorage", "0", size), 0, (size,), (1,))] * 3)
    write_zip(tmp_path / "a.pth", mapped(x=value), data_0=bytes(size))
    tracemalloc.start()
    read = read_pth(tmp_path / "a.pth")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(read["x"]) == 3 and peak < 1.1 * size  # 0.1 for all that is not a storage


# Views


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (6, (1,), (1,)),
        (7, (), ()),
        (0, (2, 3), (4, 1)),
        (-1, (2,), (1,)),
        (5, (2,), (-1,)),
        (0, (-1,), (1,)),
        (0, (2,), (1, 1)),
        (0, (2**62, 2**62), (0, 0)),
        (0, (1,) * 65, (1,) * 65),
        (2**62, (2,), (1,)),
    ],
)
def test_view_beyond_its_storage_is_refused(tmp_path, offset, shape, strides):
    value = tensor(storage("FloatStorage", "0", 6), offset, shape, strides)
    assert refused_value(tmp_path, value, data_0=SIX.tobytes()).startswith("is damaged")


@pytest.mark.parametrize("numel", [7, -1])
def test_storage_must_have_the_values_that_it_declares(tmp_path, numel):
    value = tensor(storage("FloatStorage", "0", numel), 0, (1,), (1,))
    assert refused_value(tmp_path, value, data_0=SIX.tobytes()).startswith("is damaged")


@pytest.mark.parametrize(
    "owner", [number(0), NONE, called("my.Storage"), class_named("torch.float32")]
)
def test_tensor_without_a_storage_is_refused(tmp_path, owner):
    dtype = class_named("torch.float32")
    place = (number(0), numbers(1), numbers(1), b"\x89", NONE)
    value = called("torch._utils._rebuild_tensor_v3", owner, *place, dtype)
    assert "a tensor without a storage" in refused_value(tmp_path, value)


@pytest.mark.parametrize("view", [(4, 3), (-1, 2), (2, -1)])
def test_view_of_a_legacy_storage_must_lie_in_it(tmp_path, view):
    place = several(text("v"), *map(number, view))
    value = tensor(storage("FloatStorage", "0", 6, place), 0, (1,), (1,))
    write_legacy(tmp_path / "a.pth", mapped(x=value), {"0": (6, SIX.tobytes())})
    assert refusal(tmp_path / "a.pth").startswith("is damaged")


@pytest.mark.parametrize("count", [7, -1, 2**62])
def test_legacy_storage_must_lie_in_its_file(tmp_path, count):
    value = tensor(storage("FloatStorage", "0", 6), 0, (1,), (1,))
    write_legacy(tmp_path / "a.pth", mapped(x=value), {"0": (count, SIX.tobytes())})
    assert refusal(tmp_path / "a.pth").startswith("is damaged")


def test_legacy_storage_of_minus_one_byte_is_not_the_rest_of_the_file(tmp_path):
    value = tensor(storage("ByteStorage", "0", 6), 0, (1,), (1,))
    write_legacy(tmp_path / "a.pth", mapped(x=value), {"0": (-1, bytes(6))})
    assert "a storage of -1 values" in refusal(tmp_path / "a.pth")


def test_tensor_repeated_beyond_reason_is_refused(tmp_path):
    value = tensor(storage("FloatStorage", "0", 6), 0, (2**40,), (0,))
    assert "far larger than the file" in refused_value(tmp_path, value, data_0=SIX.tobytes())


# What runs code


def test_file_that_runs_code_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(FILES / "runs_code.pth") == (
        "would run posix.system; it is not a checkpoint of weights, get it from its authors again"
    )
    assert not any(tmp_path.iterdir())


RUNS_CODE = [
    "__builtin__.eval",
    "asyncio.subprocess.os.system",
    "builtins.__import__",
    "builtins.exec",
    "builtins.open",
    "code.InteractiveInterpreter",
    "ctypes.CDLL",
    "functools.reduce",
    "importlib.import_module",
    "marshal.loads",
    "multiprocessing.util.os.system",
    "nt.system",
    "operator.attrgetter",
    "os.system",
    "pickle.loads",
    "pty.spawn",
    "runpy.run_path",
    "shutil.rmtree",
    "socket.create_connection",
    "subprocess.Popen",
    "sys.modules",
    "threading.Thread",
    "torch.hub.load",
    "torch.jit.load",
    "torch.load",
    "types.FunctionType",
    "webbrowser.open",
]


@pytest.mark.parametrize("name", RUNS_CODE)
def test_name_that_runs_code_is_refused_wherever_it_stands(tmp_path, name):
    module, _, last = name.rpartition(".")
    stack_global = text(module) + text(last) + b"\x93"
    instance = f"(i{module}\n{last}\n".encode()
    for value in (class_named(name), stack_global, instance):
        assert refused_value(tmp_path, value).startswith(f"would run {name};")


def test_pickle_that_torch_did_not_write_is_not_executed(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02" + called("os.system", text("exit")) + b".")
    assert refusal(tmp_path / "a.pth").startswith("would run os.system;")


@pytest.mark.parametrize("opcode", [b"\x82\xf0", b"\x83\xf0\x00", b"\x84\xf0\x00\x00\x00"])
def test_registered_extension_is_refused(tmp_path, opcode):
    copyreg.add_extension("os", "system", 0xF0)
    try:
        pickle.loads(b"\x80\x02\x82\xf0.")  # from now on it is found without its name
        assert refused_value(tmp_path, opcode).startswith("would run the pickle extension 240;")
    finally:
        copyreg.remove_extension("os", "system", 0xF0)


def test_module_on_the_path_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "never_imported.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    read = read_value(tmp_path, called("never_imported.function", number(1)))
    assert read == Dropped("never_imported.function")
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "_sys.modules"),
        ("numpy", "dtype.__new__"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ],
)
def test_attribute_of_a_known_name_is_not_looked_up(tmp_path, module, name):
    value = text(module) + text(name) + b"\x93" + several(number(1)) + b"R"
    assert read_value(tmp_path, value) == Dropped(f"{module}.{name}")


@pytest.mark.parametrize(
    "owner", ["collections.OrderedDict", "numpy.dtype", "torch.float32", "my.Class"]
)
def test_getattr_gets_nothing(tmp_path, owner):
    value = called("builtins.getattr", class_named(owner), text("__class__"))
    for code in (value, value + several(text("x")) + b"R"):
        assert read_value(tmp_path, code) == Dropped("builtins.getattr")


@pytest.mark.parametrize(
    "value",
    [
        class_named("my.Class") + b")\x81",
        class_named("my.Class") + several(number(1)) + b"}\x92",
        class_named("my.Class") + b"(" + number(1) + number(2) + b"t\x81",
        called("my.Class", number(1)),
        b"(" + class_named("my.Class") + number(1) + b"o",
        b"(imy\nClass\n",
        built(called("my.Class"), mapped(a=number(1))),
        built(called("my.Class"), several(NONE, mapped(__class__=class_named("my.Class")))),
        built(class_named("my.Class"), several(NONE, mapped(__new__=class_named("my.function")))),
        called("my.Class") + number(1) + b"a",
        called("my.Class") + b"(" + number(1) + number(2) + b"e",
        called("my.Class") + number(1) + number(2) + b"s",
        called("my.Class") + b"(" + number(1) + number(2) + b"u",
        called("my.Class") + b"(" + number(1) + b"\x90",
        called("my.Class") + b")R",
        class_named("my.Class"),
    ],
)
def test_unknown_class_swallows_every_opcode(tmp_path, value):
    assert read_value(tmp_path, value) == Dropped("my.Class")


@pytest.mark.parametrize(
    "name", ["collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.float32"]
)
@pytest.mark.parametrize("attribute", ["_function", "itemsize", "__class__", "__call__", "name"])
def test_known_names_cannot_be_changed(tmp_path, name, attribute):
    state = several(mapped(**{attribute: number(1)}), mapped(**{attribute: number(1)}))
    write_zip(tmp_path / "a.pth", mapped(x=built(class_named(name), state)))
    assert list(read_pth(tmp_path / "a.pth")) == ["x"]
    test_tensors_have_the_values_that_were_saved("zip")


def test_state_is_not_set_on_arrays_or_tensors(tmp_path):
    dtype = built(called("numpy.dtype", text("f8")), several(number(3), text("<")))
    state = several(number(1), numbers(2), dtype, b"\x89", b"C\x10" + bytes(16))
    value = built(tensor(storage("FloatStorage", "0", 6), 0, (6,), (1,)), state)
    assert_same(read_value(tmp_path, value, data_0=SIX.tobytes()), SIX)


def numpy_array(dtype: str, shape: tuple[int, ...], data: bytes) -> bytes:
    dtype = built(called("numpy.dtype", text(dtype)), several(number(3), text("<")))
    array = called(
        "numpy._core.multiarray._reconstruct", class_named("numpy.ndarray"), numbers(0), NONE
    )
    return built(array, several(number(1), numbers(*shape), dtype, b"\x89", data))


@pytest.mark.parametrize("dtype", ["O8", "O", "V8", "U2", "M8", "f3", "f16", "i4,O", "object"])
def test_arrays_of_anything_but_numbers_are_dropped(tmp_path, dtype):
    array = numpy_array(dtype, (1,), b"C\x08" + bytes(8))
    assert read_value(tmp_path, array) == Dropped("numpy.ndarray")


@pytest.mark.parametrize("shape", [(3,), (2**62, 2), (-2, 5), (2, 2)])
def test_numpy_array_must_have_the_bytes_of_its_shape(tmp_path, shape):
    array = numpy_array("f8", shape, b"C\x10" + bytes(16))
    assert refused_value(tmp_path, array).startswith("is damaged")


def test_name_of_several_lines_is_shown_on_one(tmp_path):
    value = text("os") + text("sys\ntem\x1b") + b"\x93"
    assert refused_value(tmp_path, value).startswith(r"would run 'os.sys\ntem\x1b';")
    write_zip(tmp_path / "a.pth", text("my") + text("Ob\nject") + b"\x93)\x81")
    assert r"the class 'my.Ob\nject', which" in refusal(tmp_path / "a.pth")
    value = tensor(storage("FloatStorage", "a\nb", 6), 0, (1,), (1,))
    write_legacy(tmp_path / "a.pth", mapped(x=value), {"a\nb": (0, b"")})
    assert r"of storage a\nb'" in refusal(tmp_path / "a.pth")


# What would take all memory or all time

MUCH = 2**40
DOUBLED = b"]q\x000" + b"]h\x00ah\x00aq\x000" * 60 + b"h\x00"  # 2**60 lists, if written out
BOMBS = {
    "doubled list as a device": called("torch.device", DOUBLED),
    "doubled list as an order of axes": called(
        "numpy.core.numeric._frombuffer",
        b"C\x08" + bytes(8),
        called("numpy.dtype", text("f8")),
        numbers(1),
        DOUBLED,
    ),
    "memo": b"r\xff\xff\xff\x7f",
    "memo as text": b"p99999999999\n",
    "frame": b"\x95" + struct.pack("<Q", MUCH),
    "bytes": b"\x8e" + struct.pack("<Q", MUCH),
    "bytearray": b"\x96" + struct.pack("<Q", MUCH),
    "integer": b"\x8b\xff\xff\xff\x7f",
    "integer of 4000 bits": b"\x8b" + struct.pack("<I", 500) + b"\x01" * 500,
    "bytearray of a length": called("builtins.bytearray", number(MUCH)),
    "bytes of a length": called("builtins.bytes", number(MUCH)),
    "deep tuple as key": b"})" + b"\x85" * 1_000_000 + b"Ns",
    "doubling tuple as key": b"})" + b"2\x86" * 60 + b"Ns",
    "doubling frozenset as key": b"}(\x91" + b"q\x00(h\x00h\x00t(h\x00\x91\x86" * 60 + b"Ns",
    "deep list": b"]" * 20_000 + b"a" * 19_999,
    "deep dict": b"}" + b"N}" * 20_000 + b"s" * 20_000,
    "copies of a list": listed(
        listed(*[NONE] * 10_000) + b"q\x00", *[called("builtins.set", b"h\x00")] * 500
    ),
    "copies of a text": listed(
        text("a" * 100_000) + b"q\x00",
        *[called("_codecs.encode", b"h\x00", text("latin1"))] * 100,
    ),
    "many names": listed(*[class_named(f"my.class{i}") for i in range(2000)]),
    "long name": text("a." * 100_000) + text("a") + b"\x93",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_soon_and_in_little_memory(tmp_path, name):
    write_zip(tmp_path / "a.pth", mapped(x=BOMBS[name]))
    size = os.path.getsize(tmp_path / "a.pth")
    tracemalloc.start()
    start = time.monotonic()
    message = refusal(tmp_path / "a.pth")
    seconds, peak = time.monotonic() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith("is damaged")
    assert seconds < 5  # a hundred times what it takes; unbounded ones need minutes
    assert peak < 20 * size + 10_000_000  # objects are larger than their opcodes


def test_dtype_of_an_unknown_byte_order_is_dropped_and_the_order_not_written_out(tmp_path):
    dtype = built(called("numpy.dtype", text("f8")), listed(NONE, DOUBLED))
    value = called("numpy.core.multiarray.scalar", dtype, text("a" * 8))
    assert read_value(tmp_path, value) == Dropped("numpy.generic")


def test_tuples_may_lie_in_each_other_but_not_very_deep(tmp_path):
    assert read_value(tmp_path, b")" + b"\x85" * 5) == ((((((),),),),),)
    message = refused_value(tmp_path, b")" + b"\x85" * 201)
    assert "too many tuples in each other" in message


@pytest.mark.parametrize("key", [numbers(*range(17)), several(numbers(1)), b"(\x91"])
def test_keys_that_are_slow_to_hash_are_refused_where_a_call_hashes_them(tmp_path, key):
    pairs = called("collections.OrderedDict", listed(several(key, NONE)))
    for value in (pairs, called("builtins.set", listed(key))):
        assert "a long or nested tuple as a key" in refused_value(tmp_path, value)


def test_pickle_of_too_many_opcodes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(opcodes, "MAX_OPCODES", 100)
    assert "more than 100 opcodes" in refused_value(tmp_path, listed(*[NONE] * 100))


# What is no checkpoint


def test_file_that_is_not_there_is_named(tmp_path):
    message = refusal(tmp_path / "a.pth")
    assert message == "can't be read (No such file or directory); give a .pth file"


def test_folder_is_no_checkpoint(tmp_path):
    assert refusal(tmp_path) == "is a folder; give a .pth file in it"


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pth")
    assert refusal(tmp_path / "a.pth") == "is a device or pipe; give a .pth file"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; download it again"),
        (b"\n <HTML>", "is a web page, not a checkpoint; download the file that it is about"),
        (b"CDF\x01", r"begins with b'CDF\x01', as no checkpoint does; give one of torch.save"),
        (pickle.dumps({}), "is a pickle that torch.save did not write; give one that it wrote"),
    ],
)
def test_other_file_is_described(tmp_path, data, message):
    (tmp_path / "a.pth").write_bytes(data)
    assert refusal(tmp_path / "a.pth") == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("web_page", "is a web page, not a checkpoint; download the file that it is about"),
        (
            "torchscript",
            "is a TorchScript archive, which is code; save torch.jit.load(FILE).state_dict() with "
            "torch.save and give that",
        ),
        (
            "whole_model",
            "holds a whole object of the class torch.nn.modules.linear.Linear, which is not here "
            "to read it; save its state_dict() and give that",
        ),
    ],
)
def test_file_that_is_no_state_dict_is_described(name, message):
    assert refusal(FILES / f"{name}.pth") == message


def test_value_that_is_no_dict_is_named(tmp_path):
    write_zip(tmp_path / "a.pth", listed(number(1)))
    assert refusal(tmp_path / "a.pth") == "holds one list, not a dict; save a state_dict()"


def test_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("weights.npy", b"")
    assert refusal(tmp_path / "a.pth") == (
        "is a zip with 0 data.pkl; give a file that torch.save wrote"
    )


def test_compressed_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/more", b"", zipfile.ZIP_STORED)
        archive.comment = bytes(100)
    assert refusal(tmp_path / "a.pth") == (
        "is compressed, as torch.save never does; unzip it and zip it by `zip -0`"
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_bomb_is_refused_without_unpacking_it(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", method) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data/0", bytes(1000))
        archive.getinfo("a/data/0").file_size = 2**31
    tracemalloc.start()
    message = refusal(tmp_path / "a.pth")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith("declares more bytes than it has") and peak < 1_000_000


# Damage


def test_flipped_bit_of_a_weight_is_noticed(tmp_path):
    value = tensor(storage("FloatStorage", "0", 6), 0, (6,), (1,))
    write_zip(tmp_path / "a.pth", mapped(x=value), data_0=SIX.tobytes())
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data.replace(SIX.tobytes(), (SIX + 1).tobytes()))
    message = "is damaged or cut off (BadZipFile: Bad CRC-32 for file 'archive/data/0');"
    assert refusal(tmp_path / "a.pth").startswith(message)


def test_missing_storage_is_named(tmp_path):
    value = tensor(storage("FloatStorage", "0", 6), 0, (6,), (1,))
    assert "archive/data/0" in refused_value(tmp_path, value)


def test_archive_that_was_cut_in_half_is_damaged():
    assert refusal(FILES / "truncated.pth").startswith("is damaged or cut off (BadZipFile")


def test_legacy_file_of_an_unknown_version_is_refused(tmp_path):
    data = (FILES / "legacy.pth").read_bytes().replace(b"\xe9\x03.", b"\xea\x03.", 1)
    (tmp_path / "a.pth").write_bytes(data)
    assert "an unknown version" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["zip", "legacy"])
def test_file_cut_off_anywhere_is_refused(tmp_path, name):
    data = (FILES / f"{name}.pth").read_bytes()
    for length in range(1, len(data), 23):
        (tmp_path / "a.pth").write_bytes(data[:length])
        refusal(tmp_path / "a.pth")


def read_or_refused(path: Path) -> bool:
    """Whether a file was read; anything but an InputError fails the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # escapes in damaged text
            return isinstance(read_pth(path), dict)
    except InputError:
        return False


@pytest.mark.parametrize("name", ["zip", "legacy", "mmaction_full", "more", "runs_code"])
def test_flipped_bytes_are_read_or_refused(tmp_path, monkeypatch, name):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    rng = np.random.default_rng(0)
    data = bytearray((FILES / f"{name}.pth").read_bytes())
    for place in rng.integers(0, len(data), 200):
        flipped = data.copy()
        flipped[place] ^= rng.integers(1, 256)
        (tmp_path / "a.pth").write_bytes(flipped)
        read_or_refused(tmp_path / "a.pth")
    assert not any((tmp_path / "empty").iterdir())


@pytest.mark.parametrize("name", ["mmaction_full", "more", "runs_code"])
def test_flipped_bytes_under_a_right_checksum_are_read_or_refused(tmp_path, monkeypatch, name):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(FILES / f"{name}.pth") as archive:
        entries = {key.partition("/")[2]: archive.read(key) for key in archive.namelist()}
    pickled = entries.pop("data.pkl")[2:-1]
    entries = {key.replace("/", "_"): data for key, data in entries.items() if "/" in key}
    read = 0
    for place in rng.integers(0, len(pickled), 200):
        flipped = bytearray(pickled)
        flipped[place] ^= 1 << rng.integers(8)
        write_zip(tmp_path / "a.pth", bytes(flipped), **entries)
        read += read_or_refused(tmp_path / "a.pth")
    assert not any((tmp_path / "empty").iterdir())
    assert read > 0 or name == "runs_code"
