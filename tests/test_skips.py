"""A skipped test that `tests/skips.txt` doesn't name fails where skips are strict (`.ci/run`)."""

import types

import pytest

from tests import conftest
from tests.paths import ROOT

NAMED = "tests/report/test_browser.py::test_page[dark]"
REASON = "no Chromium or Chrome is installed"


@pytest.fixture
def outcome(monkeypatch):
    """What becomes of a skip of a test with a reason."""

    def outcome(nodeid, reason, strict="1"):
        monkeypatch.setenv("JAXACTION_STRICT_SKIPS", strict)
        report = types.SimpleNamespace(nodeid=nodeid, skipped=True, outcome="skipped")
        report.longrepr = ("test_browser.py", 60, f"Skipped: {reason}")
        conftest.refuse_unnamed_skip(report)
        return report.outcome

    return outcome


def test_a_skip_with_its_reason_stays_one(outcome):
    assert outcome(NAMED, REASON) == "skipped"


def test_another_test_and_another_reason_fail(outcome):
    assert outcome("tests/report/test_chart.py::test_page", REASON) == "failed"
    assert outcome(NAMED, "not today") == "failed"


def test_every_skip_stays_one_unless_it_is_asked_for(outcome):
    assert outcome(NAMED, "not today", strict="") == "skipped"


def test_named_tests_are_there():
    for pattern, reason in conftest.skips_that_are_named():
        assert (ROOT / pattern.split("::")[0]).is_file() and reason
