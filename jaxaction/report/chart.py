"""Curves as inline SVG, which a browser shows without a script and without a network."""

import math
from typing import NamedTuple

import numpy as np

from jaxaction.report.elements import Element, element

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 10, 38  # pixels around the axes
# Points of a curve; more are averaged, since the chart is only 400 pixels wide.
MOST_POINTS = 400
MOST_DOTS = 60  # of a curve; more would run into each other
DASH = 5  # pixels, the shortest piece of a line
COLOURS = 8  # the number of them in page.css


class Curve(NamedTuple):
    """A name and its values by step; a single point is drawn as a dot."""

    name: str
    points: dict[int, float]


class Stroke(NamedTuple):
    """How a curve is drawn, so that it stays visible where other curves of its chart coincide.

    A later curve is drawn over an earlier one. `place` counts from 0 to `count - 1` among the lines
    of the chart, or among its single points.
    """

    colour: int
    place: int
    count: int

    @property
    def gap(self) -> float:
        """The share of a line that is left out, from 0 to below 1."""
        return self.place / self.count

    @property
    def dashes(self) -> dict[str, object]:
        """The SVG attributes of a line; the first line is solid.

        A period has `count` parts, and line number `place` leaves out the first `place` of them. So
        where all lines coincide, each shows in one part: all lines over it have a gap there.
        """
        if not self.place:
            return {}
        gap, ink = DASH * self.place, DASH * (self.count - self.place)
        return {"stroke-dasharray": f"{ink} {gap}", "stroke-dashoffset": -gap}

    @property
    def radius(self) -> float:
        """Pixels of a single point; an earlier one shows as a ring around a later one."""
        return 4 + 1.5 * (self.count - 1 - self.place)


class Axis(NamedTuple):
    """Maps numbers from `low` to `high` to the pixels from `begin` to `end`.

    A vertical axis begins at the larger pixel, since SVG's y points down.
    """

    low: float
    high: float
    begin: float
    end: float
    ticks: list[float]

    def pixel(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.begin + share * (self.end - self.begin):.1f}"

    def cut(self, high: float) -> "Axis":
        """Returns this axis with `high` as its end."""
        # A run before its first step still needs an axis with a length.
        high = max(high, self.low + 1)
        return self._replace(high=high, ticks=[tick for tick in self.ticks if tick <= high])


def figure(title: str, curves: list[Curve], last_step: int, shares: bool = False) -> Element:
    """Returns a chart with a title above it, and each curve's name and last value below.

    The horizontal axis has the steps from 0 to `last_step`. The vertical axis fits the values; for
    `shares` (values from 0 to 1) it goes from 0 to 100 %.
    """
    curves = [curve._replace(points=thinned(curve.points)) for curve in curves]
    values = [value for curve in curves for value in curve.points.values()]
    x = axis(0, max(1, last_step), LEFT, WIDTH - RIGHT).cut(last_step)
    low, high = (0.0, 1.0) if shares else (min(values), max(values))
    y = axis(low, high, HEIGHT - BOTTOM, TOP)
    label = f"{title} over steps: " + ", ".join(_last(curve, shares) for curve in curves)
    box = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label}
    is_point = [len(curve.points) == 1 for curve in curves]
    strokes = _strokes(is_point)
    lines = [_drawn(*pair, x, y, shares) for pair in zip(curves, strokes, strict=True)]
    picture = element("svg", box, *_grid(x, y, shares), *lines)
    items = [
        element("li", _legend_key(stroke, dot), _last(curve, shares))
        for curve, stroke, dot in zip(curves, strokes, is_point, strict=True)
    ]
    return element(
        "figure",
        {"class": "chart"},
        element("figcaption", {}, title),
        picture,
        element("ul", {"class": "legend"}, *items),
    )


def _strokes(is_point: list[bool]) -> list[Stroke]:
    """Returns a stroke for each curve; lines and single points are counted apart."""
    return [
        Stroke(i % COLOURS, is_point[:i].count(kind), is_point.count(kind))
        for i, kind in enumerate(is_point)
    ]


def _legend_key(stroke: Stroke, is_point: bool) -> dict[str, object]:
    """Returns the attributes of a legend's entry; page.css draws its point or line from them."""
    if is_point:
        return {"class": f"c{stroke.colour} point"}
    return {"class": f"c{stroke.colour}", "style": f"--gap: {stroke.gap:.3f}"}


def axis(low: float, high: float, begin: float, end: float) -> Axis:
    """Returns an axis from a round number to a round number, with `low` and `high` between them."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        spare = abs(low) / 2 or 0.5  # equal values would make an axis without a length
        low, high = low - spare, high + spare
    step = _round_step((high - low) / 5)
    # 1e-9: a value that is a tick but for its rounding needs no further tick.
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [i * step for i in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], begin, end, ticks)


def thinned(points: dict[int, float]) -> dict[int, float]:
    """Averages neighbours if there are more than `MOST_POINTS`; a mean gets their last step."""
    if len(points) <= MOST_POINTS:
        return points
    steps = np.array_split(list(points), MOST_POINTS)
    values = np.array_split(list(points.values()), MOST_POINTS)
    return {int(s[-1]): float(v.mean()) for s, v in zip(steps, values, strict=True)}


def _round_step(step: float) -> float:
    """Returns the smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step * (1 - 1e-9))


def _grid(x: Axis, y: Axis, shares: bool) -> list[Element]:
    """Returns the horizontal lines, and the numbers at both axes."""
    made = []
    for tick in y.ticks:
        at = y.pixel(tick)
        line = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": at, "y2": at, "class": "grid"}
        made.append(element("line", line))
        label = f"{100 * tick:g} %" if shares else f"{tick:.6g}"
        where = {"x": LEFT - 6, "y": at, "class": "y"}
        made.append(element("text", where, label))
    for tick in x.ticks:
        # A run of few steps has ticks such as 0.5, which is no step.
        if tick == int(tick):
            where = {"x": x.pixel(tick), "y": HEIGHT - BOTTOM + 16, "class": "x"}
            made.append(element("text", where, f"{int(tick):,}"))
    return [*made, element("text", {"x": WIDTH - RIGHT, "y": HEIGHT - 4, "class": "end"}, "step")]


def _drawn(curve: Curve, stroke: Stroke, x: Axis, y: Axis, shares: bool) -> Element:
    """Returns the line and, if there are few, its points with their values as tooltips."""
    pixels = [(x.pixel(step), y.pixel(value)) for step, value in curve.points.items()]
    line: dict[str, object] = {"points": " ".join(f"{a},{b}" for a, b in pixels), "class": "line"}
    dots = []
    if len(pixels) <= MOST_DOTS:
        for (a, b), (step, value) in zip(pixels, curve.points.items(), strict=True):
            title = element("title", {}, f"{curve.name} {_formatted(value, shares)}, step {step}")
            radius = stroke.radius if len(pixels) == 1 else 2.5
            dots.append(element("circle", {"cx": a, "cy": b, "r": radius}, title))
    return element(
        "g", {"class": f"c{stroke.colour}"}, element("polyline", line | stroke.dashes), *dots
    )


def _last(curve: Curve, shares: bool) -> str:
    return f"{curve.name} {_formatted(list(curve.points.values())[-1], shares)}"


def _formatted(value: float, shares: bool) -> str:
    return f"{100 * value:.1f} %" if shares else f"{value:.4g}"
