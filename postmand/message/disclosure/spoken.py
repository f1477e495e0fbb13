"""What a client says of itself in its SMTP session, before its message."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import field, frozen

from postmand.message.disclosure.finding import Finding, found
from postmand.message.disclosure.scene import Scene

_SENDER = re.compile(rb"(?i:MAIL[ \t]+FROM:)[ \t]*<?([^<>\s]{0,500})")
_MOST = 512


def _bounded(line: bytes) -> bytes:
    return line[:_MOST]


@frozen
class Spoken:
    """Lines as they were sent; held in memory for one transaction and never written.

    `hello` is the whole EHLO or HELO line, `mail` the whole MAIL line, `mechanism` what
    AUTH named (as it was spelt), `authzid` the identity a PLAIN response asked to act
    as (RFC 4616), `pipelined` whether commands came before their turn.
    """

    hello: bytes = field(default=b"", converter=_bounded, repr=False)
    mail: bytes = field(default=b"", converter=_bounded, repr=False)
    mechanism: bytes = field(default=b"", converter=_bounded)
    authzid: bytes = field(default=b"", converter=_bounded, repr=False)
    pipelined: bool = False


def findings(spoken: Spoken, scene: Scene) -> Iterator[Finding]:
    """Yield what the session told."""
    verb, _, name = spoken.hello.strip().partition(b" ")
    if name:
        yield from scene.host(name.strip(), "EHLO")
    for line in (spoken.hello, spoken.mail):
        word = line.strip().partition(b" ")[0]
        if word and word != word.upper():
            note = "verbs in small letters: Python, Geary and few others write them so"
            yield found("software", "SMTP verb", word, note)
            break
    if verb.upper() == b"HELO":
        note = "HELO instead of EHLO: an old or a very simple program"
        yield found("software", "SMTP verb", verb, note)
    if spoken.authzid:
        yield found(
            "software",
            f"AUTH {spoken.mechanism.decode('latin-1').upper()}",
            spoken.authzid,
            "the login given twice (authzid), as mutt, git and few others do",
        )
    yield from _sender(spoken.mail, scene)


def _sender(mail: bytes, scene: Scene) -> Iterator[Finding]:
    match = _SENDER.match(mail.strip())
    local, at, domain = (match[1] if match else b"").rpartition(b"@")
    if not at or scene.is_own(domain.decode("latin-1")):
        return
    for one in scene.host(domain, "MAIL FROM"):
        yield found(one.category, "MAIL FROM", local + at + domain, one.note)
    if local != scene.identity.address.local:
        yield found("username", "MAIL FROM", local, "your login on your machine")
