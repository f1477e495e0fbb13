"""What the fields of a header tell: names, values, spellings, order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from postmand.message import transfer
from postmand.message.address import Group, Mailbox, parse_list
from postmand.message.disclosure import clocks, ids
from postmand.message.disclosure.anatomy import Section
from postmand.message.disclosure.finding import MEANINGS, Finding, found
from postmand.message.disclosure.scene import Scene
from postmand.message.encoded import decode_words

_PROGRAMS = frozenset(
    b"user-agent x-mailer x-newsreader x-mimeole x-mailer-version mail-system-version"
    b" x-mailer-info".split()
)
# Fields that say more than that their program writes them.
_TELLING = {
    b"x-originating-ip": ("local-ip", "the address you came from"),
    b"x-forwarded-for": ("local-ip", "the address you came from"),
    b"x-sender-ip": ("local-ip", "the address you came from"),
    b"received": ("hostname", "machines the mail passed on its way"),
    b"organization": ("realname", "whom you work for"),
    b"organisation": ("realname", "whom you work for"),
    b"autocrypt": ("software", "your OpenPGP key, which is always the same"),
    b"openpgp": ("software", "where your OpenPGP key is"),
    b"x-pgp-key": ("software", "your OpenPGP key"),
    b"x-face": ("realname", "a picture of you"),
    b"face": ("realname", "a picture of you"),
    b"x-authentication-warning": ("username", "your login on your machine"),
    b"x-mozilla-draft-info": ("software", "how Thunderbird kept the draft"),
}
_LANGUAGES = frozenset((b"content-language", b"accept-language", b"x-accept-language"))
_USUAL = {
    "bcc": "Bcc",
    "cc": "Cc",
    "content-disposition": "Content-Disposition",
    "content-type": "Content-Type",
    "date": "Date",
    "from": "From",
    "in-reply-to": "In-Reply-To",
    "message-id": "Message-ID",
    "mime-version": "MIME-Version",
    "references": "References",
    "reply-to": "Reply-To",
    "subject": "Subject",
    "to": "To",
}
_ORDER = (
    b"date from to cc subject message-id in-reply-to references mime-version"
    b" content-type content-transfer-encoding content-disposition".split()
)
_ZONE = re.compile(rb"([+-](?:0[0-9]|1[0-4])[0-5]\d)(?!\d)")
_ZONE_NAME = re.compile(rb"\([^()]{1,60}\)")
_UTC_NAMES = frozenset((b"(utc)", b"(gmt)", b"(coordinated universal time)"))
_OWN = re.compile(rb";\s{0,9}x-[a-z]", re.IGNORECASE)
_ADDRESS = re.compile(rb"([\w.+-]{1,64})@([\w.-]{1,253})")
_ENCODED = re.compile(rb"=\?([^?*\s]{1,40})(?:\*([A-Za-z-]{2,12}))?\?[BbQq]\?")
_NEUTRAL = frozenset((b"utf-8", b"us-ascii", b"utf8"))
_VERSION = re.compile(
    r"(?<![\w.])(?:(GTK\+?|Qt|KDE|Gecko|Darwin)[ /])?"
    r"v?(\d[\w:~+-]{0,30}(?:\.[\w+~:-]{1,30}){1,8}|20\d{6}\b)"
)
_SYSTEM = re.compile(
    r"[\w.]+-(?:pc|unknown|apple|portbld)-[\w.-]+|Windows(?: NT)?(?: [\d.]+)?"
    r"|Win(?:32|64)|Intel Mac OS X[ \d._]*|Mac OS X[ \d._]*"
    r"|Macintosh|macOS[ \d.]*"
    r"|iPhone|iPad|iOS|Android[ \d.]*|gnu/linux|Linux(?: [\w.]+)?"
    r"|X11|Ubuntu|Debian|\+deb\d+u\d+"
    r"|Fedora|FreeBSD|OpenBSD|NetBSD|SunOS|Microsoft"
)


def findings(top: Section, scene: Scene) -> Iterator[Finding]:
    """Yield what the header of the message itself tells."""
    seen = set()
    for spelt, value in top.fields:
        name = spelt.lower()
        if name in _PROGRAMS:
            yield from _program(value, _where(spelt))
        yield from _telling(name, spelt, value)
        if name == b"received" or (name[:2] == b"x-" and name not in _PROGRAMS):
            yield from _within(value, _where(spelt), scene)
        if name == b"mime-version" and b"(" in value:
            yield from _program(value.partition(b"(")[2], _where(spelt))
        if name in _LANGUAGES:
            yield found("language", _where(spelt), value, "your language")
        yield from _charsets(value, _where(spelt))
        yield from _spelling(spelt)
        seen.add(name)
    yield from _date(top)
    yield from _people(top, scene)
    yield from _subject(top)
    for name in (b"message-id", b"resent-message-id", b"x-message-id"):
        if name in seen:
            yield from ids.findings(top.first(name), "header Message-ID", scene)
    if b"thread-index" in seen:
        yield from _thread_index(top.first(b"thread-index"))
    if b"content-disposition" in seen and not top.file_name:
        yield found(
            "software",
            "top-level header",
            b"Content-Disposition: " + top.first(b"content-disposition"),
            "only mutt, neomutt and Balsa put it there",
        )
    yield from _order(top)


def of_part(section: Section) -> Iterator[Finding]:
    """Yield what a part's header tells by fields and parameters of a program's own."""
    for spelt, value in section.fields[:50]:
        line = b"%s: %s" % (spelt, value)
        name = spelt.lower()
        if name.startswith(b"x-"):
            note = "a field of one program's own"
            yield found("software", f"part {_where(spelt)}", line, note)
        elif name == b"content-location" and b":" in value:
            yield found("path", f"part {_where(spelt)}", value, "where the file lies")
        elif name == b"content-disposition" and _OWN.search(value[:2_000]):
            note = "a parameter of one program's own"
            yield found("software", f"part {_where(spelt)}", line, note)
    for key, value in section.parameters.items():
        if key.startswith(b"x-"):
            line = b"%s=%s" % (key, value)
            note = "a parameter of one program's own"
            yield found("software", "Content-Type parameter", line, note)


def _where(name: bytes) -> str:
    return f"header {name.decode('latin-1')}"


def _program(value: bytes, where: str) -> Iterator[Finding]:
    text = decode_words(value[:500])
    yield found("software", where, text, "your mail program names itself")
    for match in list(_VERSION.finditer(text))[:4]:
        shown = match[0] if match[1] else match[2]
        yield found("version", where, shown, "its version")
    for system in list(dict.fromkeys(_SYSTEM.findall(text)))[:3]:
        yield found("os", where, system.strip(), "your operating system")


def _within(value: bytes, where: str, scene: Scene) -> Iterator[Finding]:
    """Yield the addresses in a field of whatever kind: machines' and people's."""
    yield from scene.addresses(value[:2_000], where)
    for match in list(_ADDRESS.finditer(value[:2_000]))[:4]:
        if not scene.is_own(match[2].decode("latin-1")):
            yield from scene.host(match[2], where)
            yield found("username", where, match[1], "your login on your machine")


def _telling(name: bytes, spelt: bytes, value: bytes) -> Iterator[Finding]:
    if name in _TELLING:
        category, note = _TELLING[name]
        yield found(category, _where(spelt), value, note)
    elif name == b"bcc" and value:
        yield found(
            "software",
            "header Bcc",
            value,
            "the hidden recipients, sent along for everybody to read",
        )
    elif name.startswith(b"x-") and name not in _PROGRAMS:
        line = b"%s: %s" % (spelt, value)
        yield found("software", _where(spelt), line, "a field of one program's own")
    elif name in (b"thread-topic", b"thread-index", b"importance", b"priority"):
        line = b"%s: %s" % (spelt, value)
        yield found("software", _where(spelt), line, "Outlook and few others write it")


def _charsets(value: bytes, where: str) -> Iterator[Finding]:
    for charset, language in dict.fromkeys(_ENCODED.findall(value[:20_000])):
        if charset.lower() not in _NEUTRAL:
            note = "a character set of one region: it follows your language"
            yield found("language", where, charset, note)
        if language:
            yield found("language", where, language, "your language")


def _spelling(spelt: bytes) -> Iterator[Finding]:
    usual = _USUAL.get(spelt.decode("latin-1").lower())
    if usual and spelt.decode("latin-1") not in (usual, "Message-Id", "Mime-Version"):
        shown = spelt + b":"
        yield found("software", "header name", shown, f"not spelt {usual}, as most do")


def _date(top: Section) -> Iterator[Finding]:
    value = top.first(b"date")[:200]
    zone = _ZONE.search(value)
    if zone and zone[1].strip(b"+-0"):
        note = MEANINGS["timezone"]
        yield found("timezone", "header Date", zone[1], note)
    else:
        word = value.rpartition(b" ")[2]
        if word.isalpha() and word.upper() not in (b"GMT", b"UT", b"UTC", b"Z"):
            yield found("timezone", "header Date", word, "your time zone by its name")
    named = _ZONE_NAME.search(value)
    if named and named[0].lower() not in _UTC_NAMES:
        yield found("timezone", "header Date", named[0], "your time zone by its name")


def _people(top: Section, scene: Scene) -> Iterator[Finding]:
    """Yield the sender's name and address, where they are not the account's."""
    own = {bytes(one).lower() for one in scene.identity.own}
    own.add(bytes(scene.identity.address).lower())
    for name in (b"From", b"Sender", b"Reply-To", b"Resent-From", b"Return-Path"):
        for one in mailboxes(top.first(name.lower())):
            where = f"header {name.decode('ascii')}"
            yield from _named(one, where, scene)
            if bytes(one.address).lower() in own:
                continue
            domain = one.address.domain
            hosts = list(scene.host(domain, where))
            yield from hosts
            if hosts and one.address.local != scene.identity.address.local:
                note = "your login on your machine, or another address of yours"
                yield found("username", where, one.address.local, note)
    for name in (b"To", b"Cc"):
        for one in mailboxes(top.first(name.lower())):
            if bytes(one.address).lower() in own:
                yield from _named(one, f"header {name.decode('ascii')}", scene)


def _named(one: Mailbox, where: str, scene: Scene) -> Iterator[Finding]:
    name = one.name.strip()
    taken = (scene.identity.display_name.lower(), str(one.address).lower())
    if not name or name.lower() in taken or "@" in name:
        return
    if _letters(name) == _letters(scene.identity.address.local.decode("latin-1")):
        return
    scene.people.add(name)
    note = "a name that your account here does not show"
    yield found("realname", where, name, note)


def _letters(name: str) -> str:
    """What is left of a name to compare: `Jon Doe` is nothing new of `jondoe`."""
    return "".join(filter(str.isalnum, name.lower()))


def mailboxes(value: bytes) -> list[Mailbox]:
    """Return the people in a field, at most a hundred; groups are taken apart."""
    found_: list[Mailbox] = []
    for one in parse_list(value[:20_000]):
        found_ += one.members if isinstance(one, Group) else [one]
    return found_[:100]


def _subject(top: Section) -> Iterator[Finding]:
    """A clock in the subject: test programs put one there."""
    value = top.first(b"subject")[:1_000]
    zone = re.search(rb"\d\d:\d\d(?::\d\d)? ([+-]\d{4})(?!\d)", value)
    if zone and zone[1].strip(b"+-0"):
        yield found("timezone", "header Subject", zone[1], MEANINGS["timezone"])


def _thread_index(value: bytes) -> Iterator[Finding]:
    ticks = int.from_bytes(transfer.decode_base64(value[:200])[:6], "big") << 16
    when = clocks.stamp(clocks.of_filetime(ticks))
    note = f"Outlook's thread index holds the time the thread began: {when}"
    yield found("timestamp-in-message-id", "header Thread-Index", value, note)


def _order(top: Section) -> Iterator[Finding]:
    """The order the fields stand in, where it is not the one we write."""
    names = [spelt.lower() for spelt, _ in top.fields]
    usual = [name for name in names if name in _ORDER]
    if usual != sorted(usual, key=_ORDER.index):
        shown = b" ".join(spelt for spelt, _ in top.fields if spelt.lower() in _ORDER)
        note = "each program has an order of its own"
        yield found("random-fingerprintable", "header order", shown, note)
