"""With strict skips (`.ci/run`) a skipped test fails unless `tests/skips.txt` names it."""

import types

import pytest

from tests import conftest
from tests.paths import ROOT

NAMED = "tests/report/test_browser.py::test_page[dark]"
REASON = "no Chromium or Chrome is installed"


@pytest.fixture
def outcome(monkeypatch):
    """A function that returns the outcome of a skipped test with a reason."""

    def outcome(nodeid, reason, strict="1"):
        monkeypatch.setenv("JAXACTION_STRICT_SKIPS", strict)
        report = types.SimpleNamespace(nodeid=nodeid, skipped=True, outcome="skipped")
        report.longrepr = ("test_browser.py", 60, f"Skipped: {reason}")
        conftest.refuse_unnamed_skip(report)
        return report.outcome

    return outcome


def test_a_named_skip_with_its_reason_stays_a_skip(outcome):
    assert outcome(NAMED, REASON) == "skipped"


def test_a_skip_of_another_test_or_for_another_reason_fails(outcome):
    assert outcome("tests/report/test_chart.py::test_page", REASON) == "failed"
    assert outcome(NAMED, "not today") == "failed"


def test_every_skip_stays_a_skip_unless_skips_are_strict(outcome):
    assert outcome(NAMED, "not today", strict="") == "skipped"


def test_named_test_files_exist():
    for pattern, reason in conftest.skips_that_are_named():
        assert (ROOT / pattern.split("::")[0]).is_file() and reason
