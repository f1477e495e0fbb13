"""The two lines a delivered copy begins with: Return-Path and one Received."""

from __future__ import annotations

from postmand.message.address import Address
from postmand.message.headers import fold


def return_path(address: Address | None) -> bytes:
    """Return the Return-Path line (RFC 5321 4.4); None is the null path."""
    path = b"" if address is None else bytes(address)
    return b"Return-Path: <%s>\r\n" % path


def received(
    host_name: bytes,
    date: bytes,
    id: bytes,  # noqa: A002 - the word of RFC 5321 4.4
) -> bytes:
    """Return the Received line, the same for every sender but for `date` and `id`.

    It has the form the original service gave its mail, and names no client. `date` is
    as `restamp.utc_date` writes it.
    """
    words = (
        b"from localhost (localhost [127.0.0.1])",
        b"by %s (I2pMailer) with ESMTP" % host_name,
        b"id %s;" % id,
        b"%s (UTC)" % date,
    )
    return b"Received: %s\r\n" % fold(b"Received", words)
