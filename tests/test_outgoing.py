"""The gateway's LMTP server: what may leave, one verdict a recipient, asking again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from postmand.config import Limits
from postmand.counts import Counts
from postmand.delivery.dialogue import MOST_TOLD
from postmand.delivery.replies import ReplyScan, remembered
from postmand.inbound import IExit, Outward
from postmand.internet import Reply
from postmand.message.restamp import RELEASED
from postmand.queue.spool import Memory, Spool
from postmand.rules import outgoing
from postmand.servers.ledger import Ledger
from postmand.servers.outgoing import Desk, OutgoingFactory, Settings
from tests.sessions import NOON, Session, Work, reply_codes

ALICE, BOB = b"alice@example.org", b"bob@example.org"
TAKEN, NEVER, LATER = (
    Reply(250, "2.0.0", "taken"),
    Reply(550, "5.1.1", "who?"),
    Reply(450, "4.2.0", "greylisted"),
)
HEADER = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"From: jondoe@i2pmail.org\r\nTo: alice@example.org\r\nSubject: hello\r\n"
    b"Message-ID: <1@i2pmail.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"DKIM-Signature: v=1;\r\n\tb=abc\r\n\r\n"
)
MAIL = b"MAIL FROM:<jondoe@i2pmail.org> SIZE=100"
BODY = b"Hello.\r\n"
LOCK = outgoing.Lock(frozenset((*RELEASED, b"DKIM-Signature")), b"i2pmail.org")


def judged(header: bytes, sender: bytes = b"jondoe@i2pmail.org") -> str:
    """Return the reason of a refusal, "" for none; the author is read as the sender."""
    fields = outgoing.read(header)
    authors = [body.lower() for name, body in fields or () if name == b"From"]
    verdict = LOCK.verdict(fields, authors, sender)
    return verdict.reason if verdict else ""


def test_what_a_host_sends() -> None:
    """Passes, with all fields there are, in any order."""
    assert judged(HEADER) == ""
    names = [name for name in reversed(RELEASED) if name != b"Auto-Submitted"]
    lines = [b"%s: jondoe@i2pmail.org\r\n" % name for name in names]
    assert judged(b"".join(lines) + b"\r\n") == ""


def test_what_a_host_sends_of_its_own() -> None:
    """With the null sender, and with it alone, a mail says that a machine wrote it."""
    said = b"Auto-Submitted: auto-replied\r\n" + HEADER
    assert (judged(said, b""), judged(said)) == ("", "field-not-allowed")
    bare = outgoing.Lock(LOCK.names - {b"Auto-Submitted"}, LOCK.domain)
    fields, author = outgoing.read(said), b"jondoe@i2pmail.org"
    assert bare.verdict(fields, [author], b"") is None


@pytest.mark.parametrize(
    "line",
    [
        b"Received: from x by y; now", b"Bcc: bob@example.org", b"X-Mailer: mutt",
        b"Sender: x@i2pmail.org", b"Resent-From: x@i2pmail.org", b"User-Agent: x",
        b"List-Id: <x>", b"Return-Path: <x>", b"Auto-Submitted: auto-replied",
        b"Authentication-Results: x", b"from: jondoe@i2pmail.org", b"DATE: x",
        b"ARC-Seal: x", b"X-Originating-IP: 127.0.0.1",
    ],
)  # fmt: skip
def test_fields_that_may_not_leave(line: bytes) -> None:
    """Whatever is not on the list, in the host's own writing, stays here."""
    assert judged(line + b"\r\n" + HEADER) == "field-not-allowed"


@pytest.mark.parametrize("name", [*RELEASED, b"DKIM-Signature"])
def test_twice(name: bytes) -> None:
    """No field stands there more than once."""
    line = b"%s: x\r\n" % name
    sender = b"" if name == b"Auto-Submitted" else b"jondoe@i2pmail.org"
    assert judged(line + line + HEADER, sender) == "field-twice"


@pytest.mark.parametrize("name", [b"Date", b"From", b"Message-ID"])
def test_missing(name: bytes) -> None:
    """What every mail has, this one has."""
    assert judged(HEADER.replace(name + b":", b"Cc:")) == "field-missing"


@pytest.mark.parametrize(
    "header",
    [
        b"", b"\r\n", HEADER[:-2], b" x\r\n" + HEADER, b"no field\r\n" + HEADER,
        b"Cc : x\r\n" + HEADER, b"\r\n" + HEADER, b"Cc: a\0b\r\n" + HEADER,
        b"Cc: a\rb\r\n" + HEADER, b"Cc: a\nBcc: b\r\n" + HEADER,
        b"Cc: \xff\r\n" + HEADER, b"Cc: %s\r\n" % (b"a" * 998) + HEADER,
        b"Cc: x\r\n \t\r\n" + HEADER, b"C\xc3\xbc: x\r\n" + HEADER, b": x\r\n" + HEADER,
    ],
)  # fmt: skip
def test_malformed(header: bytes) -> None:
    """What two readers may read in two ways does not leave."""
    assert judged(header) == "malformed-header"


def test_authors() -> None:
    """From is the sender; a bounce has none, and says that it is one."""
    other = b"alice@i2pmail.org"
    assert judged(HEADER, other) == "from-mismatch"
    bounce = b"Auto-Submitted: auto-replied\r\n" + HEADER
    assert judged(bounce, b"") == ""
    foreign = HEADER.replace(b"jondoe@i2pmail.org", b"jondoe@example.org")
    assert judged(foreign, b"jondoe@example.org") == "sender-not-ours"
    assert judged(foreign, b"") == "sender-not-ours"
    fields = outgoing.read(HEADER)
    assert LOCK.verdict(fields, [other, other], other) is not None
    assert LOCK.verdict(fields, [], b"") is not None


@implementer(IExit)
class Outside:
    """An exit that answers when a test says so."""

    def __init__(self) -> None:
        self.sent: list[Outward] = []
        self.waiting: list[Deferred[Any]] = []
        self.says: dict[bytes, Reply] | None = {}

    def send(self, outward: Outward) -> Deferred[Any]:
        """Take it; with `says` answer at once."""
        self.sent.append(outward)
        done: Deferred[Any] = Deferred()
        self.waiting.append(done)
        if self.says is not None:
            self.answer(self.says)
        return done

    def answer(self, says: dict[bytes, Reply] | None = None) -> None:
        """Answer for the first that waits: taken, but for what is in `says`."""
        outward = self.sent[len(self.sent) - len(self.waiting)]
        replies = {one: (says or {}).get(one, TAKEN) for one in outward.recipients}
        self.waiting.pop(0).callback(replies)


class House:
    """A gateway's server without network."""

    def __init__(self, octets: int = 1_000_000, spool: int = 100_000) -> None:
        self.clock = Clock()
        self.clock.advance(NOON)
        self.outside = Outside()
        self.work = Work()
        self.counts = Counts()
        self.spools: list[Spool] = []
        self.memory = Memory(10_000_000)
        self.spool_bytes = spool
        ledger = Ledger(self.outside, octets, self.clock)
        self.factory = OutgoingFactory(
            Settings("mx.i2pmail.org", "i2pmail.org", "mail.i2p", 1_000_000, 100),
            Limits(),
            self.clock,
            self.spool,
            Desk(ledger, self.clock.seconds, Random(7), self.work),
            self.counts,
        )

    def spool(self) -> Spool:
        """Make a spool."""
        place = Path(tempfile.gettempdir())
        spool = Spool(self.memory, self.spool_bytes, place, self.work)
        self.spools.append(spool)
        return spool

    def session(self) -> Session:
        """Connect and say LHLO."""
        session = Session(self.factory, self.clock)
        session.line(b"LHLO localhost")
        return session


def message(
    *to: bytes, header: bytes = HEADER, body: bytes = BODY, name: bytes = b"t1"
) -> bytes:
    """Return a whole transaction as it is pipelined."""
    envid = b" ENVID=" + name if name else b""
    rcpts = b"".join(b"RCPT TO:<%s>\r\n" % one for one in to or (ALICE,))
    return MAIL + envid + b"\r\n" + rcpts + b"DATA\r\n" + header + body + b".\r\n"


class ServerTest(SynchronousTestCase):
    """The server's conversation."""

    def setUp(self) -> None:
        """Begin with a house and a session."""
        self.house = House()
        self.session = self.house.session()

    def send(self, octets: bytes) -> list[bytes]:
        """Send; return the lines that come at once."""
        return [line for line in self.session.send(octets).split(b"\r\n") if line]

    def test_greeting(self) -> None:
        """It is LMTP, offers what is needed, and EHLO is no command of it."""
        session = Session(self.house.factory, self.house.clock)
        self.assertEqual(session.said, b"220 mx.i2pmail.org LMTP\r\n")
        self.assertEqual(session.codes(b"EHLO x\r\n"), [500])
        offered = session.line(b"LHLO x").split(b"\r\n")
        for word in (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"XASK"):
            self.assertIn(word, b" ".join(offered))

    def test_taken(self) -> None:
        """A reply a recipient; what leaves has one Received line and nothing else."""
        self.house.outside.says = {BOB: NEVER}
        said = self.send(message(ALICE, BOB))
        self.assertEqual(said[-2:], [b"250 2.0.0 taken", b"550 5.1.1 who?"])
        (sent,) = self.house.outside.sent
        self.assertEqual(sent.transaction, b"t1")
        self.assertEqual(sent.domain, b"example.org")
        trace, found, rest = sent.header.partition(HEADER)
        self.assertEqual((found, rest), (HEADER, b""))
        self.assertTrue(trace.startswith(b"Received: from localhost (localhost"))
        self.assertEqual(trace.count(b"Received:"), 1)
        self.assertIn(b":00 +0000 (UTC)\r\n", trace)
        self.assertEqual(b"".join(sent.body), BODY)

    def test_refused_header(self) -> None:
        """Each recipient hears the field's name, and nothing leaves."""
        header = b"X-Mailer: mutt\r\n" + HEADER
        said = self.send(message(ALICE, BOB, header=header))
        words = b"550 5.6.0 The field X-Mailer may not leave"
        self.assertEqual(said[-2:], [words, words])
        self.assertEqual(self.house.outside.sent, [])
        self.assertEqual(self.send(message())[-1], b"250 2.0.0 taken")

    def test_forged_from(self) -> None:
        """Two addresses in From, in a group or a comment's shade, are refused."""
        for author in (
            b"jondoe@i2pmail.org, alice@i2pmail.org",
            b"a: jondoe@i2pmail.org, alice@i2pmail.org;",
            b"<alice@i2pmail.org> (jondoe@i2pmail.org)",
            b'"jondoe@i2pmail.org" <alice@i2pmail.org>',
            b"jondoe@example.org",
            b"",
        ):
            header = HEADER.replace(b"From: jondoe@i2pmail.org", b"From: " + author)
            code = reply_codes(self.session.send(message(header=header)))[-1]
            self.assertEqual(code, 550, author)
        self.assertEqual(self.house.outside.sent, [])

    def test_senders(self) -> None:
        """Members in the internet domain and the null sender, and nobody else."""
        for sender, code in (
            (b"jondoe@i2pmail.org", 250),
            (b"", 250),
            (b"jondoe@mail.i2p", 550),
            (b"jondoe@example.org", 550),
            (b"jondoe", 550),
        ):
            said = self.session.codes(b"MAIL FROM:<%s>\r\nRSET\r\n" % sender)
            self.assertEqual(said, [code, 250], sender)

    def test_no_way_in(self) -> None:
        """Nobody is sent to in our own domains, nor where no domain is."""
        self.session.line(MAIL)
        for recipient in (
            b"alice@i2pmail.org", b"alice@mail.i2p", b"alice", b"a@[127.0.0.1]",
            b"a@127.0.0.1", b"a%example.org@i2pmail.org", b"a@x.onion", b"a@localhost",
        ):  # fmt: skip
            (code,) = self.session.codes(b"RCPT TO:<%s>\r\n" % recipient)
            self.assertGreaterEqual(code, 550, recipient)

    def test_one_domain(self) -> None:
        """The second domain has to come by itself."""
        self.session.line(MAIL)
        said = self.session.codes(b"RCPT TO:<a@x.org>\r\nRCPT TO:<b@X.org>\r\n")
        self.assertEqual(said, [250, 250])
        self.assertEqual(
            self.session.line(b"RCPT TO:<c@y.org>"),
            b"451 4.5.3 One domain at a time; send to this one by itself\r\n",
        )

    def test_on_disk(self) -> None:
        """A long one goes through a sealed file, and comes out whole."""
        self.house.spool_bytes = 1_000
        body = b"0123456789012345678901234567890123456789\r\n" * 10_000
        self.assertEqual(self.send(message(body=body))[-1], b"250 2.0.0 taken")
        (sent,) = self.house.outside.sent
        self.assertEqual(b"".join(sent.body), body)
        self.assertLessEqual(max(map(len, sent.body)), 65_536)
        self.assertGreater(self.house.work.calls, 0)

    def test_smuggling(self) -> None:
        """Bare line ends, NUL and false ends are refused for everybody, once each."""
        for end in (
            b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n\0.\r\n",
            b"\r\n.\r", b"\r\r\n.\r\r\n", b"\n\n.\r\n",
        ):  # fmt: skip
            body = b"x" + end + MAIL + b"\r\nRCPT TO:<evil@example.org>\r\nDATA\r\n"
            said = reply_codes(self.session.send(message(ALICE, BOB, body=body)))
            self.assertEqual(said, [250, 250, 250, 354, 554, 554], end)
        self.assertEqual(self.house.outside.sent, [])

    def test_gone_in_the_midst(self) -> None:
        """Without the end nothing leaves; the spool is closed."""
        self.session.send(message()[:-20])
        self.session.drop()
        self.assertEqual(self.house.outside.sent, [])
        self.assertTrue(all(one._closed for one in self.house.spools))

    def test_a_false_name(self) -> None:
        """ENVID and XASK take a plain name only."""
        for name in (b"a+2Bb", b"x" * 65):
            self.assertEqual(self.session.codes(MAIL + b" ENVID=%s\r\n" % name), [501])
        session = self.house.session()
        self.assertEqual(session.codes(b"XASK\r\nXASK a b\r\n"), [501, 501])

    def test_no_room(self) -> None:
        """What would be too much in memory is put off; one alone is not."""
        self.house.outside.says = None
        ledgers = House(octets=1_000)
        ledgers.outside.says = None
        first, second = ledgers.session(), ledgers.session()
        first.send(message(body=BODY * 1_000))
        said = second.send(message(name=b"t2"))
        self.assertEqual(said.split(b"\r\n")[-2][:10], b"452 4.3.1 ")
        ledgers.outside.answer()
        self.assertEqual(second.codes(message(name=b"t2"))[-1:], [354])


class AskingTest(SynchronousTestCase):
    """What became of a transaction."""

    def setUp(self) -> None:
        """Begin with an exit that waits."""
        self.house = House()
        self.outside = self.house.outside
        self.outside.says = None
        self.session = self.house.session()

    def ask(self, name: bytes = b"t1") -> bytes:
        """Ask on another connection."""
        return self.house.session().line(b"XASK " + name)

    def test_told(self) -> None:
        """Verdicts are told to who lost them, for an hour."""
        self.session.send(message(ALICE, BOB))
        self.session.drop()
        self.outside.answer({BOB: NEVER})
        told = b"250-<alice@example.org> 250 2.0.0 taken\r\n"
        told += b"250 <bob@example.org> 550 5.1.1 who?\r\n"
        self.assertEqual(self.ask(), told)
        self.house.clock.advance(3_599)
        self.assertEqual(self.ask(), told)
        self.house.clock.advance(2)
        self.assertEqual(self.ask(), b"550 5.5.0 unknown\r\n")

    def test_however_much_a_server_said(self) -> None:
        """The host reads all of the answer, of as many recipients as there may be."""
        to = [b"%s%d@example.org" % (b"x" * 60, number) for number in range(100)]
        self.session.send(message(*to))
        self.session.drop()
        self.outside.answer(dict.fromkeys(to, Reply(550, "5.1.1", "who? " * 60)))
        told = self.ask()
        self.assertLess(max(map(len, told.split(b"\r\n"))), 180)
        (answer,) = ReplyScan(MOST_TOLD).feed(told)
        self.assertEqual({one for one, _ in remembered(answer)}, set(to))

    def test_unknown(self) -> None:
        """Of what never came, or came without a name, nothing is known."""
        self.assertEqual(self.ask(), b"550 5.5.0 unknown\r\n")
        self.session.send(message(name=b""))
        self.outside.answer()
        self.assertEqual(self.ask(b"1"), b"550 5.5.0 unknown\r\n")

    def test_waits(self) -> None:
        """Who asks while it is under way waits for the verdict."""
        self.session.send(message())
        other = self.house.session()
        self.assertEqual(other.line(b"XASK t1"), b"")
        self.outside.answer()
        other.pump()
        self.assertTrue(other.said.endswith(b"<alice@example.org> 250 2.0.0 taken\r\n"))

    def test_under_way(self) -> None:
        """After a minute it is told to ask later, and the session is free."""
        self.session.send(message())
        self.session.advance(61)
        self.assertIn(b"459 4.4.0 under way; ask for it later\r\n", self.session.said)
        self.assertEqual(self.session.codes(b"NOOP\r\n"), [250])
        self.outside.answer()
        self.assertEqual(self.ask(), b"250 <alice@example.org> 250 2.0.0 taken\r\n")

    def test_sent_again(self) -> None:
        """The same name again, under way or with a final reply: not sent again."""
        self.session.send(message(ALICE, BOB))
        again = self.house.session()
        again.send(message(ALICE, BOB))
        self.outside.answer({BOB: LATER})
        again.pump()
        self.assertEqual(reply_codes(again.said)[-2:], [250, 450])
        self.assertEqual(reply_codes(self.session.said)[-2:], [250, 450])
        self.assertEqual(len(self.outside.sent), 1)
        self.session.send(message(ALICE, BOB))
        self.assertEqual(self.outside.sent[1].recipients, (BOB,))
        self.outside.answer()
        self.session.pump()
        self.assertEqual(reply_codes(self.session.said)[-2:], [250, 250])

    def test_a_fault_of_the_exit(self) -> None:
        """It is 451, and the next message goes."""
        self.outside.send = lambda _: fail(ValueError("x"))  # type: ignore[method-assign]
        self.assertEqual(self.session.codes(message())[-1], 451)
        del self.outside.send
        self.session.send(message(name=b"t2"))
        self.outside.answer()
        self.session.pump()
        self.assertEqual(reply_codes(self.session.said)[-1], 250)

    def test_bounded(self) -> None:
        """The oldest are forgotten when there are too many."""
        ledger = Ledger(self.outside, 1_000_000, self.house.clock, most=3)
        self.outside.says = {}
        for number in range(5):
            outward = Outward(b"n%d" % number, b"", (ALICE,), b"example.org", b"", ())
            Deferred.fromCoroutine(ledger.send(outward, 1))
        self.assertEqual(sorted(ledger._entries), [b"n2", b"n3", b"n4"])
