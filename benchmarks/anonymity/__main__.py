"""`make anonymity`: print the tables, and draw the frontier into docs/anonymity.svg."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from attrs import evolve, frozen

from benchmarks.anonymity.field import FIELD, FLOODED, POOL
from benchmarks.anonymity.figures import (
    Figures,
    measure,
    on_frontier,
    on_step_frontier,
    summary,
)
from benchmarks.anonymity.model import Setting
from benchmarks.anonymity.plot import Panel, Point, svg

PLOT = Path(__file__).parents[2] / "docs" / "anonymity.svg"
SETTINGS = Setting(5, 500), Setting(20, 125), Setting(100, 25)
# A flood is most of the work, and shorter therefore.
FLOODS = Setting(5, 100, 100), Setting(20, 50, 100), Setting(100, 20, 100)
HEAD = (
    ("Rule", 24),
    ("Set", 5),
    ("10 %", 5),
    ("Worst", 5),
    ("Hit", 4),
    ("1/set", 5),
    ("Delay", 5),
    ("95 %", 5),
    ("Longest", 7),
    ("Bound", 5),
    ("All", 5),
    ("Flood", 5),
    ("F", 2),
)
NOTES = """\
Set: median of the effective sets of letters (up to 8 KiB), in accounts. 10 %: their
tenth percentile, which moves in steps. Worst: 2^(mean entropy) of the worst tenth of
them. Hit: how often the observer's best guess is right; 1/set: how often it would be if
all in a set were as likely. Delays are in hours: median, 95 %, longest. Bound: the
letters that come in within the 95 % delay, and the one itself, or all members if these
are fewer. All: Worst over mail of all sizes. Flood: Worst of the members' letters while
one account that works for the observer hands in 100 a day. F: * if no other rule has as
large a Worst for as short a 95 % delay, + if none has as large a 10 %.
"""


@frozen
class Row:
    """One rule at one rate: its letters, its mail of all sizes, and under a flood."""

    family: int
    label: str
    letters: Figures
    mails: Figures
    flooded: Figures | None


def rows(setting: Setting, flood: Setting, seed: int) -> list[Row]:
    """Run every rule at one rate."""
    found = []
    for number, family in enumerate(FIELD):
        for rule in family.rules:
            seen = measure(rule, setting, seed)
            letters = [one for one in seen if one.size_class == 0]
            flooded = None
            if rule.label in FLOODED:
                under = measure(rule, flood, seed)
                flooded = summary([o for o in under if o.size_class == 0], flood)
            found.append(
                Row(
                    number,
                    rule.label,
                    summary(letters, setting),
                    summary(seen, setting),
                    flooded,
                )
            )
    return found


def table(found: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table, as reStructuredText has them."""
    rule = "  ".join("=" * width for _, width in HEAD)
    yield rule
    yield "  ".join(name.ljust(width) for name, width in HEAD).rstrip()
    yield rule
    everybody = [row.letters for row in found]
    for row in found:
        one = row.letters
        cells = (
            f"{one.median:5.1f}",
            f"{one.tenth:5.2f}",
            f"{one.worst:5.2f}",
            f"{one.hit:4.2f}",
            f"{one.uniform:5.2f}",
            f"{one.delay:5.1f}",
            f"{one.delay_95:5.1f}",
            f"{one.longest:7.1f}",
            f"{one.bound:5.1f}",
            f"{row.mails.worst:5.2f}",
            f"{row.flooded.worst:5.2f}" if row.flooded else "    -",
            ("*" if on_frontier(one, everybody) else "")
            + ("+" if on_step_frontier(one, everybody) else ""),
        )
        yield f"{row.label:24}  {'  '.join(cells)}".rstrip()
    yield rule


def verdicts(found: Sequence[Row]) -> Iterator[str]:
    """Yield where the default pool stands, by each measure."""
    default = next(row for row in found if row.label == POOL.label)
    for of, figures in (
        ("letters", attrgetter("letters")),
        ("mail of all sizes", attrgetter("mails")),
    ):
        everybody = [figures(row) for row in found]
        for by, holds in (("Worst", on_frontier), ("10 %", on_step_frontier)):
            where = "on" if holds(figures(default), everybody) else "NOT on"
            yield f"The default pool is {where} the frontier by {by}, of {of}."


def panels(found: Sequence[Row], title: str, *, letters: bool) -> Panel:
    """Return what the plot shows of one rate."""
    return Panel(
        title,
        [
            Point(row.family, row.label, row.letters if letters else row.mails)
            for row in found
        ],
    )


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anonymity")
    parser.add_argument("--quick", action="store_true", help="a fifth, and no plot")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    short = 5 if chosen.quick else 1
    shown: list[tuple[str, list[Row]]] = []
    for setting, flood in zip(SETTINGS, FLOODS, strict=True):
        title = f"{setting.members} members with a mail a day each"
        found = rows(
            evolve(setting, days=setting.days // short + 4),
            evolve(flood, days=flood.days // short + 4),
            chosen.seed,
        )
        shown.append((title, found))
        print(f"{title}\n{'.' * len(title)}\n")
        print("\n".join(table(found)) + "\n", flush=True)
        print("\n".join(verdicts(found)) + "\n", flush=True)
    print(NOTES)
    if not chosen.quick:
        both = (("letters", True), ("mail of all sizes", False))
        drawn = [
            panels(found, title.split(" with ")[0], letters=letters)
            for _, letters in both
            for title, found in shown
        ]
        names = [family.name for family in FIELD]
        PLOT.write_text(svg(drawn, names, [name for name, _ in both]), "utf-8")


if __name__ == "__main__":
    main()
