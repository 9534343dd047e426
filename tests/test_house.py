"""Limits on how the package is arranged, as `scripts/house` measures it."""

import importlib.machinery
import importlib.util

import pytest

from tests.paths import ROOT


@pytest.fixture(scope="module")
def house():
    """The script as a module. Its name has no suffix, so it needs a loader of its own."""
    loader = importlib.machinery.SourceFileLoader("house", str(ROOT / "scripts" / "house"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("house", loader))
    loader.exec_module(module)
    return module


def test_at_most_five_modules_lie_next_to_the_rooms(house):
    assert len(house.top_level(ROOT)) <= 5


def test_no_import_points_up_or_to_a_neighbour(house):
    assert house.upward(ROOT) == []
    places = [room for layer in house.layers() for room in layer]
    assert {"commands", "models", "data"} < set(places)
    assert len(places) == len(set(places))


def test_imports_are_found_also_inside_functions(house, tmp_path):
    for path, text in {
        "data/a.py": "import jaxaction.models.b\nfrom jaxaction.models import b\n",
        "models/b.py": "def f():\n    from jaxaction import errors, training\n",
        "training/__init__.py": "from jaxaction.models.b import f\nimport numpy\n",
        "errors.py": "",
    }.items():
        (tmp_path / "jaxaction" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "jaxaction" / path).write_text(text)
    pairs = {("data.a", "models.b"), ("models.b", "errors"), ("models.b", "training")}
    assert set(house.imports(tmp_path)) == pairs | {("training", "models.b")}
    assert house.upward(tmp_path) == [("data.a", "models.b"), ("models.b", "training")]
    (tmp_path / "jaxaction" / "attic.py").write_text("")
    assert house.upward(tmp_path) is None


def test_at_most_15_functions_lie_between_train_py_and_a_convolution(house):
    frames = house.frames(ROOT)
    assert frames[0] == "train.py:<module>" and "conv3d.py" in frames[-1]
    assert len(frames) <= 15, frames


def test_the_longest_function_has_at_most_80_lines(house):
    lines, name = house.longest_function(ROOT)
    assert lines <= 80, name


@pytest.fixture
def tree(tmp_path):
    """A small checkout: a module with an `Any` and a comment in its five lines, and a README."""
    (tmp_path / "jaxaction" / "config").mkdir(parents=True)
    text = "from typing import Any\n\n    # why\nAnyone = 1  # no comment line\nx: dict[str, Any]\n"
    (tmp_path / "jaxaction" / "a.py").write_text(text)
    (tmp_path / "README.md").write_text("# Title\n\nA longer line.\n")
    return tmp_path


def test_lines_with_any_and_comments_are_counted(house, tree):
    assert house.lines_with_any(tree) == 2
    assert house.comment_share(tree) == 0.2


def test_the_longest_line_of_a_readme_is_named(house, tree):
    assert house.readme(tree) == "3 lines, the longest (line 3) of 14 columns"
    (tree / "README.md").unlink()
    assert house.readme(tree) == "-"


def test_config_keys_without_a_comment_are_those_of_the_tree(house, tree):
    assert house.undocumented_keys(tree) == "-"
    for folder in (tree / "jaxaction", tree / "jaxaction" / "config"):
        (folder / "__init__.py").touch()
    module = tree / "jaxaction" / "config" / "documentation.py"
    module.write_text("def undocumented():\n    return ['data.size', 'optim.gamma']\n")
    assert house.undocumented_keys(tree) == "2 data.size optim.gamma"
    module.write_text("import nothing_of_this_name\n")
    assert "nothing_of_this_name" in house.undocumented_keys(tree)
