"""What a member is told of mail that did not arrive (RFC 3464 in RFC 6522's form).

A bounce is made here, never by a gateway, and goes into the member's own mailbox. Words
of the far end stand in it as printable ASCII, cut, where no program takes them for
anything else; addresses beyond ASCII are written out in it (RFC 6533 3), so that no
hop needs SMTPUTF8 or 8BITMIME for a report. It tells no time but its own Date.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from attrs import field, frozen

from postmand.internet import Reply
from postmand.message import answers, encoded, headers, parameters
from postmand.message.address import Address, Mailbox
from postmand.message.border import Border
from postmand.message.fields import Field
from postmand.message.headers import fold
from postmand.message.parts import Random
from postmand.message.restamp import RELEASED

SUBJECT = "Undelivered mail"

_FIELD = re.compile(
    rb"^([!-9;-~]++):[ \t]*+((?>(?:[^\r\n]++|\r\n[ \t])*))\r\n", re.MULTILINE
)
_RETURNED_OCTETS = 16_384
_SAID = 300
_SUBJECT_SHOWN = 200
_ADDRESS_OCTETS = 320
# An address stands on one line, which may have 998 octets (RFC 5322 2.1.1).
_WRITTEN_OCTETS = 900
_NOT_PRINTABLE = re.compile(r"[^!-~]+")
_ENHANCED = re.compile(r"[45]\.\d{1,3}\.\d{1,3}")
_WIDTH = 72
_STATUS_MIME = [
    (b"Content-Type", b"message/delivery-status"),
    (b"Content-Transfer-Encoding", b"7bit"),
]
_RETURNED_MIME = [
    (b"Content-Type", b"text/rfc822-headers"),
    (b"Content-Transfer-Encoding", b"7bit"),
]

_NOT_SENT = "It was not sent there:"
_REFUSED = "The other side refuses it for good."
_PUT_OFF = "The other side put it off each time it was tried, until the time was over."
_ITS_WORDS = (
    "It said what follows. These words are its own, not ours: a link in them may be a "
    "trap."
)
_NOBODY_REACHED = "No way to the other side was found, until the time was over."
_DOUBTFUL = (
    "Once the connection broke before the other side had answered, so the mail may "
    "have arrived all the same. Ask before you send it again."
)
_SEND_AGAIN = "You can send it again later: the trouble may be over by then."
_CHANGE_IT = "Sent again as it is, it will most likely be refused again."
# By subject and detail of the status code (RFC 3463 3), the more exact first.
_ADVICE = (
    (".2.2", "The mailbox is full: its owner has to make room before you send again."),
    (".2.3", "It is too large for this mailbox: send less, or in several mails."),
    (".3.4", "It is too large for the other side: send less, or in several mails."),
    (".1.", "Look at the address: is it written as its owner gave it to you?"),
    (
        ".7.",
        "A rule over there forbids it, often one against spam. Other words, fewer "
        "links or another address of the recipient may help.",
    ),
)
_LAST_WORDS = (
    "It is not tried again for these recipients. You hear of others only if it fails "
    "there, too. The header of your mail, as it left, is below."
)


def _failed(_: object, __: object, reply: Reply) -> None:
    if reply.delivered:
        raise ValueError("this recipient has the message")


@frozen
class Failure:
    """A recipient who will not get the message, and the last the far end said of it.

    A reply of ours says why it was not asked; one for now, that no way was found in all
    the time given. `doubtful`: a connection broke after the message was sent, so that
    it may have arrived all the same.
    """

    recipient: bytes
    reply: Reply = field(validator=_failed)
    doubtful: bool = False


def bounce(
    to: Mailbox,
    failures: Sequence[Failure],
    *,
    header: bytes,
    date: bytes,
    message_id: bytes,
    host_name: bytes,
    border: Border,
    rng: Random,
) -> tuple[bytes, bytes]:
    """Return (header block, body) of the letter that tells `to` of these failures.

    `header` is the block the message left with: its fields in RELEASED come back in it,
    up to 16 KiB, its signature does not. The letter is an answer to the id given out
    for the message, in the mail domain's form, so that the member's client joins it to
    the thread. `host_name` is the node's public name; `rng` makes the boundary.
    """
    if not failures:
        raise ValueError("a bounce without a failure")
    returned = _returned(header)
    original = dict(returned)
    mime, body = report(
        _words(failures, original.get(b"Subject", b"")),
        failures,
        returned,
        host_name=host_name,
        rng=rng,
    )
    thread = headers.message_id(original.get(b"Message-ID"))
    block = answers.letter_header(
        to,
        SUBJECT,
        sender=Mailbox("Mail system", Address(b"mailer-daemon", border.mail_domain)),
        date=date,
        message_id=message_id,
        in_reply_to=border.home_id(thread) if thread else None,
        mime=mime,
    )
    return block, body


def report(
    words: str,
    failures: Sequence[Failure],
    returned: Sequence[Field],
    *,
    host_name: bytes,
    rng: Random,
) -> tuple[list[Field], bytes]:
    """Return the MIME fields and the body of a report (RFC 3464).

    `words` is its text for people; `returned` are fields of what is reported on.
    """
    text_mime, text = answers.text_part(words)
    status = _status(failures, host_name)
    parts = [
        headers.write(text_mime) + text,
        headers.write(_STATUS_MIME) + status,
    ]
    if returned:
        parts.append(headers.write(_RETURNED_MIME) + headers.write(returned))
    boundary = _boundary(parts, rng)
    pieces = [b"--%s\r\n%s\r\n" % (boundary, part) for part in parts]
    pieces.append(b"--%s--\r\n" % boundary)
    return _report_mime(boundary), b"".join(pieces)


def _returned(header: bytes) -> list[Field]:
    """Return the message's own fields, without those there is no room for."""
    kept: list[Field] = []
    room = _RETURNED_OCTETS
    for name, body in _FIELD.findall(header):
        octets = len(name) + len(body)
        if name in RELEASED and body.isascii() and octets <= room:
            kept.append((name, body))
            room -= octets
    return kept


def _boundary(parts: Iterable[bytes], rng: Random) -> bytes:
    while True:
        boundary = b"=_%032x" % rng.getrandbits(128)
        if not any(boundary in part for part in parts):
            return boundary


def _report_mime(boundary: bytes) -> list[Field]:
    named = [(b"report-type", b"delivery-status"), (b"boundary", boundary)]
    words = parameters.write(b"multipart/report", named)
    return [
        (b"Content-Type", fold(b"Content-Type", words)),
        (b"Content-Transfer-Encoding", b"7bit"),
    ]


def _status(failures: Iterable[Failure], host_name: bytes) -> bytes:
    """Return the fields for programs: a group for the message, one a recipient."""
    groups = [headers.write([(b"Reporting-MTA", b"dns; %s" % host_name)])]
    for failure in failures:
        group = [
            (b"Final-Recipient", _typed(_address(failure))),
            (b"Action", b"failed"),
            (b"Status", _code(failure).encode("ascii")),
        ]
        line = _said(failure)
        if line:
            words = [b"smtp;", *line.encode("ascii").split(b" ")]
            group.append((b"Diagnostic-Code", fold(b"Diagnostic-Code", words)))
        groups.append(headers.write(group))
    return b"".join(groups).removesuffix(b"\r\n")


def _typed(address: str) -> bytes:
    """Return an address with its type, in ASCII (RFC 6533 3, utf-8-addr-xtext)."""
    if address.isascii():
        return b"rfc822; %s" % address.encode("ascii")
    written, octets = [], 0
    for one in address:
        plain = "!" <= one <= "~" and one not in "\\+="
        written.append(one if plain else f"\\x{{{ord(one):02X}}}")
        octets += len(written[-1])
        if octets > _WRITTEN_OCTETS:
            written.pop()
            break
    return b"utf-8; %s" % "".join(written).encode("ascii")


def _address(failure: Failure) -> str:
    text = failure.recipient[:_ADDRESS_OCTETS].decode("utf-8", "replace")
    return encoded.clean(text) or "?"


def _code(failure: Failure) -> str:
    """Return the status code (RFC 3463); a reply without a good one gets x.0.0."""
    reply = failure.reply
    kind = "5" if reply.permanent else "4"
    fits = _ENHANCED.fullmatch(reply.enhanced) and reply.enhanced.startswith(kind)
    return reply.enhanced if fits else f"{kind}.0.0"


def _said(failure: Failure) -> str:
    """Return what the far end said, on one line: nothing where the words are ours.

    In printable ASCII that no program reads more into: without brackets there is no
    markup, without `=?` no encoded word.
    """
    reply = failure.reply
    if reply.ours or not 400 <= reply.code <= 599:
        return ""
    text = _NOT_PRINTABLE.sub(" ", reply.text[: 10 * _SAID]).strip()
    text = text.replace("=?", "= ?").replace("<", "(").replace(">", ")")
    if len(text) > _SAID:
        text = text[: _SAID - 4].rstrip() + " ..."
    return f"{reply.code} {_code(failure)} {text}".rstrip()


def _words(failures: Iterable[Failure], subject: bytes) -> str:
    """Return the letter's own text; who got the same answer stands together."""
    alike: dict[tuple[str, ...], list[Failure]] = {}
    for one in failures:
        alike.setdefault((_code(one), *_explained(one)), []).append(one)
    about = encoded.decode_words(headers.unfolded_lines(subject)[0])
    lines = ["This is the mail system. A mail you wrote did not arrive everywhere."]
    if about:
        lines += ["", "Its subject:", "", f"    {about[:_SUBJECT_SHOWN]}"]
    for (_, *explained), same in alike.items():
        lines += ["", "It was not delivered to:", ""]
        lines += [f"    {_address(one)}" for one in same]
        lines += ["", *explained]
    lines += ["", *textwrap.wrap(_LAST_WORDS, _WIDTH)]
    return "\n".join(lines)


def _explained(failure: Failure) -> list[str]:
    """Return what happened, what the far end said, and what can be done."""
    said = _said(failure)
    why = _reason(failure.reply)
    lines = textwrap.wrap(f"{why} {_ITS_WORDS}" if said else why, _WIDTH)
    if said:
        quoted = textwrap.wrap(
            said, _WIDTH - 4, break_long_words=False, break_on_hyphens=False
        )
        lines += ["", *(f"    {line}" for line in quoted), ""]
    if failure.doubtful:
        lines += textwrap.wrap(_DOUBTFUL, _WIDTH)
    return lines + textwrap.wrap(_advice(failure), _WIDTH)


def _reason(reply: Reply) -> str:
    if reply.ours:
        return f"{_NOT_SENT} {reply.text}." if reply.permanent else _NOBODY_REACHED
    return _REFUSED if reply.permanent else _PUT_OFF


def _advice(failure: Failure) -> str:
    detail = _code(failure)[1:]
    for beginning, advice in _ADVICE:
        if detail.startswith(beginning):
            return advice
    return _CHANGE_IT if failure.reply.permanent else _SEND_AGAIN
