"""What relays wrote on a message, told apart from what its author wrote.

A field is taken out or left as it is, octet for octet: the author's signature must
still hold at the mail host.
"""

from __future__ import annotations

import re

from attrs import field, frozen

# Who said these is not who wrote the message; and whom they name need not be known.
# An Authentication-Results of others, or one that claims to be ours, is nobody's word
# here (RFC 8601 5); with the Received lines gone an ARC set proves nothing either.
_TRACES = frozenset(
    b"received x-received return-path delivered-to x-delivered-to x-original-to"
    b" envelope-to x-envelope-to x-envelope-from x-rcpt-to original-recipient"
    b" received-spf authentication-results x-authentication-results"
    b" arc-seal arc-message-signature arc-authentication-results"
    b" x-original-authentication-results x-forwarded-to x-forwarded-for".split()
)
# A field: its name, a colon, and all up to a line that does not go on with a blank.
_FIELD = re.compile(
    rb"^([!-9;-~]++)[ \t]*+:[^\r]*+\r\n(?>(?:[ \t][^\r]*+\r\n)*)", re.MULTILINE
)


@frozen
class Letter:
    """A message as it came: header block, final empty line included, and body.

    `clean_header` is the block without relays' traces, `hops` how many Received lines
    there were.
    """

    header: bytes = field(repr=False)
    body: bytes = field(repr=False)
    clean_header: bytes = field(repr=False)
    hops: int


def letter(message: bytes) -> Letter:
    """Take a message apart. Its lines end with CRLF, and it holds no other CR or LF.

    The block ends at the first empty line; header and body together are the message.
    """
    if message.startswith(b"\r\n"):
        header, body = message[:2], message[2:]
    else:
        end = message.find(b"\r\n\r\n")
        end = len(message) if end < 0 else end + 4
        header, body = message[:end], message[end:]
    hops = 0

    def kept(found: re.Match[bytes]) -> bytes:
        nonlocal hops
        name = found[1].lower()
        hops += name == b"received"
        return b"" if name in _TRACES else found[0]

    return Letter(header, body, _FIELD.sub(kept, header), hops)
