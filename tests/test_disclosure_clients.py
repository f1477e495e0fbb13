"""What mail programs tell that are not in the corpus: by rules, not by its strings."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from base64 import b64encode

import pytest

from postmand.message.disclosure import Disclosed, Spoken, disclose
from tests.fuzz_sanitizer import ME, washed

_DATE = b"Date: Sun, 22 Nov 2026 06:20:51 -0400\r\n"  # 1795342851
_HEAD = _DATE + b"From: jondoe@mail.i2p\r\nTo: alice@mail.i2p\r\n"


def told(raw: bytes, spoken: Spoken | None = None) -> Disclosed:
    """Return what a message tells."""
    return disclose(raw, spoken or Spoken(), ME, washed(raw))


def pairs(raw: bytes, spoken: Spoken | None = None) -> set[tuple[str, str]]:
    """Return (category, what is shown) of all that it tells."""
    return {(one.category, one.shown) for one in told(raw, spoken).findings}


def of_id(message_id: bytes) -> set[tuple[str, str]]:
    """Return what a Message-ID tells, in a message that tells the zone besides."""
    plain = pairs(_HEAD + b"\r\nx\r\n")
    raw = _HEAD + b"Message-ID: <%s>\r\n\r\nx\r\n" % message_id
    return pairs(raw) - plain


_TIME = "timestamp-in-message-id"
_TICKS = 1_795_342_851 * 10_000_000 + 116_444_736_000_000_000
_FILE_TIME = f"{_TICKS >> 32:08x}${_TICKS & 0xFFFFFFFF:08x}"


@pytest.mark.parametrize(
    ("message_id", "expected"),
    [
        # git: UTC, process.
        (
            b"20261122102051.12345-1-jondoe@mail.i2p",
            {(_TIME, "20261122102051"), ("pid", "12345")},
        ),
        # neomutt and s-nail: UTC.
        (
            b"20261122102051.wq3kyz@laptop.lan",
            {(_TIME, "20261122102051"), ("hostname", "laptop.lan")},
        ),
        # An older mutt: G, a letter, the process.
        (
            b"20261122102051.GA4711@box",
            {(_TIME, "20261122102051"), ("pid", "4711"), ("hostname", "box")},
        ),
        # Sylpheed, Claws: local time.
        (
            b"20261122062051.6334482c@mail.i2p",
            {(_TIME, "20261122062051"), ("timezone", "20261122062051")},
        ),
        # Geary: Unix time in reversed base 36.
        (b"5DWOT.x1y2z3@mail.i2p", set()),
        # An older Evolution: Unix time, process.
        (
            b"1795342851.4711.12.camel@box.lan",
            {
                (_TIME, "1795342851"),
                ("pid", "4711"),
                ("hostname", "box.lan"),
                ("random-fingerprintable", "1795342851.4711.12.camel"),
            },
        ),
        # An older Thunderbird: Unix time in hex.
        (
            b"6B02C203.1070204@mail.i2p",
            {(_TIME, "6B02C203"), ("random-fingerprintable", "6B02C203.1070204")},
        ),
        # Pine and Alpine before 2.25: system, version, local time, process.
        (
            b"alpine.DEB.2.21.2611220620510.4711@box",
            {
                ("os", "DEB"),
                ("version", "2.21"),
                (_TIME, "261122062051"),
                ("timezone", "261122062051"),
                ("pid", "4711"),
                ("hostname", "box"),
                (
                    "random-fingerprintable",
                    "alpine.DEB.2.21.2611220620510.4711",
                ),
            },
        ),
        # JavaMail: milliseconds, login, machine.
        (
            b"123.1.1795342851000.JavaMail.mary@mary-pc",
            {
                (_TIME, "1795342851000"),
                ("username", "mary"),
                ("hostname", "mary-pc"),
                (
                    "random-fingerprintable",
                    "123.1.1795342851000.JavaMail.mary",
                ),
            },
        ),
        # SquirrelMail: the address the browser came from.
        (
            b"55171.192.168.1.5.1795342851.squirrel@webmail.lan",
            {
                ("local-ip", "192.168.1.5"),
                (_TIME, "1795342851"),
                ("hostname", "webmail.lan"),
                (
                    "random-fingerprintable",
                    "55171.192.168.1.5.1795342851.squirrel",
                ),
            },
        ),
        # Apple Mail, K-9: a random UUID in capitals.
        (
            b"0B5E7DB9-2C32-4C5D-8A52-5A1D9C0B7E11@mail.i2p",
            {
                (
                    "random-fingerprintable",
                    "0B5E7DB9-2C32-4C5D-8A52-5A1D9C0B7E11",
                )
            },
        ),
        # Thunderbird, nodemailer, Evolution, msmtp: nothing but chance.
        (b"1b25b2ba-b5fb-4f00-9dc7-9388d3c38650@mail.i2p", set()),
        (b"0123456789abcdef0123456789abcdef@mail.i2p", set()),
        # Outlook Express: file time, and the machine's address backwards.
        (
            f"0000{_FILE_TIME}$0201a8c0@maryspc".encode(),
            {
                (_TIME, _FILE_TIME),
                ("local-ip", "0201a8c0"),
                ("hostname", "maryspc"),
                (
                    "random-fingerprintable",
                    f"0000{_FILE_TIME}$0201a8c0",
                ),
            },
        ),
        # Eudora: its version, local time.
        (
            b"6.2.1.2.0.20261122062051.01b2c3d0@mail.i2p",
            {(_TIME, "20261122062051"), ("timezone", "20261122062051")},
        ),
        # Roundcube, and what we make ourselves.
        (b"d41d8cd98f00b204e9800998ecf8427e@mail.i2p", set()),
    ],
)
def test_message_ids(message_id: bytes, expected: set[tuple[str, str]]) -> None:
    """The encodings of clock, process, machine and login; and none where none is."""
    assert of_id(message_id) == expected


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits


@pytest.mark.parametrize(
    "token",
    [
        _base36(1_795_342_851)[::-1].upper(),
        _base36(1_795_342_851),
        _base36(1_795_342_851_123),
        _base36(1_795_342_851_123_456),
        _base36(1_795_342_851_123_456_789),
    ],
    ids=["geary", "seconds", "ms", "us", "aerc"],
)
def test_base36(token: str) -> None:
    """Clocks in base 36, forwards and backwards, in any unit."""
    assert (_TIME, token) in of_id(f"{token}.zz9zzz@mail.i2p".encode())


def test_outlook() -> None:
    """Outlook: file times in Message-ID and boundary, Thread-Index, its own HTML."""
    high, low = _FILE_TIME.split("$")
    raw = (
        _HEAD
        + f"Message-ID: <0000{high}${low}$18497ea0$@mail.i2p>\r\n".encode()
        + b"X-Mailer: Microsoft Outlook 16.0\r\nThread-Index: AdbAobLDxOAYSX6g\r\n"
        + b"Content-Language: de\r\nMIME-Version: 1.0\r\n"
        + b'Content-Type: multipart/alternative; boundary="----=_NextPart_000_0001_'
        + f'{high}.{low}"\r\n\r\n'.upper().encode()
        + f"------=_NextPart_000_0001_{high}.{low}\r\n".upper()
        .replace("NEXTPART", "NextPart")
        .encode()
        + b"Content-Type: text/html; charset=windows-1252\r\n\r\n"
        b'<html lang=DE><meta name=Generator content="Microsoft Word 15 (filtered'
        b' medium)"><p class=MsoNormal>x</p></html>\r\n'
    )
    raw = raw.replace(b"NEXTPART", b"NextPart")
    found = pairs(raw, Spoken(b"EHLO MARY-PC"))
    assert {
        ("hostname", "MARY-PC"),
        ("software", "Microsoft Outlook 16.0"),
        ("version", "16.0"),
        (_TIME, f"{high}${low}"),
        (_TIME, f"{high}.{low}".upper()),
        (_TIME, "AdbAobLDxOAYSX6g"),
        ("language", "de"),
        ("language", "windows-1252"),
        ("software", "MsoNormal"),
        ("software", "Microsoft Word 15 (filtered medium)"),
    } <= found
    assert told(raw).client == "outlook"


def test_apple_mail() -> None:
    """Apple Mail on a telephone: system, network address, closing line."""
    raw = _HEAD + (
        b"X-Mailer: iPhone Mail (18B92)\r\nMIME-Version: 1.0 (1.0)\r\n"
        b"Content-Type: multipart/alternative;\r\n boundary=Apple-Mail-0B5E7DB9\r\n\r\n"
        b"--Apple-Mail-0B5E7DB9\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        b"x\r\n\r\nVon meinem iPhone gesendet\r\n\r\n"
        b"> Am 21.11.2026 um 16:15 schrieb Alice <alice@mail.i2p>:\r\n> \r\n> hi\r\n"
        b"--Apple-Mail-0B5E7DB9--\r\n"
    )
    found = pairs(raw, Spoken(b"EHLO [192.168.0.17]"))
    assert ("local-ip", "[192.168.0.17]") in found
    assert ("os", "iPhone") in found
    assert ("software", "iPhone Mail (18B92)") in found
    assert ("software", "Von meinem iPhone gesendet") in found
    assert ("random-fingerprintable", "Apple-Mail-0B5E7DB9") in found
    assert told(raw).client == "apple-mail"


def test_mac() -> None:
    """Apple Mail on a Mac: system and version in a comment, a mode beside a file."""
    raw = _HEAD + (
        b"X-Mailer: Apple Mail (2.3654.60.0.2.21)\r\n"
        b"MIME-Version: 1.0 (Mac OS X Mail 14.0 \\(3654.60.0.2.21\\))\r\n"
        b'Content-Type: multipart/mixed; boundary="Apple-Mail=_0B5E7DB9"\r\n\r\n'
        b"--Apple-Mail=_0B5E7DB9\r\n"
        b'Content-Type: image/png; x-unix-mode=0644; name="x.png"\r\n'
        b"X-Apple-Content-Length: 7\r\n\r\nx\r\n--Apple-Mail=_0B5E7DB9--\r\n"
    )
    found = pairs(raw)
    assert ("os", "Mac OS X") in found
    assert ("version", "14.0") in found
    assert ("software", "x-unix-mode=0644") in found
    assert ("software", "X-Apple-Content-Length: 7") in found
    assert all(one.fate != "stays" for one in told(raw).findings)


def test_trace_fields() -> None:
    """Of fields of a trace each machine, address and login is told."""
    raw = _HEAD + (
        b"Received: from [192.168.1.5] (box.lan) by mx.i2p; x\r\n"
        b"X-X-Sender: mary@box.lan\r\n\r\nx\r\n"
    )
    found = pairs(raw)
    assert {("local-ip", "192.168.1.5"), ("username", "mary")} <= found
    assert ("hostname", "box.lan") in found


def test_k9() -> None:
    """K-9: its name, its closing line, its boundary."""
    raw = _HEAD + (
        b"User-Agent: K-9 Mail for Android\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/alternative;\r\n"
        b" boundary=----ABCDEFGHIJKLMNOPQRSTUVWXYZ0123\r\n\r\n"
        b"------ABCDEFGHIJKLMNOPQRSTUVWXYZ0123\r\nContent-Type: text/plain\r\n\r\n"
        b"Sent from my Android device with K-9 Mail. Please excuse my brevity.\r\n"
        b"------ABCDEFGHIJKLMNOPQRSTUVWXYZ0123--\r\n"
    )
    found = pairs(raw)
    assert ("software", "K-9 Mail for Android") in found
    assert ("os", "Android") in found
    assert any(one[1].startswith("Sent from my Android device") for one in found)
    assert told(raw).client == "k9"


def test_gmail_and_roundcube() -> None:
    """Webmail: provider's id, marks in the HTML, browser's address, versions."""
    raw = _HEAD + (
        b"Message-ID: <CAMj3nLZ=6vTz+w1b6oJ0hQeQ9d4XyC3m5nK8RkYb2Wq7uVd0Gg"
        b"@mail.gmail.com>\r\n"
        b"Content-Type: text/html; charset=UTF-8\r\n\r\n"
        b'<div dir="ltr">x</div><div class="gmail_quote"><div class="gmail_attr">'
        b"On Sat, Nov 21, 2026 at 4:15\xe2\x80\xafPM Alice &lt;alice@mail.i2p&gt;"
        b" wrote:<br></div>\r\n"
    )
    found = pairs(raw)
    assert ("software", "gmail_quote") in found
    assert any(
        one[0] == "random-fingerprintable" and one[1][:2] == "CA" for one in found
    )
    assert ("hostname", "mail.gmail.com") not in found
    raw = _HEAD + (
        b"User-Agent: Roundcube Webmail/1.6.5\r\nX-Sender: jondoe@mail.i2p\r\n"
        b"X-Originating-IP: 203.0.113.9\r\n\r\nx\r\n"
    )
    found = pairs(raw)
    assert ("version", "1.6.5") in found
    assert ("local-ip", "203.0.113.9") in found
    assert ("software", "X-Sender: jondoe@mail.i2p") in found


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            b"Mozilla/5.0 (X11; Linux x86_64; rv:45.0) Thunderbird/45.8.0",
            {("version", "45.8.0"), ("os", "X11"), ("os", "Linux x86_64")},
        ),
        (
            b"Mozilla/5.0 (Windows NT 10.0; WOW64; rv:52.0) Thunderbird/52.9.1",
            {("version", "52.9.1"), ("os", "Windows NT 10.0")},
        ),
        (b"Evolution 3.46.4-2+deb12u1", {("version", "3.46.4-2+deb12u1")}),
        (b"geary/43.0", {("version", "43.0")}),
        (b"Mutt/1.5.23 (2014-03-12)", {("version", "1.5.23")}),
        (b"NeoMutt/20220429", {("version", "20220429")}),
        (b"KMail/5.2.3 (Linux/4.9.0; KDE/5.28.0; x86_64; ; )", {("version", "5.2.3")}),
        (b"s-nail v14.9.24", {("version", "14.9.24")}),
        (b"Apple Mail (2.3654.60.0.2.21)", {("version", "2.3654.60.0.2.21")}),
        (
            b"Sylpheed 3.8.0beta1 (GTK+ 2.24.33; x86_64-pc-linux-gnu)",
            {("version", "3.8.0beta1"), ("version", "GTK+ 2.24.33")},
        ),
    ],
)
def test_programs(program: bytes, expected: set[tuple[str, str]]) -> None:
    """Names that programs give themselves: version and system are found in them."""
    found = pairs(_HEAD + b"User-Agent: %s\r\n\r\nx\r\n" % program)
    assert expected | {("software", program.decode())} <= found


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("Am Samstag, dem 21.11.2026 um 20:15 +0000 schrieb Alice:", "language"),
        ("On Saturday, 21 November 2026 16:15:00 -04 schrieben Sie:", "language"),
        ("Le 21/11/2026 à 16:15, Alice a écrit :", "language"),
        ("El 21/11/26 a las 16:15, Alice escribió:", "language"),
        ("Il 21/11/26 16:15, Alice ha scritto:", "language"),
        ("Op 21-11-2026 om 16:15 schreef Alice:", "language"),
        ("21.11.2026 16:15, Alice пишет:", "language"),
        ("On Sat Nov 21, 2026 at 4:15 PM -04, Alice wrote:", "software"),
    ],
)
def test_reply_lines(line: str, category: str) -> None:
    """The line over a quotation tells the language, and the zone if it has a time."""
    raw = _HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    found = told(raw + f"yes\r\n\r\n{line}\r\n> hi\r\n".encode()).findings
    stays = {one.category for one in found if one.fate == "stays"}
    assert category in stays
    assert ("timezone" in stays) is ("+0000" not in line)


def test_text_is_not_a_reply_line() -> None:
    """A quotation, a colon, a path of the web: nothing of it is told as a leak."""
    text = (
        b"Hello Alice, two things:\r\n> quoted\r\nHe wrote: no.\r\n"
        b"See http://x.i2p/home/index.html and /usr/share/doc at 10:30.\r\n"
    )
    assert pairs(_HEAD + b"\r\n" + text) == pairs(_HEAD + b"\r\nx\r\n")


def part(kind: bytes, name: bytes, octets: bytes) -> bytes:
    """Return a message with one attachment."""
    coded = b64encode(octets)
    lines = [coded[at : at + 76] for at in range(0, len(coded), 76)]
    return (
        _HEAD
        + b"MIME-Version: 1.0\r\nContent-Type: "
        + kind
        + b"\r\nContent-Transfer-Encoding: base64"
        + b'\r\nContent-Disposition: attachment; filename="'
        + name
        + b'"\r\n\r\n'
        + b"\r\n".join(lines)
        + b"\r\n"
    )


def exif(order: str, *entries: tuple[int, bytes]) -> bytes:
    """Return a TIFF structure of strings."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    at = 8 + 2 + 12 * len(entries) + 4
    table = struct.pack(order + "H", len(entries))
    values = b""
    for tag, value in entries:
        place = at + len(values)
        table += struct.pack(order + "HHII", tag, 2, len(value) + 1, place)
        values += value + b"\0"
    return mark + struct.pack(order + "I", 8) + table + b"\0\0\0\0" + values


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "frame", [b"\xff\xd8\xff\xe1\0\0Exif\0\0", b"\x89PNG eXIf", b""]
)
def test_pictures(order: str, frame: bytes) -> None:
    """EXIF of either order, in a JPEG, a PNG or by itself; it stays."""
    octets = frame + exif(order, (0x010F, b"Maker"), (0x013B, b"Mary Realname"))
    found = told(part(b"image/jpeg", b"x.jpg", octets)).findings
    shown = {one.shown: one.fate for one in found if one.category == "exif"}
    assert shown == {"Maker": "stays", "Mary Realname": "stays"}


def test_packed_pdf() -> None:
    """Document information in an object stream, in UTF-16 and in hex."""
    name = b"\xfe\xff" + "Märy".encode("utf-16-be")
    inside = b"<< /Author <%s> /Producer (x\\051) >>" % name.hex().encode()
    octets = (
        b"%PDF-1.7\n5 0 obj << /Type /ObjStm /N 1 >> stream\n"
        + zlib.compress(inside)
        + b"\nendstream"
    )
    found = pairs(part(b"application/pdf", b"x.pdf", octets))
    assert ("exif", "/Author (Märy)") in found
    assert ("exif", "/Producer (x))") in found


def test_office() -> None:
    """Who wrote an Office or OpenDocument file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "docProps/core.xml",
            "<x><dc:creator>Mary Realname</dc:creator>"
            "<cp:lastModifiedBy>Tom</cp:lastModifiedBy></x>",
        )
        archive.writestr("meta.xml", "<meta:generator>LibreOffice/7.4</meta:generator>")
    found = pairs(part(b"application/zip", b"Mary_Realname.docx", file.getvalue()))
    assert ("exif", "dc:creator Mary Realname") in found
    assert ("exif", "cp:lastModifiedBy Tom") in found
    assert ("exif", "meta:generator LibreOffice/7.4") in found
    assert ("realname", "Mary Realname") in found


@pytest.mark.parametrize(
    ("name", "category"),
    [
        (b"Screenshot_20261120-182211.png", _TIME),
        (b"Screenshot from 2026-11-20 18-22-11.png", _TIME),
        (b"Bildschirmfoto 2026-11-20 um 18.22.11.png", _TIME),
        (b"PXL_20261120_182211123.jpg", _TIME),
        (b"WhatsApp Image 2026-11-20 at 18.22.11.jpeg", _TIME),
        (b"Lebenslauf_Mary_Realname.pdf", "realname"),
        (b"C:\\\\Users\\\\mary\\\\x.txt", "path"),
        (b"winmail.dat", "software"),
        (b"minutes-2026.txt", ""),
        (b"report final version.pdf", ""),
    ],
)
def test_file_names(name: bytes, category: str) -> None:
    """Names of files tell times, people and folders; most tell nothing."""
    plain = {one[0] for one in pairs(_HEAD + b"\r\nx\r\n")}
    found = {one[0] for one in pairs(part(b"application/x-any", name, b"x"))} - plain
    assert found == ({category} if category else set())


def test_sylpheed() -> None:
    """A boundary that is a date with its zone."""
    raw = _HEAD + (
        b"Content-Type: multipart/mixed;\r\n"
        b' boundary="Multipart=_Sun__22_Nov_2026_06_40_22_-0400_Yq.V3fWb"\r\n\r\n'
        b"--Multipart=_Sun__22_Nov_2026_06_40_22_-0400_Yq.V3fWb\r\n\r\nx\r\n"
        b"--Multipart=_Sun__22_Nov_2026_06_40_22_-0400_Yq.V3fWb--\r\n"
    )
    found = told(raw).findings
    at = {one.category: one.fate for one in found if one.where == "boundary"}
    assert at[_TIME] == at["timezone"] == "replaced"


def test_bcc_and_susimail() -> None:
    """The hidden recipients in the header; and a client that tells nothing."""
    raw = _HEAD + b"Bcc: carol@mail.i2p\r\n\r\nx\r\n"
    assert ("software", "carol@mail.i2p") in pairs(raw)
    susimail = Spoken(b"EHLO localhost", b"MAIL FROM: jondoe@mail.i2p", b"LOGIN")
    raw = _HEAD.replace(b"-0400", b"+0000") + b"Subject: x\r\n\r\nx\r\n"
    disclosed = told(raw, susimail)
    assert disclosed.findings == ()
    assert (disclosed.score, disclosed.client) == (100, "susimail")


def test_encrypted() -> None:
    """Of an encrypted message its keys and its program's comment are seen."""
    packet = b"\xc1\x0d\x03" + bytes(range(1, 9)) + b"\x01\0\0\0"
    armour = (
        b"-----BEGIN PGP MESSAGE-----\r\nVersion: GnuPG v2.0.22 (GNU/Linux)\r\n\r\n"
        + b64encode(packet)
        + b"\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
    )
    found = pairs(_HEAD + b"\r\n" + armour)
    assert ("software", "encrypted to key 0102030405060708") in found
    assert ("software", "Version: GnuPG v2.0.22 (GNU/Linux)") in found


@pytest.mark.parametrize(
    ("hello", "category"),
    [
        (b"EHLO localhost", ""),
        (b"EHLO mail.i2p", ""),
        (b"EHLO [127.0.0.1]", "software"),
        (b"EHLO [IPv6:::1]", "software"),
        (b"EHLO [10.1.2.3]", "local-ip"),
        (b"EHLO [IPv6:fe80::1]", "local-ip"),
        (b"EHLO marys-laptop", "hostname"),
        (b"HELO localhost", "software"),
        (b"ehlo localhost", "software"),
        (b"", ""),
    ],
)
def test_hello(hello: bytes, category: str) -> None:
    """The name a client greets with."""
    plain = {one[0] for one in pairs(_HEAD + b"\r\nx\r\n")}
    found = {one[0] for one in pairs(_HEAD + b"\r\nx\r\n", Spoken(hello))} - plain
    assert found == ({category} if category else set())


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_office_in_other_packings(packing: int) -> None:
    """What no Office file is packed with is not unpacked, whole or broken."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("docProps/core.xml", "<dc:creator>Mary</dc:creator>" * 9)
    octets = file.getvalue()
    at = octets.index(b"docProps/core.xml") + 17
    broken = octets[: at + 4] + b"\xff" * 8 + octets[at + 12 :]
    for one in (octets, broken):
        found = pairs(part(b"application/zip", b"x.docx", one))
        assert not [shown for category, shown in found if category == "exif"]
