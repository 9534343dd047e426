"""Config files give mmengine's values without being run; what would need a run is refused."""

import importlib.util
from pathlib import Path

import pytest

import jaxaction
from jaxaction.errors import InputError
from jaxaction.interop.mmaction_file import read_config
from jaxaction.interop.mmaction_model import model_config


def write(folder, **files):
    """Writes NAME.py for each name; returns the path of the first."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / f"{next(iter(files))}.py"


def error_of(path):
    with pytest.raises(InputError) as error:
        read_config(path)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1e-4\ny = -1\nz = None", {"x": 1e-4, "y": -1, "z": None}),
        ("x = [1, (2, 'a'), {86: 87}]", {"x": [1, (2, "a"), {86: 87}]}),
        ("x = dict(a=dict(b=True))", {"x": {"a": {"b": True}}}),
        ("x = 'a' 'b'\ny = 'c' + 'd'", {"x": "ab", "y": "cd"}),
        ("n = 5\nx = 2 * n\ny = [128, 128] * 2", {"n": 5, "x": 10, "y": [128, 128, 128, 128]}),
        ("x = 1\nx = dict(a=x)", {"x": {"a": 1}}),
        ("a = dict(b=1)\nx = dict(c=2, **a)", {"a": {"b": 1}, "x": {"c": 2, "b": 1}}),
        ("a = dict(b=1)\nx = a.copy()\nx['b'] = 2", {"a": {"b": 1}, "x": {"b": 2}}),
        ('"""Says what it is."""\nx = 1', {"x": 1}),
        ("_x = 1\n__y = 2", {"_x": 1}),
        (
            "custom_imports = dict(imports=['no.such'])",
            {"custom_imports": {"imports": ["no.such"]}},
        ),
        ("# nothing", {}),
    ],
)
def test_values_are_those_that_python_gives(tmp_path, text, expected):
    assert read_config(write(tmp_path, a=text)) == expected


@pytest.mark.parametrize(
    ("base", "child", "expected"),
    [
        ("x = dict(a=dict(b=1, c=2))", "x = dict(a=dict(c=3))", {"x": {"a": {"b": 1, "c": 3}}}),
        ("x = dict(a=dict(b=1), c=2)", "x = dict(a=dict(_delete_=True))", {"x": {"a": {}, "c": 2}}),
        ("x = dict(b=1)", "x = dict(_delete_=False, c=2)", {"x": {"b": 1, "c": 2}}),
        ("x = 1", "x = dict(_delete_=True, c=2)", {"x": {"c": 2}}),
        ("", "x = dict(_delete_=True, c=2)", {"x": {"_delete_": True, "c": 2}}),
        ("x = [1, 2]", "x = [3]", {"x": [3]}),
        ("x = dict(b=1)", "x = None", {"x": None}),
        ("x = dict(b=1)", "y = _base_.x.b", {"x": {"b": 1}, "y": 1}),
        ("x = dict(b=1)", "x = dict(b=2)\ny = _base_.x", {"x": {"b": 2}, "y": {"b": 1}}),
    ],
)
def test_child_is_merged_over_its_base(tmp_path, base, child, expected):
    path = write(tmp_path, child="_base_ = 'base.py'\n" + child, base=base)
    assert read_config(path) == expected


def test_merged_dict_leaves_others_of_the_same_origin_alone(tmp_path):
    base = "a = dict(b=1)\nx = dict(a=a)\n"
    path = write(tmp_path, child="_base_ = 'base.py'\nx = dict(a=dict(b=2))\n", base=base)
    assert read_config(path) == {"a": {"b": 1}, "x": {"a": {"b": 2}}}


def test_bases_are_found_from_the_file_that_names_them(tmp_path):
    (tmp_path / "tsn").mkdir()
    (tmp_path / "models").mkdir()
    path = write(
        tmp_path / "tsn", child="x = 2\n_base_ = ['../models/' + 'a.py', 'b.py']", b="b = 1"
    )
    write(tmp_path / "models", a="_base_ = './root.py'\na = 1", root="x = 1\nroot = 1")
    assert read_config(str(path)) == {"x": 2, "a": 1, "b": 1, "root": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import os", "a.py:2: import os is no NAME = VALUE; only such lines can be read"),
        ("if True:\n    y = 1", "a.py:2: if True: is no NAME = VALUE"),
        ("x += 1", "a.py:2: x += 1 is no NAME = VALUE"),
        ("y = z = 1", "a.py:2: y = z = 1 is no NAME = VALUE"),
        ("x.update(b=1)", "a.py:2: x.update(b=1) is no NAME = VALUE"),
        ("x[0] = 1", "a.py:2: x[0] = 1 sets an item of what is no dict"),
        ("y = dict(\n  b=len('a'))", "a.py:3: len('a') can't be read without running the file"),
        ("y = dict([])", "a.py:2: dict([]) can't be read without running the file"),
        ("y = [i for i in x]", "a.py:2: [i for i in x] can't be read"),
        ("y = lambda: 1", "a.py:2: lambda: 1 can't be read"),
        ("y = x[0]", "a.py:2: x[0] can't be read"),
        ("y = x.real", "a.py:2: x.real can't be read"),
        ("y = f'{x}'", "a.py:2: f'{x}' can't be read"),
        ("y = {**x}", "a.py:2: {**x} can't be read"),
        ("y = 2 ** 8", "a.py:2: 2 ** 8 can't be read"),
        ("y = x.copy()", "a.py:2: x is no dict, of which alone .copy() can be read"),
        ("y = '{{ fileDirname }}'", "a.py:2: '{{ fileDirname }}' is a template"),
        ("y = nothing", "a.py:2: nothing is a name that is not defined above; write its value"),
        ("y = _base_.x", "a.py:2: _base_.x is not in the file's _base_"),
        ("y = 'b' + 1", 'a.py:2: can only concatenate str (not "int") to str; write a literal'),
        (
            "y = dict(b=1, **dict(b=2))",
            "a.py:2: dict() got multiple values for keyword argument 'b'",
        ),
        ("_base_ = ('b.py',)", "a.py:2: _base_ is neither a path nor a list of paths"),
        ("y = (", "a.py: not Python, '(' was never closed (a.py, line 2)"),
        ("y = " + "1 + " * 3000 + "1", "a.py: the file or its chain of _base_ is nested too deep"),
    ],
)
def test_values_that_need_the_file_to_run_are_refused_with_their_line(tmp_path, line, message):
    assert error_of(write(tmp_path, a="x = 1\n" + line)).startswith(message)


def test_a_name_of_the_base_is_not_the_files_own(tmp_path):
    error = error_of(write(tmp_path, a="_base_ = 'b.py'\ny = x", b="x = 1"))
    assert error == "a.py:2: x is a name that is not defined above; write _base_.x"


def test_files_that_are_not_there_are_named(tmp_path):
    assert error_of(tmp_path / "a.py") == "a.py: no such file"
    path = write(tmp_path, a="_base_ = 'b.py'")
    assert error_of(path) == "b.py, a _base_ of a.py: no such file"


def test_files_that_are_no_text_are_refused(tmp_path):
    assert error_of(tmp_path).endswith(": can't be read (Is a directory)")
    for data in (b"\x80\x02}q\x00", b"x = '\xff'", b"\x00"):
        (tmp_path / "a.py").write_bytes(data)
        assert error_of(tmp_path / "a.py").startswith("a.py: not Python, ")


def test_bases_in_a_circle_are_refused(tmp_path):
    error = error_of(write(tmp_path, a="_base_ = 'b.py'", b="_base_ = ['./a.py']"))
    assert error == "_base_ leads back to the same file: a.py -> b.py -> a.py; take one out"


def test_two_bases_with_the_same_name_are_refused(tmp_path):
    path = write(tmp_path, a="_base_ = ['b.py', 'c.py']", b="x = dict(p=1)", c="x = dict(q=1)")
    assert error_of(path) == "a.py:1: _base_ b.py and c.py both have x; take it out of one"


def test_a_dict_does_not_go_into_a_list(tmp_path):
    path = write(tmp_path, a="_base_ = 'b.py'\nx = dict(p=dict(q=1))", b="x = dict(p=[1])")
    assert error_of(path) == (
        "a.py: x: p is a dict, but of type list in the _base_; add _delete_=True to replace it"
    )


def test_a_0x_file_gives_a_model(tmp_path):
    base = (
        "model = dict(\n"
        "    type='Recognizer2D',\n"
        "    backbone=dict(type='ResNet', pretrained='torchvision://resnet50', depth=50),\n"
        "    cls_head=dict(type='TSNHead', num_classes=400, in_channels=2048, dropout_ratio=0.4),\n"
        "    train_cfg=None,\n"
        "    test_cfg=dict(average_clips=None))\n"
    )
    child = (
        "_base_ = ['tsn_r50.py']\n"
        "model = dict(cls_head=dict(num_classes=5), test_cfg=dict(average_clips='prob'))\n"
        "img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], to_bgr=False)\n"
        "train_pipeline = [dict(type='Normalize', **img_norm_cfg)]\n"
        "data = dict(videos_per_gpu=32, train=dict(pipeline=train_pipeline))\n"
        "optimizer = dict(type='SGD', lr=0.01)  # for 8 gpus\n"
        "lr_config = dict(policy='step', step=[40, 80])\n"
    )
    settings = read_config(write(tmp_path, child=child, tsn_r50=base))
    assert settings["data"]["train"]["pipeline"][0]["mean"] == [123.675, 116.28, 103.53]
    assert settings["optimizer"] == {"type": "SGD", "lr": 0.01}
    config = model_config(settings["model"])
    assert (config["name"], config["depth"], config["num_classes"]) == ("tsn", 50, 5)


FAMILIES = ("tsn", "tsm", "i3d", "r2plus1d", "slowonly", "slowfast")
INSTALLED = importlib.util.find_spec("mmaction")


@pytest.mark.skipif(INSTALLED is None, reason="MMAction2 is not on this machine")
def test_installed_configs_of_the_six_families_build_except_with_mobileone():
    root = Path(INSTALLED.submodule_search_locations[0], ".mim/configs/recognition")
    files = [file for family in FAMILIES for file in root.joinpath(family).glob("*.py")]
    refused = {}
    for file in files:
        settings = read_config(file)
        try:
            jaxaction.build(model_config(settings["model"]))
        except InputError as error:
            refused[file.name] = str(error)
    assert len(files) == 45
    assert len(refused) == 2
    for name, message in refused.items():
        assert "mobileone" in name
        assert "MobileOneTSM" in message
