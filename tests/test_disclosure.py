"""What real clients' messages tell, against notes made by hand; and hostile ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmand.message.answers import text_part
from postmand.message.disclosure import MEANINGS, Disclosed, Spoken, disclose
from postmand.message.disclosure.finding import Finding, score
from postmand.message.disclosure.report import report
from tests.captured import Capture, captures, listed, unlisted
from tests.fuzz_sanitizer import CORPUS, ME, washed

_BY_NAME = {one.name: one for one in captures()}

# What the notes did not look at, though it is there: by category and place.
_NOT_IN_THE_NOTES = {
    ("exif", "part (application/pdf)"),  # /Creator
    ("software", "part (text/plain)"),  # lines over forwarded and quoted text
    ("software", "part (text/html)"),  # the same, and moz-txt-link
    ("language", "header Subject"),  # alpine-utf8: ISO-8859-15
    ("random-fingerprintable", "header order"),
    ("software", "AUTH PLAIN"),  # noted by its base64
}


def _place(one: Finding) -> str:
    head, _, rest = one.where.partition(" (")
    return f"part ({rest}" if head.startswith("part ") and rest else one.where


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_all_leaks_are_listed(name: str) -> None:
    """Each leak of a capture's notes is found, by category, place, octets: all 482."""
    capture = _BY_NAME[name]
    findings = capture.disclosed().findings
    assert [leak for leak in capture.leaks if not listed(leak, findings)] == []


def test_nothing_is_left_to_compare() -> None:
    """The corpus is whole: its size, and that of its notes."""
    assert len(_BY_NAME) == 51
    assert sum(len(one.leaks) for one in captures()) == 482


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_nothing_false(name: str) -> None:
    """Beyond the notes there is only what they did not look at."""
    capture = _BY_NAME[name]
    extra = [
        one
        for one in unlisted(capture, capture.disclosed().findings)
        if (one.category, _place(one)) not in _NOT_IN_THE_NOTES
    ]
    assert extra == []


@pytest.mark.long
def test_budget_of_the_unlisted() -> None:
    """What the notes do not have is a tenth of all there is, at most."""
    everything = [one.disclosed().findings for one in captures()]
    extra = [
        one
        for capture, findings in zip(captures(), everything, strict=True)
        for one in unlisted(capture, findings)
        if one.where != "AUTH PLAIN"
    ]
    assert len(extra) * 10 <= sum(map(len, everything))


def test_hardened_mutt() -> None:
    """A client set up with care: just what its notes list, and a good score."""
    capture = _BY_NAME["mutt-hardened"]
    disclosed = capture.disclosed()
    assert len(disclosed.findings) == len(capture.leaks) == 4
    assert disclosed.score == 90


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_washed_tells_no_more(name: str) -> None:
    """Of a washed message only what stays is found, and of its session nothing."""
    capture = _BY_NAME[name]
    first = capture.disclosed()
    message = washed(capture.raw)
    again = disclose(message, Spoken(), ME, message)
    stays = {one.key for one in first.findings if one.fate == "stays"}
    ours = {"random-fingerprintable"}  # our own boundary is a shape, too
    told = {one.key for one in again.findings if one.category not in ours}
    assert told <= stays
    assert again.score >= first.score


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_fates_are_true(name: str) -> None:
    """What is said to be gone from the header is not in it, and what stays is."""
    capture = _BY_NAME[name]
    head = washed(capture.raw).partition(b"\r\n\r\n")[0].decode("latin-1")
    for one in capture.disclosed().findings:
        if one.where in ("EHLO", "header Message-ID", "MAIL FROM", "boundary"):
            assert one.fate != "stays" or one.where == "boundary"
            if one.fate != "stays":
                assert one.shown not in head
        if one.where in ("header From", "header User-Agent", "header X-Mailer"):
            assert one.fate != "stays"
        if one.where.startswith("part") and "(image/" in one.where:
            assert one.fate == "stays"


def test_clients_are_known() -> None:
    """Each capture's program is told by its mail, most without naming themselves."""
    wrong = {one.name: one.disclosed().client for one in captures()}
    for name, client in list(wrong.items()):
        if name.startswith(client) and client:
            del wrong[name]
    # A plain mail of Alpine's, and one of Python's without id, are like any other.
    assert set(wrong) <= {"alpine-plain", "alpine-utf8", "alpine-default", "alpine-cc"}


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_letter(name: str) -> None:
    """The answer names each finding, is bounded, and holds no password."""
    capture = _BY_NAME[name]
    disclosed = capture.disclosed()
    text = report(disclosed)
    assert f"Score: {disclosed.score} of 100" in text
    for one in disclosed.findings:
        assert one.shown in text
        assert MEANINGS[one.category].split()[-1] in text
    assert "thepassword" not in text
    assert "dGhlcGFzc3dvcmQ" not in text
    assert len(text) < 16_000


@pytest.mark.parametrize("letters", ["я", "яa", "яab", "яabc", "=", "€" * 9 + "a"])
def test_letter_is_short_as_it_is_encoded(letters: str) -> None:
    """Encoded, too, it fits into its place in a mailbox, in whatever script."""
    findings = [
        Finding(name, f"part {one} ({letters * 9})", letters * 40, letters * 30)
        for name in MEANINGS
        for one in range(20)
    ]
    text = report(Disclosed(tuple(findings), 5))
    body = text_part(text)[1]
    assert 12_000 < len(body) <= 14_336
    assert "... and more of it" in text
    assert "What helps with every program" in text


class TestScore:
    """The rule of the score."""

    def test_nothing_told(self) -> None:
        """Nothing told is 100, and the letter says so."""
        assert score([]) == 100
        assert "told nothing" in report(Disclosed((), 100))

    def test_order(self) -> None:
        """Removed counts less than what stays; a category counts once."""
        stays = Finding("hostname", "EHLO", "x", "")
        gone = Finding("hostname", "EHLO", "x", "", "removed")
        assert score([stays]) < score([gone]) < 100
        assert score([stays, gone, stays]) == score([stays])

    def test_worst(self) -> None:
        """Whatever is told, it is a number from 0 to 100."""
        all_ = [Finding(name, "x", "x", "") for name in MEANINGS]
        assert 0 <= score(all_) < 20


def check(raw: bytes, spoken: Spoken) -> None:
    """Disclose whatever octets; look at what is promised of the result."""
    disclosed = disclose(raw, spoken, ME, raw)
    assert 0 <= disclosed.score <= 100
    assert len(disclosed.findings) <= 100
    for one in disclosed.findings:
        assert one.category in MEANINGS
        assert len(one.shown) <= 120
        assert one.shown.isprintable() or "\n" not in one.shown
        one.shown.encode()
    assert len(report(disclosed).encode()) < 20_000


@pytest.mark.long
@given(st.binary(max_size=400), st.binary(max_size=80), st.binary(max_size=80))
def test_any_octets(raw: bytes, hello: bytes, mail: bytes) -> None:
    """Whatever is sent, nothing is raised and all is bounded."""
    check(raw, Spoken(b"EHLO " + hello, b"MAIL FROM:<" + mail, b"PLAIN", mail))


_PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\r\n\r\n",
            b"--b",
            b"--b--",
            b": ",
            b"\0",
            b"\xff",
            b"=?x?Q?",
            b">",
        ),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
        b"Content-Type: image/jpeg; name=x.jpg\r\n\r\nExif\0\0II*\0\x08\0\0\0",
        b"Content-Type: application/pdf\r\n\r\n%PDF-1.4 /Author (",
        b"/ObjStm >> stream\n",
        b"PK\x03\x04PK\x01\x02PK\x05\x06",
        b"Content-Transfer-Encoding: base64\r\n",
        b"-----BEGIN PGP SIGNATURE-----\n\n",
        b"Message-ID: <20261122000000.1@x>\r\n",
        b"Date: Sun, 22 Nov 2026 06:20:51 -0400\r\n",
        b'From: "a" <b@c>\r\n',
        b"On 1/1/26 10:00, Alice wrote:\r\n> x",
    ]
)


_ARMOUR = b"-----BEGIN PGP SIGNATURE-----\r\n\r\n%b-----END PGP SIGNATURE-----\r\n"


@pytest.mark.parametrize(
    "letters", [b"iHU=AB", b"i", b"iHUEA", b"=====", b"iHUEAB=YI\r\nx"]
)
def test_broken_armour(letters: bytes) -> None:
    """Padding in the middle, or a letter too many, is no error."""
    check(b"\r\n" + _ARMOUR % letters, Spoken())
    check(b"\r\n" + _ARMOUR % (letters + b"\r\n"), Spoken())


@pytest.mark.long
@settings(max_examples=200)
@given(st.lists(_PIECES | st.binary(max_size=12), max_size=30).map(b"".join))
def test_any_structure(raw: bytes) -> None:
    """The readers of parts, files and signatures fail on nothing."""
    check(raw, Spoken())


@pytest.mark.long
def test_broken_captures() -> None:
    """Real messages with octets changed, cut and doubled."""
    rng = random.Random(6)
    for capture in captures():
        for _ in range(6):
            octets = bytearray(capture.raw)
            for _ in range(rng.randrange(1, 30)):
                at = rng.randrange(len(octets))
                octets[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
            check(bytes(octets[: rng.randrange(len(octets))]), capture.spoken)


@pytest.mark.long
@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: " + b"1." * 100_000,
        b"X-Mailer: " + b"1a" * 50_000 + b"!",
        b"Content-Type: text/html\r\n\r\n" + b"id=" * 80_000,
        b"Content-Type: text/html\r\n\r\n" + b"<" * 250_000,
        b"\r\n" + b"a wrote:\r\n" * 25_000,
        b"\r\n" + b"/home/" * 40_000,
        b"\r\n" + b"-" * 250_000,
        b"From: " + b"(" * 200_000,
        b"Content-Type: application/pdf\r\n\r\n%PDF" + b"/Author (" * 40_000,
        b"Content-Type: application/pdf\r\n\r\n%PDF" + b"/ObjStm <<" * 40_000,
        b"Content-Type: image/jpeg\r\n\r\nExif\0\0II*\0" + b"\x08\0\0\0" * 60_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--b" * 60_000,
        b"\r\n" + b"-----BEGIN PGP MESSAGE-----\n" * 9_000,
        b"Content-Type: text/plain; name=" + b"a " * 100_000,
    ],
    ids=range(14),
)
def test_costly_octets(raw: bytes) -> None:
    """What would take an expression without bounds for ever is looked through."""
    check(raw, Spoken())


def test_capture_has_notes() -> None:
    """Every message of the corpus is compared with notes of its own."""
    assert {file.parent.name for file in CORPUS.glob("*/message.eml")} == set(_BY_NAME)
    assert all(isinstance(one, Capture) and one.leaks for one in captures())
