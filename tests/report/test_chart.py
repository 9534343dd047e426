import numpy as np
import pytest

from jaxaction.report.chart import MOST_POINTS, Curve, axis, figure, thinned
from jaxaction.report.elements import text
from jaxaction.report.thumbnails import jpeg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.13, 0.94, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 41.0, [-10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0]),
        (2.0, 2.0, [1.0, 1.5, 2.0, 2.5, 3.0]),
        (0.0, 0.0, [-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6]),
    ],
)
def test_an_axis_has_round_numbers_around_the_values(low, high, ticks):
    assert axis(low, high, 0, 100).ticks == pytest.approx(ticks)


def test_few_points_stay_and_many_are_averaged_in_their_order():
    few = {step: float(step) for step in range(MOST_POINTS)}
    assert thinned(few) == few
    many = thinned({step: float(step % 2) for step in range(MOST_POINTS * 10)})
    assert len(many) == MOST_POINTS and list(many)[:2] == [9, 19]
    assert set(many.values()) == {0.5}


@pytest.mark.parametrize("points", [{5: 0.1}, {5: 0.1, 9: 0.1}, {1: -1e-12, 2: 1e12}])
def test_a_chart_of_any_finite_numbers_can_be_drawn(points):
    drawn = text(figure("Loss", [Curve("loss", points)], max(points)))
    assert "nan" not in drawn and "inf" not in drawn and drawn.count("<circle") == len(points)


def test_flow_is_a_picture_and_large_frames_become_small():
    assert jpeg(np.full((60, 1000, 2), 200, np.uint8))[:3] == b"\xff\xd8\xff"
    assert len(jpeg(np.zeros((1080, 1920, 3), np.uint8))) < 2000
