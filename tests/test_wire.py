"""A message's end in a stream, its doubled dots, and what may not stand in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from postmand.message.wire import DataScan, Stuffing, first_lines

pytestmark = pytest.mark.long

_END = b"\r\n.\r\n"
# What matters to a scan, in all orders.
HOSTILE = st.lists(
    st.sampled_from(
        (b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\0", b"a", b"bcd" * 9)
    ),
    max_size=40,
).map(b"".join)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=10)


def chunks(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Cut the stream into chunks of these lengths, over and over."""
    found = []
    while stream:
        length = cuts[len(found) % len(cuts)]
        found.append(stream[:length])
        stream = stream[length:]
    return found


def scanned(
    stream: bytes, cuts: list[int], line_bytes: int = 10**6
) -> tuple[bytes, bytes | None, DataScan]:
    """Return the message, what followed its end (None: no end), and the scan."""
    scan = DataScan(line_bytes)
    pieces = []
    feed = chunks(stream, cuts)
    for number, chunk in enumerate(feed):
        piece, rest = scan.feed(chunk)
        pieces.append(piece)
        if rest is not None:
            return b"".join(pieces), rest + b"".join(feed[number + 1 :]), scan
    return b"".join(pieces), None, scan


def model(stream: bytes) -> tuple[bytes, bytes | None]:
    """Return (message, rest) as RFC 5321 4.5.2 has it; slow and plain."""
    message, end, rest = (b"\r\n" + stream).partition(_END)
    if not end:
        return b"", None
    message = re.sub(rb"\r\n\.", b"\r\n", message + b"\r\n")[2:]
    return re.sub(rb"(?<!\r)\n", b"\r\n", message), rest


class DataScanTest(SynchronousTestCase):
    """Where a message ends, and what is wrong with it."""

    @given(HOSTILE, CUTS)
    @example(b".\r\n", [1])
    @example(b"..\r\n.\r\nNOOP\r\n", [1])
    @example(b"a\r\n..\r\n.\r\n", [5, 1])
    def test_against_the_model(self, stream: bytes, cuts: list[int]) -> None:
        """In any cut the end is CRLF.CRLF, and the message is what the model says."""
        stream += b"\r\n.\r\n" if len(stream) % 2 else b""
        message, rest, scan = scanned(stream, cuts)
        expected, followed = model(stream)
        self.assertEqual(rest, followed)
        if rest is not None and not scan.faults:
            self.assertEqual(message, expected)

    @given(HOSTILE, CUTS)
    @example(b"a\rb\nc", [100])
    @example(b"\r.\n", [1])
    @example(b"\rx\n\r\n", [100])
    def test_faults_against_the_model(self, text: bytes, cuts: list[int]) -> None:
        """A bare CR, a bare LF and a NUL are seen wherever the cuts fall."""
        text = text.partition(_END)[0]
        if text.startswith(b".\r\n"):
            text = b"x" + text
        text += b"x"  # its last CR is not the end's
        _, rest, scan = scanned(text + _END, cuts)
        self.assertEqual(rest, b"")
        self.assertEqual("nul" in scan.faults, b"\0" in text)
        self.assertEqual("bare-cr" in scan.faults, bool(re.search(rb"\r(?!\n)", text)))
        self.assertEqual(scan.bare_lf, bool(re.search(rb"(?<!\r)\n", text)))

    @given(HOSTILE, CUTS)
    def test_what_comes_out_is_clean(self, stream: bytes, cuts: list[int]) -> None:
        """A message without faults has CRLF line ends and nothing like them."""
        message, _, scan = scanned(stream + _END, cuts)
        if not scan.faults:
            self.assertIsNone(re.search(rb"\r(?!\n)|(?<!\r)\n|\0", message))

    @given(st.lists(st.integers(0, 60), max_size=8), CUTS, st.integers(20, 50))
    def test_long_lines(self, lengths: list[int], cuts: list[int], most: int) -> None:
        """A line is too long when it has more octets than the limit, in any cut.

        Whether its CR counts is left open.
        """
        stream = b"".join(b"x" * length + b"\r\n" for length in lengths)
        _, rest, scan = scanned(stream + b".\r\n", cuts, most)
        self.assertEqual(rest, b"")
        if all(length < most for length in lengths):
            self.assertNotIn("long-line", scan.faults)
        if any(length > most for length in lengths):
            self.assertIn("long-line", scan.faults)

    def test_long_line_without_end(self) -> None:
        """A line that is still going on is measured, too."""
        _, rest, scan = scanned(b"x" * 200, [7], 100)
        self.assertIsNone(rest)
        self.assertIn("long-line", scan.faults)

    def test_empty(self) -> None:
        """DATA's own CRLF stands before the dot of an empty message."""
        self.assertEqual(scanned(b".\r\nQUIT\r\n", [100])[:2], (b"", b"QUIT\r\n"))

    def test_little_is_held(self) -> None:
        """Nothing but the few octets that may become an end is held back."""
        scan = DataScan(10**6)
        piece, _ = scan.feed(b"x" * 1_000)
        self.assertGreaterEqual(len(piece), 990)

    def test_only_dots_after_crlf_were_doubled(self) -> None:
        """A dot after a bare LF was not doubled by its sender: it stays."""
        message, _, scan = scanned(b"a\n.b\n..c\r\n..d\r\n.\r\n", [100])
        self.assertTrue(scan.bare_lf)
        self.assertEqual(message, b"a\r\n.b\r\n..c\r\n.d\r\n")


class StuffingTest(SynchronousTestCase):
    """Multi-line answers."""

    @given(
        st.lists(st.sampled_from((b".", b"..", b"a", b"\r\n", b".\r\n")), max_size=30),
        CUTS,
    )
    @example([b".", b"\r\n"], [1])
    @example([b"a", b"\r\n", b".", b"\r\n"], [3, 1])
    def test_round_trip(self, tokens: list[bytes], cuts: list[int]) -> None:
        """A client that undoes the dots has the same octets, in any cut."""
        text = b"".join(tokens)
        stuffing = Stuffing()
        sent = b"".join(stuffing.piece(one) for one in chunks(text, cuts))
        sent += stuffing.end()
        lines = sent.split(b"\r\n")
        self.assertEqual(lines[-2:], [b".", b""])
        self.assertNotIn(b".", lines[:-2])
        plain = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
        whole = text if text.endswith(b"\r\n") or not text else text + b"\r\n"
        self.assertEqual(plain, whole)


class FirstLinesTest(SynchronousTestCase):
    """TOP's lines."""

    def test_lines(self) -> None:
        """So many lines, and how many are still to come."""
        body = b"a\r\nb\r\nc\r\n"
        for lines, expected in (
            (0, (b"", 0)),
            (1, (b"a\r\n", 0)),
            (3, (body, 0)),
            (5, (body, 2)),
        ):
            self.assertEqual(first_lines(body, lines), expected)

    @given(HOSTILE, st.integers(0, 9), CUTS)
    def test_over_pieces(self, body: bytes, lines: int, cuts: list[int]) -> None:
        """Asked piece by piece it is the same."""
        got, left = b"", lines
        for piece in chunks(body, cuts):
            if not left:
                break
            taken, left = first_lines(piece, left)
            got += taken
        self.assertEqual(got, b"".join(re.findall(rb"[^\n]*\n|[^\n]+$", body)[:lines]))
