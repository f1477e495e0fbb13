"""Transfer encodings, the tree of parts, and how it is written anew."""

from __future__ import annotations

import base64
import quopri
import random
import tracemalloc
from binascii import a2b_base64, a2b_qp
from email import message_from_bytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message import parameters, transfer
from postmand.message.limits import Limits, MessageError
from postmand.message.lines import bare_ends
from postmand.message.mime import Body, Forwarded, Leaf, Multipart, Part, Reader, Sealed
from tests.fuzz_sanitizer import washed


def _parsed(message: bytes) -> Any:
    """Return the standard library's view of a message."""
    return message_from_bytes(message)


# Transfer encodings


@pytest.mark.parametrize(
    ("content", "octets"),
    [
        (b"SGVsbG8=", b"Hello"),
        (b"SGVs\r\nbG8=\r\n", b"Hello"),
        (b"SGVsbG8", b"Hello"),
        (b"SGVs*bG8=" + b"\r\n" * 40, b"Hello"),
        (b"SGVsbG8=SGVsbG8=", b"HelloHello"),
        (b"SGVsbG8=\r\nSGVsbG8h\r\nSGVsbA==\r\n", b"HelloHello!Hell"),
        (b"SGVsbG8h\r\n\r\n\r\nQ", b"Hello!"),
        (b"====", b""),
        (b"", b""),
        (b"Dear Alice, this is no base64!\r\n", b"Dear Alice, this is no base64!\r\n"),
    ],
)
def test_lenient_base64(content: bytes, octets: bytes) -> None:
    """Broken base64 gives what it holds; what is none is kept as it is."""
    assert transfer.decode(content, b"base64") == octets


@given(st.binary(max_size=500), st.integers(1, 80))
def test_base64_columns(octets: bytes, columns: int) -> None:
    """Any columns decode, and are written again in lines of 76."""
    letters = base64.b64encode(octets)
    lines = [letters[at : at + columns] for at in range(0, len(letters), columns)]
    # In very short lines the line ends are most of the content, and still no damage.
    assert transfer.decode_base64(b"\r\n".join(lines)) == octets
    encoded = b"".join(transfer.encode_base64(octets))
    assert a2b_base64(encoded) == octets
    assert all(len(line) == 76 for line in encoded.split(b"\r\n")[:-1])


def test_long_base64() -> None:
    """A long content comes in chunks that end with their lines."""
    octets = random.Random(1).randbytes(2_000_000)
    chunks = transfer.encode_base64(octets)
    assert len(chunks) == 3
    assert all(chunk.endswith(b"\r\n") for chunk in chunks[:-1])
    assert b"".join(chunks) == base64.encodebytes(octets).replace(b"\n", b"\r\n")[:-2]


_TEXT = st.lists(
    st.sampled_from(["\r\n", " ", "\t", "=", ".", "a", "ü", "From ", "x" * 99])
)


@pytest.mark.long
@given(_TEXT)
def test_text_comes_back(pieces: list[str]) -> None:
    """Whatever encoding the rule picks, the text decodes to the same octets."""
    octets = "".join(pieces).encode()
    encoding, chunks = transfer.encode_text(octets, clean=True)
    content = b"".join(chunks)
    assert transfer.decode(content, encoding) == octets
    assert content.isascii()
    assert not transfer.has_long_line(content, 998)
    if encoding == b"quoted-printable":
        assert (
            quopri.decodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
            == octets
        )
        # binascii lets a line that ends in an encoded blank be one octet longer.
        assert max(map(len, content.split(b"\r\n"))) <= 77


@pytest.mark.parametrize(
    ("octets", "encoding"),
    [
        (b"", b"7bit"),
        (b"trailing \t\r\n.\r\nFrom me\r\n-- \r\n", b"7bit"),
        (b"x" * 998 + b"\r\n" + b"y" * 998, b"7bit"),
        (b"x" * 999, b"quoted-printable"),
        ("Grüße, Alice\r\n".encode(), b"quoted-printable"),
        ("日本語\r\n".encode(), b"base64"),
        (b"nul \0\r\n", b"base64"),
        (b"bare\rCR\r\n", b"base64"),
        (b"bare\nLF\r\n", b"base64"),
    ],
)
def test_one_encoding_rule(octets: bytes, encoding: bytes) -> None:
    """The encoding follows from the text alone, whatever the client chose."""
    clean = not any(bare_ends(octets))
    assert transfer.encode_text(octets, clean=clean)[0] == encoding


@pytest.mark.parametrize(
    ("octets", "longest", "long"),
    [
        (b"", 3, False),
        (b"abc", 3, False),
        (b"abcd", 3, True),
        (b"abc\r\nabc\r\n", 3, False),
        (b"abc\r\nabcd\r\n", 3, True),
        (b"abcd\r\nabc\r\n", 3, True),
        (b"\r\n" * 50, 3, False),
        (b"\r\n" * 50 + b"abcd", 3, True),
    ],
)
def test_long_lines(octets: bytes, longest: int, long: bool) -> None:
    """A line's length is counted without its CRLF."""
    assert transfer.has_long_line(octets, longest) is long


# The tree


def _tree(raw: bytes, limits: Limits | None = None) -> Part:
    limits = limits or Limits()
    return Reader(limits).part(Body.of_message(raw, limits))


def _multipart(*lines: str, kind: str = "mixed", boundary: str = "b") -> bytes:
    head = f'MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary="{boundary}"'
    return "\r\n".join((head, "", *lines, "")).encode()


def _contents(part: Part) -> list[bytes]:
    assert isinstance(part, Multipart)
    return [child.content for child in part.parts if isinstance(child, Leaf)]


@pytest.mark.parametrize(
    ("lines", "contents"),
    [
        (
            ("preamble", "--b", "", "one", "--b", "", "two", "--b--", "end"),
            ["one", "two"],
        ),
        (("--b", "", "one", "", "--b--"), ["one\r\n"]),
        # A boundary is a whole line: longer ones and text around it are content.
        (
            ("--b", "", "--bb", "--b x", " --b", "--b---", "--b--"),
            ["--bb\r\n--b x\r\n --b\r\n--b---"],
        ),
        (("--b \t", "", "one", "--b-- "), ["one"]),
        # Unterminated, empty and headless parts.
        (("--b", "", "one"), ["one\r\n"]),
        (("--b", "--b", "--b--"), ["", ""]),
        (("--b", "one", "--b--"), ["one"]),
        (("--b", "X-A: b", "--b--"), [""]),
        # What comes behind the end is no part.
        (("--b", "", "one", "--b--", "--b", "", "two", "--b--"), ["one"]),
    ],
)
def test_boundaries(lines: tuple[str, ...], contents: list[str]) -> None:
    """Parts are found by whole delimiter lines; preamble and epilogue fall."""
    found = _contents(_tree(_multipart(*lines)))
    assert found == [content.encode() for content in contents]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"multipart/mixed", b"text/plain"),
        (b"multipart/mixed; boundary=", b"text/plain"),
        (b"multipart/mixed; boundary=other", b"text/plain"),
        (b"multipart/mixed; boundary=" + b"x" * 300, b"text/plain"),
        (b"text", b"text/plain"),
        (b"nonsense", b"application/octet-stream"),
        (b"/", b"application/octet-stream"),
        (b"message/external-body; access-type=url", b"application/octet-stream"),
        (b"IMAGE/Jpeg", b"image/jpeg"),
    ],
)
def test_what_is_no_structure(head: bytes, kind: bytes) -> None:
    """What can not be taken apart is a leaf that keeps every octet."""
    part = _tree(b"Content-Type: " + head + b"\r\n\r\n--b\r\n\r\nx\r\n")
    assert isinstance(part, Leaf)
    assert part.label.kind == kind
    assert part.content == b"--b\r\n\r\nx\r\n"


def test_boundary_with_a_blank_behind() -> None:
    """A blank at a boundary's end is in none of its lines (RFC 2046 5.1.1)."""
    lines = ("by Client/1.0", "--b", "", "one", "--b ", "", "two", "--b--")
    assert _contents(_tree(_multipart(*lines, boundary="b "))) == [b"one", b"two"]


def test_octets_without_boundary() -> None:
    """With a NUL in it such a leaf is no text."""
    part = _tree(b"Content-Type: multipart/mixed\r\n\r\n\0\r\n")
    assert part.label.kind == b"application/octet-stream"


def test_no_type() -> None:
    """A part without a type is text, in a digest it is a message."""
    lines = ("--b", "", "Subject: x", "", "hi", "--b--")
    assert [child.label.kind for child in _parts(_tree(_multipart(*lines)))] == [
        b"text/plain"
    ]
    digest = _parts(_tree(_multipart(*lines, kind="digest")))
    assert isinstance(digest[0], Forwarded)
    assert digest[0].header.first(b"subject") == b"x"


def _parts(part: Part) -> tuple[Part, ...]:
    assert isinstance(part, Multipart)
    return part.parts


def test_second_type_is_ignored() -> None:
    """The first Content-Type counts, so nobody can hide one from us."""
    part = _tree(
        b"Content-Type: text/plain\r\nContent-type: text/html\r\n"
        b"CONTENT-TRANSFER-ENCODING: base64\r\n\r\nSGk=\r\n"
    )
    assert part.label.kind == b"text/plain"


def test_encoded_message() -> None:
    """A forwarded message under a transfer encoding (RFC 6532 3.7) is still read."""
    inner = base64.b64encode(b"Received: secret\nSubject: x\n\nhi\n")
    part = _tree(
        b"Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + inner
    )
    assert isinstance(part, Forwarded)
    assert part.label.kind == b"message/rfc822"
    assert isinstance(part.root, Leaf)
    assert part.root.content == b"hi\r\n"


def test_encodings_in_encodings() -> None:
    """Two encodings deep is read; no bomb of them holds a copy for each level."""
    raw = b"Subject: x\r\n\r\nhi\r\n"
    for level in range(3):
        raw = (
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.b64encode(raw)
        )
        if level < 2:
            assert isinstance(_tree(raw), Forwarded)
    with pytest.raises(MessageError, match="nested-too-deep"):
        _tree(raw)


def test_forwards_share_their_octets() -> None:
    """A message forwarded again and again is not copied for each time."""
    raw = b"Content-Type: message/rfc822\r\n\r\n" * 18 + b"\r\n" + b"x" * 1_000_000
    tracemalloc.start()
    try:
        _tree(raw)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def _nested(depth: int) -> bytes:
    raw = b"\r\nhi"
    for number in range(depth):
        line = b"--b%d" % number
        head = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n" % number
        raw = b"%s%s\r\n%s\r\n%s--" % (head, line, raw, line)
    return raw + b"\r\n"


def _limits(parts: int) -> Limits:
    return Limits(parts=parts, depth=99)


_FIVE = _multipart(*("--b", "", "x") * 5)
_FORWARDS = b"Content-Type: message/rfc822\r\n\r\n" * 30 + b"hi\r\n"
_PGP = 'signed; protocol="application/pgp-signature"'
_LONG_SIGNED = _multipart(
    "--b",
    "",
    "x" * 100,
    "--b",
    "Content-Type: application/pgp-signature",
    "",
    "s",
    "--b--",
    kind=_PGP,
)


@pytest.mark.parametrize(
    ("raw", "limits", "over", "reason"),
    [
        (_nested(8), Limits(depth=8), Limits(depth=7), "nested-too-deep"),
        (_FORWARDS, Limits(depth=30), Limits(depth=29), "nested-too-deep"),
        (_FIVE, Limits(parts=6), Limits(parts=5), "too-many-parts"),
        (_FIVE, Limits(parts=6), Limits(parts=3), "too-many-parts"),
        (
            _FORWARDS,
            Limits(parts=31, depth=99),
            Limits(parts=30, depth=99),
            "too-many-parts",
        ),
        (_LONG_SIGNED, Limits(line_bytes=102), Limits(line_bytes=99), "line-too-long"),
    ],
)
def test_limits(raw: bytes, limits: Limits, over: Limits, reason: str) -> None:
    """A structure at its limit is read, one over it is refused by name."""
    _tree(raw, limits)
    with pytest.raises(MessageError) as caught:
        _tree(raw, over)
    assert caught.value.reason == reason


def test_default_limits() -> None:
    """The defaults take what people send and no bombs."""
    _tree(_nested(20))
    for bomb in (_nested(21), _nested(300), _multipart(*("--b", "", "x") * 1_000)):
        with pytest.raises(MessageError):
            _tree(bomb)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"a.txt", "a.txt"),
        (b"/home/realmary/a.txt", "a.txt"),
        (b"C:\\Users\\realmary\\a.txt", "a.txt"),
        (b"..", ""),
        (b"../..", ""),
        (b"/", ""),
        (b"dir/", ""),
        (b" a\r\nb\0.txt ", "a b .txt"),
        (b"=?utf-8?q?=C3=B6.txt?=", "ö.txt"),
        (b"=?utf-8?q?=2Fhome=2Frealmary=2F=C3=B6.txt?=", "ö.txt"),
        ("ö.txt".encode(), "ö.txt"),
        (b"\xf6.txt", "ö.txt"),
        (b"x" * 300 + b".txt", "x" * 251 + ".txt"),
        ("ö".encode() * 200 + b".txt", "ö" * 125 + ".txt"),
        (b"x" * 300, "x" * 255),
        (b"", ""),
    ],
)
def test_file_names(value: bytes, name: str) -> None:
    """A base name on one line, of at most 255 octets, its ending kept."""
    assert parameters.base_name(value) == name


# Parts written anew


def _wash_part(*header: str, content: bytes = b"x") -> str:
    """Return the header and content of a washed part of multipart/mixed."""
    head = "\r\n".join(("--b", *header, "", "")).encode()
    message = washed(_multipart() + head + content + b"\r\n--b--\r\n").decode()
    boundary = message.partition('boundary="')[2].partition('"')[0]
    return message.split(f"--{boundary}")[1][2:-2]


def test_part_headers() -> None:
    """Of a part's header only the listed fields and parameters remain, in one order."""
    written = _wash_part(
        'Content-Disposition: attachment; size=9; creation-date="x"; filename=a.pdf',
        "content-ID: <20261122064335.1234@marys-laptop>",
        "Content-Transfer-Encoding: BASE64",
        "X-Attachment-Id: f_1",
        "Content-Description: secret",
        "Content-Location: file:///home/realmary/a.pdf",
        "Content-Language: de",
        'Content-type: Application/PDF; name="other.pdf"; x-unix-mode=0644; charset=x',
        content=b"SGVs\r\nbG8=",
    )
    assert written == (
        "Content-Type: application/pdf\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="a.pdf"\r\n'
        "\r\n"
        "SGVsbG8="
    )


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Content-Disposition: inline; filename=a b.c", 'inline; filename="a b.c"'),
        (
            "Content-Disposition: inline; filename==?utf-8?q?=C3=B6?= =?utf-8?q?=2Ec?=",
            "inline; filename*=utf-8''%C3%B6.c",
        ),
        ('Content-Disposition: x-odd; filename="a b"', 'attachment; filename="a b"'),
        ("Content-Type: image/png; name=a.png", 'attachment; filename="a.png"'),
        (
            'Content-Disposition: attachment; filename="C:\\Users\\mary\\a.png"',
            'attachment; filename="a.png"',
        ),
        (
            "Content-Disposition: attachment; filename*=iso-8859-1''%2Fm%2F%F6.png",
            "attachment; filename*=utf-8''%C3%B6.png",
        ),
        (
            'Content-Type: image/png; name="=?iso-8859-1?q?=F6=2Epng?="',
            "attachment; filename*=utf-8''%C3%B6.png",
        ),
        ("Content-Disposition: attachment", "attachment"),
        ("Content-Disposition: inline", None),
        ("X: y", None),
    ],
)
def test_disposition(header: str, field: str | None) -> None:
    """The file name stands once, in Content-Disposition; empty, it says nothing."""
    part = _parsed(_wash_part(header).encode())
    assert part["Content-Disposition"] == field
    assert part.get_param("name") is None


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("text/plain", "text/plain; charset=utf-8"),
        (
            "text/plain; format=Flowed; delsp=YES; x=y",
            "text/plain; charset=utf-8; format=flowed; delsp=yes",
        ),
        ("text/plain; format=fixed; delsp=no", "text/plain; charset=utf-8"),
        ("text/html; charset=us-ascii; format=flowed", "text/html; charset=utf-8"),
        (
            "text/calendar; method=REQUEST; charset=UTF-8; x=y",
            "text/calendar; charset=utf-8; method=REQUEST",
        ),
        (
            "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
            "application/pkcs7-mime; smime-type=enveloped-data",
        ),
        ("application/x-thing; protocol=x; type=y", "application/x-thing"),
        ('text/csv; charset="odd one"', "text/csv"),
    ],
)
def test_parameters(kind: str, written: str) -> None:
    """Each type keeps the parameters it needs and no others."""
    part = _parsed(_wash_part(f"Content-Type: {kind}").encode())
    assert part["Content-Type"].replace("\r\n", "") == written


@pytest.mark.parametrize(
    ("charset", "octets", "label", "decoded"),
    [
        ("iso-8859-1", b"sch\xf6n", "utf-8", "schön".encode()),
        ("ISO-8859-15", b"\xa4", "utf-8", "€".encode()),
        ("us-ascii", "schön".encode(), "utf-8", "schön".encode()),
        ("us-ascii", b"sch\xf6n", "unknown-8bit", b"sch\xf6n"),
        ("utf-8", b"sch\xf6n", "utf-8", b"sch\xf6n"),
        ("x-unknown", b"sch\xf6n", "x-unknown", b"sch\xf6n"),
        ('"a b"', b"sch\xf6n", "unknown-8bit", b"sch\xf6n"),
        ("utf-16", "ö\r\n".encode("utf-16"), "utf-16", "ö\r\n".encode("utf-16")),
        ("iso-2022-jp", b"\x1b$B\x46\x7c\x1b(B", "utf-8", "日".encode()),
        ("utf-7", b"+APY-", "utf-7", b"+APY-"),
        ("utf-8", b"a\nb\r\nc", "utf-8", b"a\r\nb\r\nc"),
    ],
)
def test_charsets(charset: str, octets: bytes, label: str, decoded: bytes) -> None:
    """Inline text is UTF-8 where it decodes strictly, else octets and label stay."""
    part = _parsed(
        _wash_part(
            f"Content-Type: text/plain; charset={charset}",
            "Content-Transfer-Encoding: base64",
            content=base64.b64encode(octets),
        ).encode()
    )
    assert part.get_content_charset() == label
    payload = part.get_payload(decode=True)
    assert payload == decoded


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain; charset=iso-8859-1; name=a.txt",
        "Content-Type: text/x-patch; charset=iso-8859-1",
        "Content-Type: application/octet-stream",
        "Content-Type: text/html\r\nContent-Disposition: attachment",
        "Content-Type: application/pkcs7-mime; name=smime.p7m",
    ],
)
def test_files_keep_their_octets(header: str) -> None:
    """What is no inline text decodes to the same octets, bare CR, LF and NUL too."""
    octets = bytes(range(256)) + b"\r\n\n\r \r\n"
    for encoding, content in (
        ("base64", base64.b64encode(octets)),
        ("quoted-printable", quopri.encodestring(octets.replace(b"\n", b"=0A"))),
    ):
        expected = octets if encoding == "base64" else a2b_qp(content)
        written = _wash_part(
            header, f"Content-Transfer-Encoding: {encoding}", content=content
        )
        part = _parsed(written.encode())
        assert part["Content-Transfer-Encoding"] == "base64"
        assert part.get_payload(decode=True) == expected


def test_armour() -> None:
    """Text in PGP armour keeps its octets and its label."""
    octets = b"-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nsch\xf6n \r\n"
    part = _parsed(
        _wash_part(
            "Content-Type: text/plain; charset=ISO-8859-1",
            "Content-Transfer-Encoding: base64",
            content=base64.b64encode(octets),
        ).encode()
    )
    assert part.get_content_charset() == "iso-8859-1"
    assert part.get_payload(decode=True) == octets
    plain = b"-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n-----END PGP MESSAGE-----"
    written = _wash_part("Content-Type: text/plain", content=plain)
    assert written.endswith("7bit\r\n\r\n" + plain.decode())


@pytest.mark.parametrize("encoding", ["base64;", '"base64"', "BASE64(x)", "base64 x"])
def test_encoding_with_more_around_it(encoding: str) -> None:
    """What some put around an encoding's name leaves the file readable."""
    written = _wash_part(
        "Content-Type: image/png; name=a.png",
        f"Content-Transfer-Encoding: {encoding}",
        content=b"SGVsbG8=",
    )
    assert _parsed(written.encode()).get_payload(decode=True) == b"Hello"


def test_named_alternative() -> None:
    """A named form of the text, as Zimbra's invitations, is no file beside it."""
    lines = ("--b", "", "meet", "--b", "Content-Type: text/calendar; name=meeting.ics")
    raw = _multipart(*lines, "", "BEGIN:VCALENDAR", "--b--", kind="alternative")
    part = _parsed(washed(raw)).get_payload(1)
    assert part["Content-Disposition"] == 'inline; filename="meeting.ics"'


def test_unreadable_encoding() -> None:
    """An encoding nobody knows leaves its octets, as a file (RFC 2045 6.4)."""
    written = _wash_part(
        "Content-Type: text/plain",
        "Content-Transfer-Encoding: x-uuencode",
        content=b"begin 644 a",
    )
    part = _parsed(written.encode())
    assert part.get_content_type() == "application/octet-stream"
    assert part.get_payload(decode=True) == b"begin 644 a"
    # A slip of the pen is no encoding.
    written = _wash_part("Content-Transfer-Encoding: 8-bit", content="ü und a".encode())
    assert _parsed(written.encode()).get_payload(decode=True) == "ü und a".encode()


_RELATED = (
    "--b",
    'Content-Type: multipart/related; start="<root@old>"; boundary=r; type="text/html"',
    "",
    "--r",
    "Content-Type: text/html",
    "Content-ID: <root@old>",
    "",
    '<img src="cid:a%40old"><img src=CID:b@old><a href="cid:none@old">',
    "<b style='background:url(&quot;cid:b@old&quot;)'>cid:a@old2",
    "--r",
    "Content-Type: image/png",
    "Content-ID: <a@old>",
    "",
    "A",
    "--r",
    "Content-Type: image/png; name=b.png",
    "Content-ID: <b@old>",
    "",
    "B",
    "--r--",
    "--b--",
)


def test_content_ids() -> None:
    """Content-IDs are fresh, and all that refers to them follows."""
    message = _parsed(washed(_multipart(*_RELATED)))
    related = message.get_payload(0)
    html, first, second = related.get_payload()
    ids = [part["Content-ID"][1:-1] for part in (html, first, second)]
    assert len(set(ids)) == 3
    assert all(one.endswith("@part") and len(one) == 37 for one in ids)
    assert related.get_param("start") == f"<{ids[0]}>"
    assert related.get_param("type") == "text/html"
    text = html.get_payload()
    assert f'"cid:{ids[1]}"' in text
    assert f"CID:{ids[2]}>" in text
    assert f"&quot;cid:{ids[2]}&quot;" in text
    # What refers to no part of the message is the user's text.
    assert "cid:none@old" in text
    assert "cid:a@old2" in text
    assert second["Content-Disposition"] == 'inline; filename="b.png"'


@pytest.mark.parametrize(
    ("old", "html"),
    [
        ("a&b@old", '<img src="cid:a&amp;b@old">'),
        ("logo(1)@old", "<img src='cid:logo(1)@old'>"),
        ("logo(1)@old", "<b style=background:url(cid:logo(1)@old)>"),
        ("a@old", "<b style=background:url(cid:a@old);x:(y)>"),
        ("a@old", "<b style=&quot;url(cid:a@old)&quot;>"),
    ],
)
def test_odd_content_ids(old: str, html: str) -> None:
    """What HTML quotes, and pairs of parentheses, do not end an id; all else does."""
    page = ("--b", "Content-Type: text/html", "", html)
    picture = ("--b", "Content-Type: image/png", f"Content-ID: <{old}>", "", "A")
    parts = _parsed(washed(_multipart(*page, *picture, "--b--"))).get_payload()
    fresh = parts[1]["Content-ID"][1:-1]
    written = html.replace(old.replace("&", "&amp;"), fresh)
    assert parts[0].get_payload() == written != html


def test_content_ids_in_plain_text() -> None:
    """The plain text beside HTML names the same pictures by the same fresh ids."""
    old = "image001.png@01DA1C2F.6A3B4C50"
    picture = ("--b", "Content-Type: image/png", f"Content-ID: <{old}>", "", "A")
    html = ("--b", "Content-Type: text/html", "", f"<img src=cid:{old}>")
    plain = ("--b", "", f"See [cid:{old}] or cid:none@old")
    message = washed(_multipart(*plain, *html, *picture, "--b--"))
    text, page, image = _parsed(message).get_payload()
    fresh = image["Content-ID"][1:-1]
    assert text.get_payload() == f"See [cid:{fresh}] or cid:none@old"
    assert page.get_payload() == f"<img src=cid:{fresh}>"
    assert b"01DA1C2F" not in message
    # Without HTML nothing refers to a part, and the text is its writer's.
    lines = washed(_multipart(*plain, *picture, "--b--"))
    assert f"[cid:{old}]".encode() in lines


def test_armoured_html() -> None:
    """Armoured HTML keeps its octets, references and all."""
    text = "-----BEGIN PGP SIGNED MESSAGE-----<img src=cid:a@old>"
    parts = ("--b", "Content-Type: text/html", "", text, "--b", "Content-ID: <a@old>")
    message = _parsed(washed(_multipart(*parts, "", "x", "--b--")))
    assert message.get_payload(0).get_payload() == text


def test_data_fork() -> None:
    """Of a Macintosh's file the file itself remains, where it stood."""
    double = (
        "--b",
        "Content-Type: multipart/appledouble; boundary=d",
        "Content-Disposition: attachment",
        "",
        "--d",
        "Content-Type: application/applefile; name=cv.pdf",
        "Content-Transfer-Encoding: base64",
        "",
        base64.b64encode(b"\0\5\x16\7 kMDItemWhereFroms").decode(),
        "--d",
        "Content-Type: application/pdf; name=cv.pdf; x-mac-creator=70727677",
        "",
        "A",
        "--d--",
    )
    parts = _parsed(washed(_multipart("--b", "", "hi", *double, "--b--"))).get_payload()
    kinds = [part.get_content_type() for part in parts]
    assert kinds == ["text/plain", "application/pdf"]
    assert parts[1].get_filename() == "cv.pdf"
    assert parts[1].get_payload(decode=True) == b"A"


def test_unused_content_ids() -> None:
    """Where nothing refers to it a Content-ID is a fingerprint, and falls."""
    assert "Content-ID" not in _wash_part("Content-ID: <20261122.1@s-nail>")
    page = ("--b", "Content-Type: text/html", "Content-ID: <1@exchange>", "")
    file = ("--b", "Content-Type: application/pdf; name=cv.pdf", "Content-ID: <f_1>")
    html = "<img src=cid:2@x>"
    shown = ("--b", "Content-Type: image/png; name=a.png", "Content-ID: <2@x>")
    lines = (*page, html, *file, "", "A", *shown, "", "B", "--b--")
    parts = _parsed(washed(_multipart(*lines))).get_payload()
    assert [part["Content-ID"] is None for part in parts] == [True, True, False]
    assert parts[1]["Content-Disposition"] == 'attachment; filename="cv.pdf"'
    # Neither a file nor armour is changed, so nothing there can follow a fresh id.
    page = (*page[:2], "Content-Disposition: attachment", "")
    for text in (page, ("--b", "Content-Type: text/html", "", "-----BEGIN PGP ")):
        lines = (*text, html, *shown, "", "B", "--b--")
        assert b"Content-ID" not in washed(_multipart(*lines))


def test_types_of_multiparts() -> None:
    """Unknown multiparts are mixed (RFC 2046 5.1.7); known ones keep their type."""
    for kind, written in (("x-odd", "mixed"), ("alternative", "alternative")):
        message = washed(_multipart("--b", "", "x", "--b--", kind=kind))
        assert _parsed(message).get_content_subtype() == written


_SIGNED = (
    "preamble",
    "--b",
    "content-type:   text/plain;charset=UTF-8",
    "X-Odd : inside",
    "",
    "Grüße  ",
    "--bb",
    "From me",
    "",
    "--b",
    "Content-Type: application/pgp-signature; name=signature.asc",
    "",
    "-----BEGIN PGP SIGNATURE-----",
    "--b--",
    "epilogue",
)


@pytest.mark.parametrize("kind", ["signed", "encrypted"])
def test_sealed(kind: str) -> None:
    """Signed and encrypted parts stay octet for octet; the boundary alone is fresh."""
    protocol = {"signed": "pgp-signature", "encrypted": "pgp-encrypted"}[kind]
    protocol = f"application/{protocol}"
    lines = list(_SIGNED)
    if kind == "encrypted":
        lines[2] = f"content-type:   {protocol}"
    raw = _multipart(
        *lines, kind=f'{kind}; micalg=PGP-SHA256; x=y; protocol="{protocol}"'
    )
    assert isinstance(_tree(raw), Sealed)
    message = washed(raw)
    inside = raw.split(b"--b\r\n")[1:]
    for part in (inside[0], inside[1].partition(b"\r\n--b--")[0]):
        assert part.removesuffix(b"\r\n") in message
    header, _, body = message.partition(b"\r\n\r\n")
    assert b"preamble" not in body
    assert b"epilogue" not in body
    assert b"\r\n--b\r\n" not in body
    assert b"Content-Transfer-Encoding: 8bit" in header
    parsed = _parsed(message)
    assert parsed.get_param("protocol") == protocol
    assert parsed.get_param("micalg") == ("pgp-sha256" if kind == "signed" else None)
    assert parsed.get_param("x") is None


def test_sealed_by_a_type_with_x() -> None:
    """The signature may be of the type with x-, or without, whatever the whole says."""
    types = "application/x-pkcs7-signature", "application/pkcs7-signature"
    for protocol, kind in (types, types[::-1]):
        signature = ("--b", f"Content-Type: {kind}", "", "MIAG", "--b--")
        told = f'signed; protocol="{protocol}"'
        raw = _multipart("--b", "", "one  ", *signature, kind=told)
        assert isinstance(_tree(raw), Sealed)


@pytest.mark.parametrize(
    "lines",
    [
        ("--b", "X-Leak: y", "", "one", "--b--"),
        ("--b", "X-Leak: y", "", "one", "--b", "", "two", "--b", "", "3", "--b--"),
        ("--b", "X-Leak: y", "", "nul \0", "--b", "", "two", "--b--"),
        ("--b", "X-Leak: y", "", "bare \r CR", "--b", "", "two", "--b--"),
    ],
)
def test_not_really_sealed(lines: tuple[str, ...]) -> None:
    """What only says it is signed, or can not travel as it is, is washed as usual."""
    lines = tuple(
        f"Content-Type: application/pgp-signature\r\n{one}" if one == "" else one
        for one in lines
    )
    message = washed(_multipart(*lines, kind=_PGP))
    assert b"X-Leak" not in message
    assert _parsed(message).get_content_type() == "multipart/mixed"


def test_fresh_boundaries() -> None:
    """A boundary that stands in the content is drawn again."""
    first = b"=_%032x" % random.Random(1).getrandbits(128)
    message = washed(_multipart("--b", "", "--" + first.decode(), "--b--"))
    parsed = _parsed(message)
    assert parsed.get_boundary() != first.decode()
    assert parsed.get_payload(0).get_payload() == "--" + first.decode()


@pytest.mark.parametrize("encoding", ["7bit", "base64"])
def test_external_body(encoding: str) -> None:
    """What is kept elsewhere has a header of its own, with a host in it: it falls."""
    content = (
        b"Content-Type: application/postscript\r\n"
        b"Content-ID: <4711.1795342851.1@marys-laptop>\r\n\r\nget cv.ps\r\n"
    )
    written = _wash_part(
        "Content-Type: message/external-body; access-type=local-file;"
        " name=/home/realmary/cv.ps; site=marys-laptop",
        f"Content-Transfer-Encoding: {encoding}",
        content=base64.b64encode(content) if encoding == "base64" else content,
    )
    part = _parsed(written.encode())
    assert part.get_content_type() == "application/octet-stream"
    assert part.get_filename() == "cv.ps"
    assert part.get_payload(decode=True).strip() == b"get cv.ps"


_REPORT = (
    "--b",
    "",
    "read",
    "--b",
    "Content-Type: message/disposition-notification",
    "",
    "Reporting-UA: marys-laptop.home.example.org; Mozilla Thunderbird",
    "final-recipient: rfc822;jondoe@mail.i2p",
    "Original-Message-ID:",
    " <orig@mail.i2p>",
    "Disposition: manual-action/MDN-sent-manually; displayed",
    "--b",
    "Content-Type: text/rfc822-headers",
    "",
    "Received: from marys-laptop",
    "subject: lunch",
    "--b--",
)


def test_reports() -> None:
    """A receipt loses the program and host it names, and keeps what it says."""
    message = washed(
        _multipart(*_REPORT, kind="report; report-type=disposition-notification")
    )
    assert b"marys-laptop" not in message
    assert b"Thunderbird" not in message
    assert b"report-type=disposition-notification" in message
    assert (
        b"Final-Recipient: rfc822;jondoe@mail.i2p\r\n"
        b"Original-Message-ID: <orig@mail.i2p>\r\n"
        b"Disposition: manual-action/MDN-sent-manually; displayed\r\n"
    ) in message
    assert b"\r\nSubject: lunch\r\n" in message
