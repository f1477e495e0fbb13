"""SMTP and POP3 beside visitors of the pages: what those cost the mail.

200 members at once load pages over round trips of 2 s and log in, each login cold; or
200 attackers drip octets. Meanwhile others hand in mails of 2 KB and look in by POP3,
their logins remembered. Each is compared with the same without visitors.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

import attrs

from benchmarks.loads import look, submit, visiting
from benchmarks.ours import Ours
from benchmarks.page_load import Visitors
from benchmarks.pop3_look import Look
from benchmarks.server import DOMAIN, PASSWORD
from benchmarks.smtp_load import Plan
from benchmarks.table import Row, grouped, markdown, median, number, ratio

AT_ONCE = 200
ROUND_TRIP = 2.0
# Connecting and five pages.
_VISIT = 6 * ROUND_TRIP
_OWNER, *_SENDERS = (f"member{number:05d}" for number in range(11))
_WARMING = 20
_ALONE = "nobody"
_SMTP, _CROWDED, _POP3 = "SMTP, one at a time", "SMTP, 10 at once", "POP3"


def measure(
    ours: Ours, seconds: float, repeat: int, members: Sequence[str]
) -> Iterator[Row]:
    """Measure without and beside visitors, in turn, as often as asked."""
    crowds = {
        _ALONE: None,
        f"{AT_ONCE} page loads": Visitors(
            port=ours.web_port,
            at_once=AT_ONCE,
            round_trip=ROUND_TRIP,
            members=tuple(members[_WARMING:]),
            password=PASSWORD,
            spread=_VISIT,
        ),
        f"{AT_ONCE} attackers": Visitors(
            port=ours.web_port, at_once=AT_ONCE, round_trip=0.0, spread=ROUND_TRIP
        ),
    }
    for repetition in range(repeat):
        for beside, visitors in crowds.items():
            known = {"measure": "pages", "beside": beside, "repetition": repetition}
            _begin(ours)
            if visitors is None:
                yield from (known | row for row in _mail(ours, seconds))
            else:
                rows = _beside(ours, visitors, seconds)
                yield from (known | row for row in rows)


def _begin(ours: Ours) -> None:
    """Begin anew, with the logins of those measured remembered and mail to read."""
    ours.renew()
    submit(_plan(ours, connections=1, messages=_WARMING, recipients=(_OWNER,)))
    look(Look(ours.pop3_port, _OWNER, PASSWORD, 0.0))


def _beside(ours: Ours, visitors: Visitors, seconds: float) -> Iterator[Row]:
    with visiting(visitors) as ended:
        # The last of them has come, and is as far as any.
        ramp = visitors.spread + visitors.round_trip
        time.sleep(ramp)
        used, began = ours.cpu_seconds(), time.perf_counter()
        time.sleep(seconds)
        used = (ours.cpu_seconds() - used) / (time.perf_counter() - began)
        yield from _mail(ours, seconds)
        saw = ended()
    pace = statistics.fmean(saw.pages[math.ceil(ramp) :])
    yield {"what": "visitors", "cpu": used, "pace": pace, **attrs.asdict(saw)}


def _mail(ours: Ours, seconds: float) -> Iterator[Row]:
    """Measure the mail alone."""
    for what, connections in ((_SMTP, 1), (_CROWDED, 10)):
        done = submit(_plan(ours, connections=connections, seconds=seconds))
        row = attrs.asdict(done) | {"rate": done.rate}
        yield {"what": what, **row}
    looked = look(Look(ours.pop3_port, _OWNER, PASSWORD, seconds))
    yield {"what": _POP3, **attrs.asdict(looked), "rate": looked.rate}


def _plan(
    ours: Ours,
    *,
    connections: int,
    seconds: float = 0,
    messages: int = 0,
    recipients: Sequence[str] = _SENDERS,
) -> Plan:
    return Plan(
        port=ours.port,
        domain=DOMAIN,
        password=PASSWORD,
        hot=tuple(_SENDERS),
        recipients=tuple(recipients),
        size=2048,
        connections=connections,
        seconds=seconds,
        messages=messages,
    )


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table of the mail, and that of the visitors."""
    mail = [row for row in rows if row["what"] != "visitors"]
    seen = [row for row in rows if row["what"] == "visitors"]
    yield markdown(
        "Mail beside visitors of the pages (ratios: to the same beside nobody)",
        ["mail", "beside", "a second", "", "p50 ms", "", "p95 ms", "", "longest ms"],
        _mail_lines(mail),
    )
    yield markdown(
        f"The visitors, their round trips of {ROUND_TRIP:.0f} s left out",
        [
            "visitors",
            "pages a second",
            "visits",
            "p50 ms",
            "p95 ms",
            "longest ms",
            "closed",
            "node's CPU without mail",
            "ms of it a page",
            "errors",
        ],
        _visitor_lines(seen),
    )


def _mail_lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    by_what = grouped(rows, "what", "beside")
    for (what, beside), alike in by_what.items():
        line = [what, beside]
        alone = by_what[what, _ALONE]
        for key, digits in (("rate", 0), ("p50", 2), ("p95", 2)):
            value = median(alike, key)
            line += [number(value, digits), ratio(value, median(alone, key))]
        errors = sum((sum(row.get("errors", {}).values()) for row in alike), 0)
        longest = number(median(alike, "longest"), 1)
        yield [*line, f"{longest} ({errors} errors)" if errors else longest]


def _visitor_lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    for (beside,), alike in grouped(rows, "beside").items():
        pace, used = median(alike, "pace"), median(alike, "cpu") or 0.0
        yield [
            beside,
            number(pace),
            number(sum(row["visits"] for row in alike)),
            *(number(median(alike, key), 1) for key in ("p50", "p95", "longest")),
            number(sum(row["closed"] for row in alike)),
            f"{100 * used:.0f} %",
            number(1000 * used / pace if pace else None, 1),
            _told(alike),
        ]


def _told(rows: Sequence[Mapping[str, Mapping[str, int]]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        for text, count in row["errors"].items():
            counts[text] = counts.get(text, 0) + count
    return "; ".join(f"{count}x {text}" for text, count in counts.items())
