"""What a wiretap on the link reads: the version that a TLS server settles on."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import pytest

from postmand.link import new_identity
from tests.world.tap import tls_version


def answered(version: ssl.TLSVersion) -> bytes:
    """Return a server's first octets to a client that speaks this version alone."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(new_identity())
        server.load_cert_chain(file.name)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.minimum_version = client.maximum_version = version
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    for context, ways, is_server in (
        (client, (back, there), False),
        (server, (there, back), True),
    ):
        with pytest.raises(ssl.SSLWantReadError):
            context.wrap_bio(*ways, server_side=is_server).do_handshake()
    return back.read()


def test_version() -> None:
    """1.3 is told from 1.2, which it looks like at first sight (RFC 8446 4.2.1)."""
    assert tls_version(answered(ssl.TLSVersion.TLSv1_3)) == "TLS 1.3"
    assert tls_version(answered(ssl.TLSVersion.TLSv1_2)) == "TLS 1.2"


def test_no_tls() -> None:
    """What is no TLS is not taken for it."""
    for octets in (b"", b"220 mx1.i2pmail.org ESMTP, and so on for long enough\r\n"):
        assert tls_version(octets) == ""
