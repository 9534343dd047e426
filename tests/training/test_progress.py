import time

import numpy as np
import pytest

from jaxaction import text
from jaxaction.errors import InputError
from jaxaction.training import progress
from jaxaction.training.divergence import DivergenceCheck


def test_line_has_all_its_parts():
    values = {"loss": 0.4123, "accuracy": 0.875, "clips_per_second": 52.14}
    values |= {"seconds_per_step": 0.5652, "data_share": 0.031}
    assert progress.line(120, 350, 60, values) == (
        "step 120/350  epoch 2.0  loss 0.412  acc 87.5 %  52.1 clips/s  data 3 %  left 2:10"
    )


def test_the_learning_rate_that_follows_the_batch_is_told():
    assert progress.scaling(0.001, reference_batch=0, batch_size=4) == ""
    assert progress.scaling(0.001, reference_batch=4, batch_size=4) == ""
    text = " (0.001 for a batch of 8; --config.optim.reference_batch=0 leaves it)"
    assert progress.scaling(0.001, reference_batch=8, batch_size=4) == text


def test_clock_shows_hours_when_there_are_some():
    assert [text.clock(s) for s in (0, 59.6, 3599, 3661)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:01:01",
    ]


VIDEOS = np.array([0, 1])
DIVERGENCE = DivergenceCheck(lambda step: 0.1, "video{}".format, max_loss=0.0)


def metrics(loss, norm=1.0):
    return {"loss": np.float32(loss), "grad_norm": np.float32(norm), "accuracy": np.float32(0.5)}


def test_window_averages_its_steps():
    window = progress.Window()
    window.add(metrics(1.0), VIDEOS)
    window.add(metrics(2.0), VIDEOS)
    window.check(DIVERGENCE, last_step=12)
    values = window.means(batch_size=4)
    assert values["loss"] == 1.5
    assert values["clips_per_second"] == pytest.approx(4 / values["seconds_per_step"])


def test_waiting_for_data_counts_and_a_pause_does_not():
    def slow():
        time.sleep(0.05)
        yield {}

    window = progress.Window()
    window.next_batch(slow())
    window.add(metrics(1.0), VIDEOS)
    with window.paused():
        time.sleep(0.2)
    values = window.means(batch_size=1)
    # Both sleeps may take longer on a busy machine; the pause must not be in the step's time.
    assert 0.05 <= values["seconds_per_step"] < 0.2
    assert values["data_share"] > 0.5


def test_the_first_step_that_went_wrong_is_named_with_its_videos():
    window = progress.Window()
    for i, loss in enumerate((1.0, np.nan, np.nan)):
        window.add(metrics(loss), np.array([2 * i, 2 * i + 1]))
    with pytest.raises(InputError, match="^step 12: loss is nan; .* videos video2, video3;"):
        window.check(DIVERGENCE, last_step=13)
