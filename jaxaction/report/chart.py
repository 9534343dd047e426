"""Curves as inline SVG, which needs no script and no network to be seen."""

import math
from typing import NamedTuple

import numpy as np

from jaxaction.report.elements import Element, element

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 10, 38  # pixels around the axes
MOST_POINTS = 400  # of a curve; more are averaged
COLOURS = 8  # how many page.css has


class Curve(NamedTuple):
    """A name and its points; a single point is drawn as a dot."""

    name: str
    points: dict[int, float]


class Axis(NamedTuple):
    """Maps numbers from `low` to `high` to the pixels from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float
    ticks: list[float]

    def pixel(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.begin + share * (self.end - self.begin):.1f}"

    def cut(self, high: float) -> "Axis":
        """The axis ended at `high`."""
        high = max(high, self.low + 1)
        return self._replace(high=high, ticks=[tick for tick in self.ticks if tick <= high])


def figure(title: str, curves: list[Curve], last_step: int, shares: bool = False) -> Element:
    """A chart with its title and, below it, each curve's name and last value.

    Steps run from 0 to `last_step`; the other axis fits the values, or is 0 to 100 % for `shares`.
    """
    curves = [curve._replace(points=thinned(curve.points)) for curve in curves]
    values = [value for curve in curves for value in curve.points.values()]
    x = axis(0, max(1, last_step), LEFT, WIDTH - RIGHT).cut(last_step)
    low, high = (0.0, 1.0) if shares else (min(values), max(values))
    y = axis(low, high, HEIGHT - BOTTOM, TOP)
    label = f"{title} over steps: " + ", ".join(_last(curve, shares) for curve in curves)
    box = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label}
    lines = [_drawn(curve, i % COLOURS, x, y, shares) for i, curve in enumerate(curves)]
    picture = element("svg", box, *_grid(x, y, shares), *lines)
    items = [
        element("li", {"class": f"c{i % COLOURS}"}, _last(curve, shares))
        for i, curve in enumerate(curves)
    ]
    return element(
        "figure",
        {"class": "chart"},
        element("figcaption", {}, title),
        picture,
        element("ul", {"class": "legend"}, *items),
    )


def axis(low: float, high: float, begin: float, end: float) -> Axis:
    """An axis over at least these numbers, from one round number to another."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        spare = abs(low) / 2 or 0.5
        low, high = low - spare, high + spare
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [i * step for i in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], begin, end, ticks)


def thinned(points: dict[int, float]) -> dict[int, float]:
    """At most `MOST_POINTS` points: each the mean of some in a row, at the last one's step."""
    if len(points) <= MOST_POINTS:
        return points
    steps = np.array_split(list(points), MOST_POINTS)
    values = np.array_split(list(points.values()), MOST_POINTS)
    return {int(s[-1]): float(v.mean()) for s, v in zip(steps, values, strict=True)}


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step * (1 - 1e-9))


def _grid(x: Axis, y: Axis, shares: bool) -> list[Element]:
    """Lines and numbers."""
    made = []
    for tick in y.ticks:
        at = y.pixel(tick)
        line = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": at, "y2": at, "class": "grid"}
        made.append(element("line", line))
        label = f"{100 * tick:g} %" if shares else f"{tick:.6g}"
        where = {"x": LEFT - 6, "y": at, "class": "y"}
        made.append(element("text", where, label))
    for tick in x.ticks:
        if tick == int(tick):
            where = {"x": x.pixel(tick), "y": HEIGHT - BOTTOM + 16, "class": "x"}
            made.append(element("text", where, f"{int(tick):,}"))
    return [*made, element("text", {"x": WIDTH - RIGHT, "y": HEIGHT - 4, "class": "end"}, "step")]


def _drawn(curve: Curve, colour: int, x: Axis, y: Axis, shares: bool) -> Element:
    """The line and, if there are few, its points, which show their values when pointed at."""
    pixels = [(x.pixel(step), y.pixel(value)) for step, value in curve.points.items()]
    line = {"points": " ".join(f"{a},{b}" for a, b in pixels), "class": "line"}
    dots = []
    if len(pixels) <= 60:
        for (a, b), (step, value) in zip(pixels, curve.points.items(), strict=True):
            title = element("title", {}, f"{curve.name} {_formatted(value, shares)}, step {step}")
            radius = 4.5 if len(pixels) == 1 else 2.5
            dots.append(element("circle", {"cx": a, "cy": b, "r": radius}, title))
    return element("g", {"class": f"c{colour}"}, element("polyline", line), *dots)


def _last(curve: Curve, shares: bool) -> str:
    return f"{curve.name} {_formatted(list(curve.points.values())[-1], shares)}"


def _formatted(value: float, shares: bool) -> str:
    return f"{100 * value:.1f} %" if shares else f"{value:.4g}"
