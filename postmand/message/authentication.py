"""Who sent this? SPF, DKIM and DMARC on one message, in the words of RFC 8601."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from postmand.message import dmarc, headers, signatures, spf
from postmand.message.address import AddressError, Mailbox, parse_list, parse_path
from postmand.message.dmarc import Dmarc
from postmand.message.headers import Header
from postmand.message.limits import Limits, MessageError
from postmand.message.questions import Ask, Questions, host_name
from postmand.message.signatures import (
    Bodies,
    NotReadableError,
    Signature,
    SignedMessage,
)
from postmand.message.spf import Spf

# SPF alone may cost ten terms with ten names each (RFC 7208 4.6.4).
_QUESTIONS = 150
SECONDS = 10.0
"""How long a message's sender may have us ask; DNS as it should be needs one."""


@frozen
class Authenticated:
    """What is known of a message's origin.

    `results` is an Authentication-Results field's body on one line. `vouched`: SPF or
    DKIM vouches for the envelope's sender, so that mail to it hits no stranger.
    `reject`: From's domain asks to refuse this, or From is none that can be judged.
    `dkim_domains` are those with a good signature; `from_domain` is "" where there is
    not exactly one From address.
    """

    results: bytes
    vouched: bool
    reject: bool
    spf: str
    dmarc: str
    dkim_domains: tuple[str, ...]
    from_domain: str


def authenticate(
    peer_ip: str,
    helo: bytes,
    sender: bytes,
    header: bytes,
    body: Iterable[bytes] | Bodies,
    *,
    ask: Ask,
    authserv_id: bytes,
    now: Callable[[], float],
) -> Authenticated:
    """Judge a message as it came, before anything in it is changed.

    `sender` is the envelope's, b"" for the null one; `header` is the block, `body` its
    pieces, cut anywhere, or what `hashed` made of it; both have CRLF line ends. `ask`
    answers DNS questions and blocks, so this is for a thread; `now` is the wall clock.
    A failure of DNS never makes `reject`. Bounded: 150 questions, none after SECONDS;
    5 signatures.
    """
    questions = Questions(ask, now, now() + SECONDS, _QUESTIONS)
    message = _signed_message(header, body)
    authors = _authors(header)
    domain = host_name(authors[0].address.domain) if len(authors) == 1 else ""
    if domain:
        _ask_author(domain, message, questions)
    spoken = spf.check(peer_ip, helo, sender, questions, now())
    signed = signatures.verify(message, questions.txt, now())
    if domain:
        draw = int.from_bytes(hashlib.sha256(header).digest()[:8], "big") % 100
        judged = dmarc.judge(domain, spoken, signed, questions, draw)
    else:
        # RFC 7489 6.6.1. An address literal is no domain, and nobody's forgery.
        judged = Dmarc("permerror", "none" if len(authors) == 1 else "reject")
    good = [one.domain for one in signed if one.result == "pass"]
    return Authenticated(
        results=b" ".join(_results(authserv_id, spoken, signed, judged, domain)),
        vouched=_vouched(sender, spoken, good),
        reject=judged.disposition == "reject",
        spf=spoken.result,
        dmarc=judged.result,
        dkim_domains=tuple(dict.fromkeys(good)),
        from_domain=domain,
    )


def hashed(header: bytes, body: Iterable[bytes]) -> Bodies:
    """Return all that `authenticate` needs of a body, and hold no octet of it.

    It is hashed where the block has a signature to look at. Blocks.
    """
    message = _signed_message(header, body)
    if not message.signatures():
        return Bodies(())
    message.body.make()
    return message.body


def own_signature(
    header: bytes, body: Iterable[bytes], domain: str, public_key_record: bytes
) -> bool:
    """Whether the message has a good signature of `domain` by the key in this record.

    The record is a TXT value as published, its strings joined: nothing is asked of
    DNS. All that our signer signs has to be as it was; blocks for some milliseconds.
    """
    try:
        message = SignedMessage.of(header, body)
    except NotReadableError:
        return False
    # Whatever a signature names as its key's place, it is held against this key.
    checked = signatures.verify(message, lambda _: [public_key_record], None)
    return any(one.result == "pass" and one.domain == domain for one in checked)


def authors(header: Header) -> list[Mailbox]:
    """Return every address in every From field, those in groups too."""
    return [
        mailbox
        for value in header.every(b"from")
        for entry in parse_list(value)
        for mailbox in ((entry,) if isinstance(entry, Mailbox) else entry.members)
    ]


def _authors(header: bytes) -> list[Mailbox]:
    """Return the addresses of a block's From field.

    None where there are several such fields, or the block is over our bounds.
    """
    try:
        read, _ = headers.read(header, 0, len(header), Limits())
    except MessageError:
        return []
    return authors(read) if len(read.every(b"from")) == 1 else []


def _signed_message(header: bytes, body: Iterable[bytes] | Bodies) -> SignedMessage:
    """Read a message; one that is not well-formed has no signatures."""
    try:
        return SignedMessage.of(header, body)
    except NotReadableError:
        return SignedMessage((), Bodies(()))


def _ask_author(domain: str, message: SignedMessage, questions: Questions) -> None:
    """Ask From's domain first: `questions` knows it then.

    Whoever forges it names other domains as well, whose slow answers use up the time:
    behind them its wish to reject would never be heard, or a key of its own seem lost.
    """
    dmarc.look_up(domain, questions)
    for signer, key in signatures.signers(message):
        if dmarc.are_aligned(signer, domain):
            questions.txt(key)


def _vouched(sender: bytes, spoken: Spf, good: Iterable[str]) -> bool:
    """Whether the envelope's sender is who it says; nobody answers the null one."""
    if not sender:
        return False
    if spoken.result == "pass":
        return True
    try:
        address, _ = parse_path(b"<%s>" % sender)
    except AddressError:
        return False
    own = "" if address is None else host_name(address.domain)
    return any(dmarc.are_aligned(one, own) for one in good)


def _results(
    authserv_id: bytes,
    spoken: Spf,
    signed: Iterable[Signature],
    judged: Dmarc,
    domain: str,
) -> Iterator[bytes]:
    """Yield the words of the field's body (RFC 8601 2.2)."""
    told = [_spf_words(spoken), *(_dkim_words(one) for one in signed)]
    if len(told) == 1:
        told.append("dkim=none")
    told.append(_dmarc_words(judged, domain))
    yield authserv_id + b";"
    for words in told[:-1]:
        yield f"{words};".encode("ascii")
    yield told[-1].encode("ascii")


def _spf_words(spoken: Spf) -> str:
    words = f"spf={spoken.result}"
    return f"{words} smtp.{spoken.identity}={spoken.domain}" if spoken.domain else words


def _dkim_words(one: Signature) -> str:
    words = f"dkim={one.result}"
    if not one.domain:
        return words
    return f"{words} header.d={one.domain} header.s={one.selector}"


def _dmarc_words(judged: Dmarc, domain: str) -> str:
    words = f"dmarc={judged.result}"
    if judged.policy is not None:
        words += f" (p={judged.policy.request} dis={judged.disposition})"
    return f"{words} header.from={domain}" if domain else words
