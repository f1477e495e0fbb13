"""The frontier as an SVG: worst tenth against the delay, a panel for each rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from attrs import frozen

from benchmarks.anonymity.figures import Figures, on_frontier

# A panel's inner size, and what lies around it, in pixels.
_WIDE, _HIGH = 268, 250
_LEFT, _TOP, _GAP, _BELOW = 58, 40, 26, 112
_HOURS, _SETS = 26, 64
_MARKS = ("circle", "circle", "diamond", "square", "triangle", "square", "diamond")
_HUES = (
    "#d1495b",
    "#d1495b",
    "#b8860b",
    "#3a7ca5",
    "#5b8e3e",
    "#8e6bb5",
    "#2a9d8f",
    "#8a8a8a",
)
_STYLE = """\
text { font: 12px sans-serif; fill: #444 }
.small { font-size: 11px }
.title { font-weight: bold }
.axis { stroke: #888; fill: none }
.grid { stroke: #888; stroke-opacity: .25 }
.frontier { stroke: #888; stroke-dasharray: 4 3; fill: none }
@media (prefers-color-scheme: dark) { text { fill: #ccc } }
"""


@frozen
class Point:
    """A rule in a panel: `family` counts from 0, 0 being the node's own delays."""

    family: int
    label: str
    figures: Figures


@frozen
class Panel:
    """One rate."""

    title: str
    points: Sequence[Point]


def svg(panels: Sequence[Panel], families: Sequence[str], rows: Sequence[str]) -> str:
    """Return the picture; `panels` fill `rows` of equally many, from the left."""
    columns = len(panels) // len(rows)
    width = _LEFT + columns * (_WIDE + _GAP)
    row = _HIGH + _TOP + 44
    height = row * len(rows) + _BELOW - 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img">',
            "<title>Worst tenth of the anonymity sets against the delay</title>",
            f"<style>{_STYLE}</style>",
            *(
                line
                for number, panel in enumerate(panels)
                for line in _panel(
                    panel,
                    _LEFT + number % columns * (_WIDE + _GAP),
                    _TOP + number // columns * row,
                    rows[number // columns] if number % columns == 0 else "",
                )
            ),
            *_legend(families, row * len(rows) + 18),
            "</svg>",
            "",
        ]
    )


def _x(hours: float) -> float:
    return min(hours, _HOURS) / _HOURS * _WIDE


def _y(accounts: float) -> float:
    return _HIGH * (1 - math.log2(accounts) / math.log2(_SETS))


def _panel(panel: Panel, left: int, top: int, row: str) -> Iterator[str]:
    yield f'<g transform="translate({left} {top})">'
    yield f'<text class="title" x="0" y="-10">{panel.title}</text>'
    for accounts in (1, 2, 4, 8, 16, 32, 64):
        y = _y(accounts)
        yield f'<path class="grid" d="M0 {y:.1f}H{_WIDE}"/>'
        yield f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{accounts}</text>'
    for hours in (0, 6, 12, 18, 24):
        x = _x(hours)
        yield f'<path class="grid" d="M{x:.1f} 0V{_HIGH}"/>'
        yield f'<text x="{x:.1f}" y="{_HIGH + 16}" text-anchor="middle">{hours}</text>'
    yield f'<path class="axis" d="M0 0V{_HIGH}H{_WIDE}"/>'
    yield (
        f'<text class="small" x="{_WIDE / 2}" y="{_HIGH + 32}" text-anchor="middle">'
        "hours until 95 % have left</text>"
    )
    if row:
        yield (
            f'<text class="small" transform="translate(-40 {_HIGH / 2}) rotate(-90)"'
            f' text-anchor="middle">worst tenth of the sets, {row}</text>'
        )
    yield from _frontier(panel.points)
    for point in sorted(panel.points, key=lambda point: -point.family):
        yield from _point(point)
    yield "</g>"


def _frontier(points: Sequence[Point]) -> Iterator[str]:
    figures = [point.figures for point in points]
    best = sorted(
        (_x(one.delay_95), _y(one.worst))
        for one in figures
        if on_frontier(one, figures)
    )
    path = f"M{best[0][0]:.1f} {best[0][1]:.1f}" + "".join(
        f"H{x:.1f}V{y:.1f}" for x, y in best[1:]
    )
    yield f'<path class="frontier" d="{path}H{_WIDE}"/>'


def _point(point: Point) -> Iterator[str]:
    x, y = _x(point.figures.delay_95), _y(point.figures.worst)
    yield _mark(point.family, x, y, 5 if point.family == 0 else 4)
    if point.family == 0:
        side, anchor = (-9, "end") if x > _WIDE / 2 else (9, "start")
        up = -7 if y > _HIGH - 5 else 4
        # Two of them stand at no delay and no set.
        up -= 13 if point.label == "defer" and y > _HIGH - 5 else 0
        yield (
            f'<text class="small" x="{x + side:.1f}" y="{y + up:.1f}"'
            f' text-anchor="{anchor}">{point.label}</text>'
        )


def _mark(family: int, x: float, y: float, r: int) -> str:
    hue = _HUES[family]
    fill = hue if family == 0 else "none"
    style = f'fill="{fill}" stroke="{hue}" stroke-width="1.6"'
    match (*_MARKS, "triangle")[family]:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {style}/>'
        case "square":
            return (
                f'<rect x="{x - r:.1f}" y="{y - r:.1f}"'
                f' width="{2 * r}" height="{2 * r}" {style}/>'
            )
        case "diamond":
            corners = f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l-{r + 1} {r + 1}"
            return f'<path d="{corners}l-{r + 1} -{r + 1}z" {style}/>'
        case _:
            corners = f"M{x:.1f} {y - r:.1f}l{r} {2 * r}h-{2 * r}z"
            return f'<path d="{corners}" {style}/>'


def _legend(families: Sequence[str], top: int) -> Iterator[str]:
    for number, name in enumerate(families):
        x, y = _LEFT + number % 4 * 218, top + number // 4 * 22
        yield _mark(number, x, y - 4, 4)
        yield f'<text x="{x + 12}" y="{y}">{name}</text>'
    x, y = _LEFT, top + 2 * 22
    yield f'<path class="frontier" d="M{x - 6} {y - 4}h28"/>'
    yield (
        f'<text x="{x + 30}" y="{y}">the frontier: nothing that was tried has as large'
        " a set for as little delay; what takes longer than 26 h stands at the edge"
        "</text>"
    )
