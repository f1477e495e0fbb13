"""What somebody on the Internet is told of mail that was taken and not delivered.

Only for a sender who is vouched for: to anybody else it would be backscatter.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from postmand.message import dsn, fields
from postmand.message.address import Address, Mailbox
from postmand.message.border import Border
from postmand.message.dsn import Failure
from postmand.message.encoded import words
from postmand.message.fields import Field
from postmand.message.parts import Random

_WIDTH = 72
_TOLD = (
    "This is the mail system. Your mail was taken, but it could not be delivered to "
    "everybody it was for. It is not tried again."
)


def undelivered(
    to: Address,
    failures: Sequence[Failure],
    *,
    answers: bytes | None,
    host_name: bytes,
    border: Border,
    rng: Random,
) -> tuple[tuple[Field, ...], bytes]:
    """Return the fields, as a washed message's, and the body of the report (RFC 3464).

    Every failure has a reply of ours; `answers` is the mail's Message-ID, brackets
    included. No Date and no Message-ID: it goes the way of all mail that leaves. To be
    sent with the null return path.

    Of the mail itself nothing else comes back. A gateway in other hands could say of
    any stranger that he had written anything, and have it sent him under our signature.
    """
    thread = [] if answers is None else [answers]
    returned = [(b"Message-ID", one) for one in thread]
    mime, body = dsn.report(
        _words(failures), failures, returned, host_name=host_name, rng=rng
    )
    sender = Mailbox("Mail system", Address(b"mailer-daemon", border.mail_domain))
    own = [
        (b"From", fields.addresses(b"From", [sender])),
        (b"To", fields.addresses(b"To", [Mailbox("", to)])),
        (b"Subject", words(dsn.SUBJECT)[0]),
        *((name, one) for one in thread for name in (b"In-Reply-To", b"References")),
        (b"Auto-Submitted", b"auto-replied"),  # RFC 3834 3.1.7
    ]
    return (*own, (b"MIME-Version", b"1.0"), *mime), body


def _words(failures: Sequence[Failure]) -> str:
    lines = textwrap.wrap(_TOLD, _WIDTH)
    for failure in failures:
        address = failure.recipient.decode("utf-8", "replace")
        said = failure.reply.text if failure.reply else ""
        lines += ["", f"    {address}", "", *textwrap.wrap(said, _WIDTH)]
    return "\n".join(lines)
