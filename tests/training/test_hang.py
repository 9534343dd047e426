"""When stacks are printed; that they are is in `test_loop`, with a process that hangs."""

import faulthandler

import pytest

from jaxaction.training import hang


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, **_: made.append(s))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: made.append("off"))
    return made


def test_a_watch_restarts_with_each_step_and_ends_with_the_steps(calls):
    with pytest.raises(KeyError), hang.disarmed_on_exit():
        hang.arm(5.0)
        hang.arm(5.0)
        raise KeyError
    assert calls == [5.0, 5.0, "off"]


def test_no_step_is_watched_for_zero_seconds(calls):
    hang.arm(0.0)
    assert calls == []
