"""Tables in Markdown, medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
"""One thing measured once: what goes into the JSON file."""


def markdown(title: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table with a heading, its columns padded so that it reads as text."""
    lines = [list(head), *map(list, body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    shown = (
        "| "
        + " | ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        )
        + " |"
        for line in (lines[0], rule, *lines[1:])
    )
    return f"### {title}\n\n" + "\n".join(shown) + "\n"


def grouped(rows: Iterable[Row], *keys: str) -> Mapping[tuple[Any, ...], list[Row]]:
    """Return the repetitions of each thing measured, in the order of the first."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def median(rows: Iterable[Row], key: str) -> float | None:
    """Return the median of a figure over repetitions, None where there is none."""
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.median(values) if values else None


def number(value: float | None, digits: int = 0) -> str:
    """Return a figure as it is shown."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, other: float | None) -> str:
    """Return how many times `other` a figure is."""
    return f"{value / other:.2f}x" if value and other else "-"


def octets(size: int) -> str:
    """Return a size in words."""
    return f"{size // 2**20} MB" if size >= 2**20 else f"{size // 2**10} KB"
