import subprocess
import sys
from unittest import mock

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from jaxaction.storage.events import Events


def read(folder):
    return [
        event
        for file in sorted(folder.glob("events*"))
        for event in EventFileLoader(str(file)).Load()
    ]


def test_scalars_come_back_with_step_and_name(tmp_path):
    with Events(str(tmp_path), 4) as events:
        events.scalars(5, {"train/loss": 0.5, "train/accuracy": 0.25})
    found = [
        (event.step, value.tag, value.tensor.float_val[0] or value.simple_value)
        for event in read(tmp_path)
        for value in event.summary.value
    ]
    assert found == [(5, "train/loss", 0.5), (5, "train/accuracy", 0.25)]


def test_a_resumed_run_writes_its_first_step(tmp_path):
    with Events(str(tmp_path), 4):
        pass
    assert [e.step for e in read(tmp_path) if e.session_log.status] == [4]


def test_writing_needs_no_tensorflow(tmp_path):
    code = (
        "import sys; from jaxaction.storage.events import Events\n"
        f"with Events({str(tmp_path)!r}, 0) as e: e.scalars(1, {{'a': 1.0}})\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'tensorflow']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_full_disk_is_reported_unless_another_error_ends_the_run(tmp_path):
    def run(error):
        with Events(str(tmp_path), 0) as events:
            events._writer.close = mock.Mock(side_effect=OSError(28, "full"))
            if error:
                raise error

    with pytest.raises(OSError, match="full"):
        run(None)
    with pytest.raises(KeyError):
        run(KeyError())
