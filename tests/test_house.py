"""The package stays a house that one can live in: `scripts/house` measures it."""

import importlib.machinery
import importlib.util

import pytest

from tests.paths import ROOT


@pytest.fixture(scope="module")
def house():
    """The script as a module; its name has no suffix."""
    loader = importlib.machinery.SourceFileLoader("house", str(ROOT / "scripts" / "house"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("house", loader))
    loader.exec_module(module)
    return module


def test_at_most_five_modules_lie_beside_the_rooms(house):
    assert len(house.top_level(ROOT)) <= 5


def test_no_import_points_up_or_to_a_neighbour(house):
    assert house.upward(ROOT) == []
    places = [room for layer in house.layers() for room in layer]
    assert {"commands", "models", "data"} < set(places)
    assert len(places) == len(set(places))


def test_imports_are_found_wherever_they_stand(house, tmp_path):
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
