"""Replies: read as strangers send them, and cleaned before a member sees them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from postmand.delivery.replies import Answer, ReplyScan, extensions
from postmand.internet import Reply


def read(octets: bytes) -> tuple[list[Answer], str]:
    scan = ReplyScan()
    return scan.feed(octets), scan.fault


def told(octets: bytes) -> Reply:
    ((answer,), fault) = read(octets)
    assert fault == ""
    return answer.reply()


class ScanTests(SynchronousTestCase):
    """Octets to replies."""

    def test_plain(self) -> None:
        """One line, with and without text, with either line end."""
        for octets in (b"250 ok\r\n", b"250 ok\n"):
            self.assertEqual(read(octets), ([Answer(250, (b"ok",))], ""))
        for octets in (b"250\r\n", b"250 \r\n"):
            self.assertEqual(read(octets), ([Answer(250, (b"",))], ""))

    def test_many_lines(self) -> None:
        """RFC 5321 4.2.1: a hyphen says that more comes."""
        answers, fault = read(b"250-one\r\n250-\r\n250 three\r\n354 go\r\n")
        expected = [Answer(250, (b"one", b"", b"three")), Answer(354, (b"go",))]
        self.assertEqual((answers, fault), (expected, ""))

    def test_in_drops(self) -> None:
        """However it is cut, the same replies come out."""
        scan = ReplyScan()
        octets = b"250-one\r\n250 two\r\n550 5.1.1 no\r\n"
        answers = [one for octet in octets for one in scan.feed(bytes([octet]))]
        self.assertEqual((answers, ""), read(octets))

    def test_no_replies(self) -> None:
        """What is none is a fault, and what came before it is not lost."""
        for garbage, fault in (
            (b"\r\n", "no-reply"),
            (b"hello\r\n", "no-reply"),
            (b"25 ok\r\n", "no-reply"),
            (b"2500 ok\r\n", "no-reply"),
            (b"150 ok\r\n", "no-reply"),
            (b"650 ok\r\n", "no-reply"),
            (b"\x16\x03\x01\r\n", "no-reply"),
            (b"250-a\r\n550 b\r\n", "reply-of-two-codes"),
            (b"250 " + b"x" * 5_000 + b"\r\n", "reply-line-too-long"),
            (b"x" * 5_000, "reply-line-too-long"),
            (b"250-x\r\n" * 129, "reply-too-long"),
            ((b"250-" + b"x" * 2_000 + b"\r\n") * 9, "reply-too-long"),
        ):
            answers, found = read(b"220 hello\r\n" + garbage)
            self.assertEqual((answers, found), ([Answer(220, (b"hello",))], fault))

    def test_more_lines(self) -> None:
        """Who expects a long reply reads so many lines, of a length that is bounded."""
        line = b"250-<%s> 550 5.1.1 no\r\n" % (b"a" * 600)
        scan = ReplyScan(1_000)
        self.assertEqual(len(scan.feed(line * 999 + b"250 ok\r\n")[0].lines), 1_000)
        self.assertEqual((scan.feed(line * 1_001), scan.fault), ([], "reply-too-long"))
        scan = ReplyScan(1_000)
        scan.feed((b"250-" + b"x" * 2_000 + b"\r\n") * 400)
        self.assertEqual(scan.fault, "reply-too-long")

    def test_nothing_after_a_fault(self) -> None:
        """Where one reply ends is not known any more."""
        scan = ReplyScan()
        scan.feed(b"what\r\n")
        self.assertEqual(scan.feed(b"250 ok\r\n"), [])

    def test_bounds_are_a_reply_s_own(self) -> None:
        """Any number of replies may follow each other."""
        scan = ReplyScan()
        for _ in range(100):
            self.assertEqual(len(scan.feed(b"250-more\r\n" * 100 + b"250 ok\r\n")), 1)
        self.assertEqual(scan.fault, "")


class CleaningTests(SynchronousTestCase):
    """Replies to words for a member."""

    def test_enhanced(self) -> None:
        """The code of RFC 3463 is taken from the text, and out of every line of it."""
        reply = told(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n")
        self.assertEqual(reply, Reply(550, "5.1.1", "no such user"))
        self.assertEqual(told(b"550 5.1.1\r\n"), Reply(550, "5.1.1", ""))
        self.assertEqual(told(b"250 2.01.005 ok\r\n"), Reply(250, "2.1.5", "ok"))

    def test_derived(self) -> None:
        """Without one, or with one of another class, it follows from the code."""
        for octets, enhanced in (
            (b"250 ok\r\n", "2.0.0"),
            (b"550 no\r\n", "5.0.0"),
            (b"552 full\r\n", "5.2.2"),
            (b"451 later\r\n", "4.3.0"),
            (b"450 later\r\n", "4.0.0"),
            (b"550 4.7.1 no\r\n", "5.0.0"),
            (b"550 5.1 no\r\n", "5.0.0"),
            (b"550 5.1.1234 no\r\n", "5.0.0"),
            (b"550 5.1.1no\r\n", "5.0.0"),
        ):
            self.assertEqual(told(octets).enhanced, enhanced, octets)

    def test_printable(self) -> None:
        """Control characters and octets beyond ASCII do not get into a mail."""
        reply = told(b"550 5.0.0 a\x00\x1b[1mb\tc \xff\xfe  d\r\r\n")
        self.assertEqual(reply.text, "a?[1mb c ? d")

    def test_cut(self) -> None:
        """Three hundred characters say enough."""
        self.assertEqual(len(told(b"550 " + b"word " * 500 + b"\r\n").text), 299)
        self.assertEqual(len(told(b"550 " + b"x" * 500 + b"\r\n").text), 300)

    def test_no_places(self) -> None:
        """A gateway may say whence we came: a member is not to learn it."""
        for place in (b"192.0.2.77", b"2001:db8::77", b"::1", b"fe80::1:2:3:4"):
            text = told(b"554 5.7.1 Client host [%s] rejected: %s\r\n" % (place, place))
            self.assertEqual(text.text, "Client host [[...]] rejected: [...]")
        for kept in ("see rfc 5321: 4.2.1", "a: b", "version 1.2.3", "x::y"):
            self.assertEqual(told(b"550 " + kept.encode() + b"\r\n").text, kept)

    @given(st.binary(max_size=600))
    def test_anything(self, octets: bytes) -> None:
        """Whatever comes, a reply is short, printable and of its code's class."""
        for answer in ReplyScan().feed(b"250-" + octets + b"\r\n250 ok\r\n"):
            reply = answer.reply()
            self.assertTrue(reply.text.isascii() and len(reply.text) <= 300)
            self.assertTrue(reply.text.isprintable())
            self.assertEqual(reply.enhanced[0], str(reply.code)[0])


class ExtensionTests(SynchronousTestCase):
    """The reply to EHLO."""

    def test_keywords(self) -> None:
        """Names in capitals, with what follows them; the first line is a name."""
        ((answer,), _) = read(
            b"250-PIPELINING greets you\r\n250-size 1000\r\n250-8bitmime\r\n"
            b"250 AUTH PLAIN LOGIN\r\n"
        )
        self.assertEqual(
            extensions(answer),
            {b"SIZE": b"1000", b"8BITMIME": b"", b"AUTH": b"PLAIN LOGIN"},
        )

    def test_none(self) -> None:
        """A server may offer nothing."""
        self.assertEqual(extensions(Answer(250, (b"mx",))), {})
