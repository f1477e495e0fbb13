"""A letter to check@ costs a bounded amount of looking, however many files it has."""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from base64 import b64encode

import pytest
from attrs import Factory, define

from postmand.message.disclosure import (
    Disclosed,
    Spoken,
    budget,
    contents,
    disclose,
    documents,
    texts,
)
from postmand.message.disclosure.report import report
from tests.fuzz_sanitizer import ME, washed

pytestmark = pytest.mark.long

_HEAD = b"From: jondoe@mail.i2p\r\nTo: check@mail.i2p\r\nMIME-Version: 1.0\r\n"


def told(raw: bytes) -> Disclosed:
    return disclose(raw, Spoken(), ME, washed(raw))


def mixed(kind: bytes, files: list[bytes], extra: bytes = b"") -> bytes:
    """Return a letter with these attachments, in lines of base64."""
    raw = _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n"
    for octets in files:
        coded = b64encode(octets)
        lines = [coded[at : at + 76] for at in range(0, len(coded), 76)]
        raw += b"\r\n--b\r\nContent-Type: " + kind + extra
        raw += b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"\r\n".join(lines)
    return raw + b"\r\n--b--\r\n"


def pdf(streams: list[bytes], tail: bytes = b"") -> bytes:
    """Return a PDF with those object streams, packed."""
    head = b"5 0 obj << /Type /ObjStm /N 1 >> stream\n"
    packed = [head + zlib.compress(one, 9) + b"\nendstream\n" for one in streams]
    return b"%PDF-1.7\n" + b"".join(packed) + tail


@define
class Counted:
    """Counts what is unpacked and what is searched."""

    inflated: int = 0
    searched: int = 0
    parts: list[str] = Factory(list)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Count octets where they are made, not where they are taken from a purse."""
    count = Counted()
    make = zlib.decompressobj

    class Stream:
        def __init__(self) -> None:
            self.inner = make()

        @property
        def unconsumed_tail(self) -> bytes:
            return self.inner.unconsumed_tail

        def decompress(self, packed: bytes, most: int) -> bytes:
            octets = self.inner.decompress(packed, most)
            count.inflated += len(octets)
            return octets

    monkeypatch.setattr(budget.zlib, "decompressobj", Stream)
    look_text, look_file = contents.texts.findings, contents.files.contents

    def text_findings(kind: str, text: str, place: str) -> object:
        count.searched += len(text)
        count.parts.append(place)
        return look_text(kind, text, place)

    def file_contents(section, octets, *rest) -> object:  # type: ignore[no-untyped-def]
        count.searched += len(octets)
        count.parts.append(section.place)
        return look_file(section, octets, *rest)

    monkeypatch.setattr(contents.texts, "findings", text_findings)
    monkeypatch.setattr(contents.files, "contents", file_contents)
    return count


def test_bombs(counted: Counted) -> None:
    """Twenty PDFs of sixteen streams each, which unpack to 80 MB: half a MB is."""
    bombs = [
        pdf([b"%d" % one + b"/Author" * 40_000] * 16, b"%%%d" % one)
        for one in range(20)
    ]
    disclosed = told(mixed(b"application/pdf", bombs))
    assert disclosed.unread >= 18
    assert 0 < counted.inflated <= 524_288
    assert len(counted.parts) == 20  # each once, though there is a washed copy


def test_large_texts(counted: Counted) -> None:
    """Twenty texts of 256 KiB: the first megabyte is read, once."""
    some = [b"%d Get " % one + b"Get " * 65_530 for one in range(20)]
    disclosed = told(mixed(b"text/plain", some))
    assert 1_000_000 < counted.searched <= 1_048_576
    assert disclosed.unread == 16
    assert "16 parts" in " ".join(report(disclosed).split())


def test_large_files(counted: Counted) -> None:
    """Files of chance, and what is found in the first of them."""
    rng = random.Random(7)
    files = [b"%PDF-1.4 /Author (Mary) " + rng.randbytes(400_000) for _ in range(20)]
    disclosed = told(mixed(b"application/pdf", files))
    assert counted.searched <= 1_048_576
    assert disclosed.unread > 10
    stays = [one.shown for one in disclosed.findings if one.fate == "stays"]
    assert "/Author (Mary)" in stays


def test_the_same_part_is_looked_at_once(counted: Counted) -> None:
    """Base64 that is washed into other lines is the same content, and so is a text."""
    raw = mixed(b"text/plain; charset=iso-8859-1", [b"caf\xe9 /home/mary/x\r\n"])
    disclosed = told(raw)
    assert counted.parts == ["part 1 (text/plain)"]
    (path,) = (one for one in disclosed.findings if one.category == "path")
    assert path.fate == "stays"


def test_what_is_not_looked_at_again_stays() -> None:
    """Where a text grows in the washing, nothing is said to be gone that is not."""
    some = [
        b"%d " % one + b"\xe9" * 262_000 + b" /home/mary/%d \r\n" % one
        for one in range(4)
    ]
    disclosed = told(mixed(b"text/plain; charset=iso-8859-1", some))
    paths = {
        one.shown: one.fate for one in disclosed.findings if one.category == "path"
    }
    assert paths
    assert paths["/home/mary/3"] == "stays"


def test_archives(counted: Counted) -> None:
    """A directory of thousands of entries is read a few times, not twenty."""
    archives = []
    for number in range(20):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("meta.xml", f"<dc:title>{number}</dc:title>")
            for one in range(1_500):
                archive.writestr(str(one), b"")
        archives.append(file.getvalue())
    opened = []
    real = zipfile.ZipFile

    class Counting(real):  # type: ignore[misc, valid-type]
        def __init__(self, *given: object) -> None:
            opened.append(given)
            super().__init__(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents.zipfile, "ZipFile", Counting)
        disclosed = told(mixed(b"application/zip", archives))
    assert len(opened) <= 4
    assert disclosed.unread > 10
    assert any(one.shown == "dc:title 0" for one in disclosed.findings)


def test_broken_stream_is_charged() -> None:
    """A stream that breaks costs one step of the purse, and yields what came before."""
    purse = budget.Budget()
    packed = zlib.compress(random.Random(1).randbytes(40_000))
    octets = purse.inflate(packed[:30_000] + b"\xff" * 9_000, 65_536)
    assert len(octets) <= 40_000
    assert purse.inflated >= 524_288 - 65_536
    assert purse.inflate(b"no stream", 65_536) == b""
    empty = budget.Budget(inflated=0)
    assert empty.inflate(zlib.compress(b"x"), 65_536) == b""


def test_closing_lines_cost_little() -> None:
    """Of a text full of the first words of closing lines few places are searched."""
    searched = []

    class Counting:
        def search(self, text: str, start: int, stop: int) -> None:
            searched.append(stop - start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_SENT_FROM", Counting())
        list(texts.findings("text/plain", "Get Android " * 20_000, "x"))
    assert 0 < sum(searched) <= 80_000


def test_closing_line_is_found() -> None:
    """It is told with its system, once, wherever its product stands in it."""
    for line in ("Sent from my iPad today", "Von meinem Telefon gesendet"):
        text = f"Get Get\r\nhello\r\n{line}\r\nbye\r\n{line}\r\n"
        shown = [one.shown for one in texts.findings("text/plain", text, "x")]
        assert shown.count(line) == 1
