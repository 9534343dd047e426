import re

import numpy as np
import pytest

from jaxaction.report.chart import DASH, MOST_POINTS, Curve, axis, figure, thinned
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


def strokes(drawn: str) -> list[str]:
    """How each line of a chart is drawn, without its points and its colour."""
    return re.findall(r'<polyline points="[^"]*" class="line"([^>]*)>', drawn)


def ink(stroke: str, parts: int) -> list[bool]:
    """Whether each part of a line's first period, `parts` of `DASH` pixels, is drawn."""
    if not stroke:
        return [True] * parts
    on, off = map(float, re.search(r'dasharray="(\S+) (\S+)"', stroke).groups())
    shift = float(re.search(r'dashoffset="(\S+)"', stroke)[1])
    middles = [DASH * (i + 0.5) + shift for i in range(parts)]
    return [middle % (on + off) < on for middle in middles]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_one_of_equal_lines_is_the_topmost_somewhere(count):
    curves = [Curve(f"curve {i}", {1: 0.5, 100: 0.7}) for i in range(count)]
    drawn = strokes(text(figure("Accuracy", curves, 100, shares=True)))
    assert len(set(drawn)) == count
    inks = [ink(stroke, count) for stroke in drawn]
    topmost = {max(i for i in range(count) if inks[i][part]) for part in range(count)}
    assert topmost == set(range(count))


def test_equal_points_are_rings_around_each_other():
    curves = [Curve(f"curve {i}", {100: 0.5}) for i in range(3)]
    radii = re.findall(r' r="([^"]*)"', text(figure("Accuracy", curves, 100)))
    assert [float(r) for r in radii] == [7.0, 5.5, 4.0]


def test_a_single_line_among_points_is_solid():
    curves = [Curve("test", {9: 0.5}), Curve("train", {1: 0.1, 9: 0.5})]
    assert strokes(text(figure("Accuracy", curves, 9)))[1] == ""
