"""What a message that is attached tells, of its writer and of who attached it.

The wash goes into it as into the message around it; what it leaves there on purpose
(whom it is from, when it was written) is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from postmand.message.disclosure import clocks, header
from postmand.message.disclosure.anatomy import Section
from postmand.message.disclosure.finding import Finding, found
from postmand.message.disclosure.scene import Scene

PLACE = "attached message, "
"""Before the name of a field that stands in one."""

_FIELDS = 100


def findings(section: Section, scene: Scene) -> Iterator[Finding]:
    """Yield what the header of one attached message tells."""
    head = evolve(section, fields=section.fields[:_FIELDS])
    date = clocks.moment(head.first(b"date"))
    yield from _kept(head, date, scene)
    # Its ids hold its own clock, and the people in it are named in files as well.
    for one in header.findings(head, evolve(scene, date=date)):
        note = f"{one.note} (or that of who wrote the attached message)"
        yield evolve(one, where=PLACE + one.where, note=note)


def _kept(head: Section, date: clocks.Moment | None, scene: Scene) -> Iterator[Finding]:
    """Yield what makes an attached message a message: people, id, time."""
    for name in (b"From", b"Sender", b"Reply-To", b"To", b"Cc"):
        where = f"{PLACE}header {name.decode('ascii')}"
        for one in header.mailboxes(head.first(name.lower()))[:10]:
            if one.address not in (*scene.identity.own, scene.identity.address):
                shown = f"{one.name} <{one.address}>" if one.name else str(one.address)
                note = "whom the message that you attached is from or to"
                yield found("attached", where, shown, note)
    given = head.first(b"message-id").strip()
    if given:
        note = "who else has the message that you attached can tell it by this"
        where = f"{PLACE}header Message-ID"
        yield found("attached", where, given, note)
    if date is not None:
        note = "when the message that you attached was written"
        where = f"{PLACE}header Date"
        yield found("attached", where, clocks.stamp(date.unix), note)
