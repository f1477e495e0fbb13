"""What clients outside the corpus are known to put into their mail.

Written by hand after what each of them does; `TOLD` marks every place where it tells
something, so that one search finds whatever is left.
"""

from __future__ import annotations

import pytest

from tests.flow.corpus import field_names, parsed, skeleton, tree
from tests.flow.house import House

TOP = """From: "TOLD" <jondoe@mail.i2p>
To: alice@mail.i2p
Subject: hello
Date: Sun, 22 Nov 2026 06:22:11 -0437 (TOLD)
Message-ID: <TOLD.5150@TOLD.example.org>
"""

MESSAGES = {
    # Apple: file modes and host in parameters, part ids, a nickname of the machine.
    "apple": TOP
    + """Mime-Version: 1.0 (TOLD 16.0 \\(3774.300.61\\))
X-Universally-Unique-Identifier: TOLD
X-Apple-Base-Url: x-msg://TOLD/
Content-Type: multipart/mixed; boundary="Apple-Mail=_TOLD"

This is TOLD
--Apple-Mail=_TOLD
Content-Transfer-Encoding: quoted-printable
Content-Type: text/plain; charset=us-ascii; x-told=TOLD

text
--Apple-Mail=_TOLD
Content-Disposition: attachment; filename=a.bin; creation-date="TOLD";
 modification-date="TOLD"; read-date="TOLD"; size=3
Content-Type: application/octet-stream; x-unix-mode=TOLD; x-mac-creator=TOLD;
 name=a.bin
Content-Description: TOLD
Content-Location: file:///home/TOLD/a.bin
Content-ID: <TOLD>
Content-MD5: TOLD
Content-Base: TOLD
X-Attachment-Id: TOLD
Content-Transfer-Encoding: base64

YWJj
--Apple-Mail=_TOLD--
TOLD
""",
    # Outlook and Exchange, Gmail: fields by the dozen.
    "outlook": TOP
    + """Thread-Topic: TOLD
Thread-Index: TOLD
Accept-Language: TOLD
Content-Language: TOLD
X-MS-Has-Attach: TOLD
X-Originating-IP: [TOLD]
X-MimeOLE: TOLD
X-Priority: 3 (TOLD)
Importance: TOLD
Organization: TOLD
Disposition-Notification-To: "TOLD" <TOLD@example.org>
Return-Receipt-To: TOLD@example.org
Delivered-To: TOLD@example.org
Authentication-Results: TOLD
DKIM-Signature: v=1; d=TOLD
ARC-Seal: TOLD
Received: from TOLD (TOLD [10.1.2.3]) by TOLD
Return-Path: <TOLD@example.org>
Autocrypt: addr=TOLD; keydata=TOLD
OpenPGP: id=TOLD
Face: TOLD
List-Id: <TOLD>
Sender: TOLD@example.org
Resent-From: TOLD@example.org
Reply-To: "TOLD" <jondoe@mail.i2p>
Keywords: TOLD
Comments: TOLD
MIME-Version: 1.0
Content-Type: text/plain; charset="us-ascii"; TOLD=TOLD
Content-Class: TOLD

text
""",
    # A comment wherever one may stand, and a field name with a space.
    "comments": TOP
    + """MIME-Version: (TOLD) 1.0 (TOLD)
Cc: bob@mail.i2p (TOLD), (TOLD) eve@mail.i2p
Content-Type: text/plain (TOLD); charset=utf-8 (TOLD)
Content-Transfer-Encoding: 7bit (TOLD)
In-Reply-To: (TOLD) <abc@example.net> (TOLD)
References: <abc@example.net> (TOLD)
X-Told : TOLD
Subject : TOLD

text
""",
    # No header we know, a line that is none, and 8-bit where none may be.
    "broken": TOP.replace("Subject: hello\n", "")
    + """TOLD without a colon
X-T\u00f6ld: TOLD
: TOLD

text
""",
    # Forwarded as an attachment with the marks of a local mailbox on it.
    "forwarded": TOP
    + """MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_TOLD"

--=_TOLD
Content-Type: text/plain

text
--=_TOLD
Content-Type: message/rfc822; x-told=TOLD
Content-Disposition: attachment; TOLD=TOLD
Content-ID: <20261122.TOLD@example.org>

Received: by TOLD
Status: TOLD
X-Status: TOLD
X-Mozilla-Keys: TOLD
From: carol@example.net
To: jondoe@mail.i2p
Subject: inner
Message-ID: <inner@example.net>
Date: Sat, 21 Nov 2026 20:15:00 +0000

inner text
--=_TOLD--
""",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_nothing_is_told(house: House, name: str) -> None:
    """Whatever the client is called, no mark of it is left."""
    message = MESSAGES[name].replace("\n", "\r\n").encode()
    house.submit("jondoe", ["alice@mail.i2p"], message)
    (got,) = house.collect("alice")
    bones = skeleton(tree(got))
    assert b"told" not in bones.lower(), bones.decode()
    assert b"-0437" not in bones
    if name != "forwarded":
        assert b"TOLD" not in got
    names = field_names(tree(got).header)
    assert len({one.lower() for one in names}) == len(names)


def test_forwarded_marks_fall(house: House) -> None:
    """What a mailbox of the sender's wrote onto a message he forwards is his, too."""
    message = MESSAGES["forwarded"].replace("\n", "\r\n").encode()
    house.submit("jondoe", ["alice@mail.i2p"], message)
    (got,) = house.collect("alice")
    (inner,) = [
        part.get_payload(0)  # type: ignore[union-attr]
        for part in parsed(got).walk()
        if part.get_content_type() == "message/rfc822"
    ]
    assert inner["Subject"] == "inner"
    assert inner["From"] == "carol@example.net"
    assert inner.get_payload().strip() == "inner text"
    assert b"TOLD" not in got


SIGNED = """From: jondoe@mail.i2p
To: alice@mail.i2p
Subject: sealed
{top}Content-Type: {type}

{body}"""
MULTIPART = """--BOUND
{first}
--BOUND
{second}
--BOUND--
"""
EXACT = {
    "pgp-encrypted": (
        'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=BOUND',
        "Content-Type: application/pgp-encrypted\n\nVersion: 1",
        "Content-Type: application/octet-stream; name=a.asc\n\n"
        "-----BEGIN PGP MESSAGE-----\n\nhQEMA  \n-----END PGP MESSAGE-----",
    ),
    "smime-signed": (
        'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;'
        " boundary=BOUND",
        "Content-Type: text/plain;charset=UTF-8\nX-Odd:  kept as it is \n\n text  \n\n",
        "Content-Type: application/pkcs7-signature; name=smime.p7s\n"
        "Content-Transfer-Encoding: base64\n\nMIIabc=",
    ),
}


@pytest.mark.parametrize("top", ["MIME-Version: 1.0\n", ""], ids=["", "no-version"])
@pytest.mark.parametrize("name", EXACT)
def test_sealed_parts_stay_exact(house: House, name: str, top: str) -> None:
    """Signed and encrypted parts keep each octet, also without a MIME-Version."""
    kind, first, second = EXACT[name]
    body = MULTIPART.format(first=first, second=second)
    message = SIGNED.format(top=top, type=kind, body=body).replace("\n", "\r\n")
    house.submit("jondoe", ["alice@mail.i2p"], message.encode())
    (got,) = house.collect("alice")
    for part in (first, second) if name == "smime-signed" else (second,):
        assert b"\r\n" + part.replace("\n", "\r\n").encode() + b"\r\n--" in got
    whole = tree(got)
    assert whole.type == kind.partition(";")[0].encode()
    assert len(whole.parts) == 2


def test_opaque_smime_stays_exact(house: House) -> None:
    """application/pkcs7-mime is one sealed part: its octets and its kind stay."""
    body = "MIIKfwYJKoZIhvcNAQcCoIIKcDCCCmwCAQExDTALBglghkgBZQMEAgEwCwYJKoZI\r\n"
    message = (
        "From: jondoe@mail.i2p\r\nSubject: opaque\r\nMIME-Version: 1.0\r\n"
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data;"
        ' name="smime.p7m"\r\nContent-Transfer-Encoding: base64\r\n'
        'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n' + body
    )
    house.submit("jondoe", ["alice@mail.i2p"], message.encode())
    (got,) = house.collect("alice")
    assert got.endswith(b"\r\n\r\n" + body.encode())
    assert parsed(got).get_param("smime-type") == "enveloped-data"
    assert parsed(got).get_filename() == "smime.p7m"


ARMOUR = (
    b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\ngr\xfc\xdfe \r\n"
    b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQ==\r\n-----END PGP SIGNATURE-----\r\n"
)


def test_inline_pgp_keeps_its_octets(house: House) -> None:
    """A clear-signed text is not brought to another charset: its signature holds."""
    header = (
        b"From: jondoe@mail.i2p\r\nSubject: clear\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=iso-8859-1\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    house.submit("jondoe", ["alice@mail.i2p"], header + ARMOUR)
    (got,) = house.collect("alice")
    assert parsed(got).get_payload(decode=True) == ARMOUR
    assert parsed(got).get_content_charset() == "iso-8859-1"
