"""Every config key is documented where it is defined, and docs/config.md says the same."""

import inspect

import pytest

from jaxaction.config import defaults, documentation, flags
from jaxaction.models import MODELS
from tests.paths import ROOT

SOURCE = """
def _data():
    return {
        # Above it,
        # in two lines.
        "a": 1,
        "b": 2,  # Behind it.
        # About nothing.

        "c": (
            3,
            # inside
        ),
    }
"""

FIELDS = '''
class Net:
    """Docs."""

    width: int = 64
    """Channels
    of the stem."""
    depth: int = 50
    KIND = 1
    """no field"""
'''


def test_a_key_has_the_comment_above_it_or_next_to_it():
    assert documentation.key_comments(SOURCE) == {
        ("_data", "a"): "Above it, in two lines.",
        ("_data", "b"): "Behind it.",
        ("_data", "c"): "",
    }


def test_a_field_has_the_string_below_it():
    assert documentation.attribute_docstrings(FIELDS) == {"width": "Channels of the stem."}


def test_every_key_of_the_defaults_is_documented():
    missing = documentation.undocumented()
    assert [name for name in missing if not name.startswith("model.")] == []


@pytest.mark.parametrize("family", MODELS)
def test_every_field_of_a_model_is_documented(family):
    found = [key for key in documentation.model_keys() if family in key.families]
    assert len(found) > 10
    assert [key.name for key in found if not key.text] == []


def test_the_keys_are_those_of_the_defaults():
    names = [key.name for key in documentation.default_keys()]
    config = defaults.motions({})
    del config["model"]
    assert sorted(names) == sorted(flags.flatten(config))


def test_a_key_that_follows_another_is_found():
    follows = {key.name: key.follows for key in documentation.default_keys() if key.follows}
    assert follows["test.size"] == "data.size" and follows["val.clip_len"] == "data.clip_len"
    assert len(follows) == 18


def test_a_comment_of_a_key_has_at_most_three_lines():
    lines = inspect.getsource(defaults).splitlines()
    comments = [line.startswith("        ") and line.lstrip().startswith("#") for line in lines]
    assert not [lines[i] for i in range(len(lines)) if all(comments[i : i + 4])]


def test_the_page_is_not_stale():
    command = "run `python -m jaxaction.config.documentation > docs/config.md`"
    assert (ROOT / "docs" / "config.md").read_text() == documentation.page(), command


def test_the_page_is_100_columns_wide():
    assert max(map(len, documentation.page().splitlines())) <= 100
