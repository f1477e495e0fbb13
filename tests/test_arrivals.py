"""Mail from the Internet for members: who may write it, who gets it, who is told."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from postmand.abroad import own_keys
from postmand.counts import Counts
from postmand.inbound import Crate, IOffice
from postmand.interfaces import Outgoing, StoreBusyError
from postmand.internet import Reply
from postmand.message.border import Border
from postmand.message.dkim import Signer, SigningKey, new_key, public_key
from postmand.message.restamp import release_block
from postmand.postoffice import crates
from postmand.postoffice.arrivals import Arrivals, ArrivalSettings
from postmand.postoffice.crates import Overdue
from postmand.store.nodekeys import DKIM
from tests.sessions import HouseCase

pytestmark = pytest.mark.long

PEM = new_key()
KEY = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public_key(PEM))
BORDER = Border(b"mail.i2p", b"i2pmail.org")
RESULTS = b"mx.i2pmail.org; spf=pass smtp.mailfrom=example.org"
HEADER = (
    b"Received-SPF: pass\r\n"
    b"From: Ann <ann@example.org>\r\n"
    b"To: alice@i2pmail.org\r\n"
    b"Subject: Greetings\r\n"
    b"Date: Sun, 22 Nov 2026 17:21:00 +0200\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"\r\n"
)
BODY = (b"Hel", b"lo\r\n")
SETTINGS = ArrivalSettings(
    border=BORDER,
    own_keys=(KEY,),
    max_message_bytes=2_000_000,
)


def crate(**changes: Any) -> Crate:
    """Return a crate for alice."""
    usual = Crate(
        sender=b"Ann-1@example.org",
        recipients=(b"alice@mail.i2p",),
        results=RESULTS,
        vouched=True,
        header=HEADER,
        body=BODY,
    )
    return evolve(usual, **changes)


def own(sender: bytes = b"jondoe@i2pmail.org", pem: bytes = PEM) -> bytes:
    """Return a header block from a member, signed."""
    header = HEADER.replace(b"ann@example.org", sender)
    return Signer(b"i2pmail.org", b"s1", pem).sign(header, b"".join(BODY)) + header


def nested() -> dict[str, Any]:
    """Return a crate's header and body with more parts in parts than may be."""
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(30)
    )
    first, _, rest = deep.partition(b"\r\n\r\n")
    header = HEADER.removesuffix(b"\r\n") + first + b"\r\n\r\n"
    return {"header": header, "body": (rest,)}


class Case(HouseCase):
    """An office for arrivals in a house of three members."""

    def setUp(self) -> None:
        """Open the office."""
        super().setUp()
        self.counts = Counts()
        self.office = self.open()

    def open(self, **changes: Any) -> Arrivals:
        """Return an office; `changes` are of its settings, and `leaves`."""
        leaves = changes.pop("leaves", lambda: 77)
        return Arrivals(
            evolve(SETTINGS, **changes),
            self.house.office,
            seconds=self.house.clock.seconds,
            random=random.Random(5),
            in_thread=self.house.washing,
            counts=self.counts,
            leaves=leaves,
        )

    def accept(self, gateway: int = 1, live: bool = False, **changes: Any) -> Reply:
        """Have a crate judged."""
        judging = self.office.accept(gateway, crate(**changes), live=live)
        reply = self.successResultOf(judging)
        assert isinstance(reply, Reply)
        return reply

    def ask(self, address: bytes, size: int = 1_000, gateway: int = 1) -> Reply:
        """Have a recipient judged."""
        reply = self.successResultOf(self.office.recipient(gateway, address, size))
        assert isinstance(reply, Reply)
        return reply

    def got(self, name: str = "alice") -> list[bytes]:
        """Return a mailbox's messages."""
        return list(self.house.mailbox(name))

    @property
    def reports(self) -> list[Outgoing]:
        """What was queued for the Internet."""
        sent = self.house.store.mailboxes.sent
        assert all(spending is None for _, spending in sent)
        return [outgoing for outgoing, _ in sent]

    def counted(self, *entry: str) -> int:
        """Return how often something was counted."""
        return self.counts.snapshot().get((entry[0], entry[1]), 0)

    def fill(self, name: str) -> None:
        """Use up a member's room."""
        account = self.house.store._kept.accounts[name]
        account.used = self.house.mailbox_bytes


class RecipientTest(Case):
    """Questions at RCPT."""

    def test_seam(self) -> None:
        """It is the office a link asks for."""
        assert verifyObject(IOffice, self.office)

    def test_member(self) -> None:
        """A member gets mail in either domain, whatever the case."""
        for address in (b"alice@mail.i2p", b"ALICE@I2PMAIL.org", b'"alice"@mail.i2p.'):
            self.assertEqual(self.ask(address).code, 250)

    def test_nobody(self) -> None:
        """Strangers, other domains and what is no address are refused for good."""
        for address, enhanced in (
            (b"nobody@mail.i2p", "5.1.1"),
            (b"quota@mail.i2p", "5.1.1"),
            (b"", "5.1.1"),
            (b"alice@@mail.i2p", "5.1.1"),
            (b"alice%example.org@mail.i2p", "5.1.1"),
            (b"alice@mail.i2p> SIZE=1 <x", "5.1.1"),
            (b"bob@example.org", "5.7.1"),
            (b"alice@sub.mail.i2p", "5.7.1"),
        ):
            reply = self.ask(address)
            self.assertEqual((reply.code, reply.enhanced), (550, enhanced), address)

    def test_alias(self) -> None:
        """An alias leads to its account."""
        self.house = self.build(aliases={"postmaster": "bob"})
        self.office = self.open()
        self.assertEqual(self.ask(b"postmaster@mail.i2p").code, 250)
        self.assertEqual(self.ask(b"postmaster").code, 250)

    def test_no_room(self) -> None:
        """Without room it is put off; what fits no mailbox is refused for good."""
        self.assertEqual(self.ask(b"alice@mail.i2p", 60_000_000).code, 552)
        self.fill("alice")
        self.assertEqual(self.ask(b"alice@mail.i2p").code, 452)


class AcceptTest(Case):
    """The way of a message."""

    def test_copy(self) -> None:
        """Return-Path, one neutral Received, our results, then the washed message."""
        self.assertEqual(self.accept(), Reply(250, "2.0.0", "Ok: kept"))
        (message,) = self.got()
        lines = message.split(b"\r\n")
        self.assertEqual(lines[0], b"Return-Path: <Ann-1@example.org>")
        self.assertEqual(lines[1], b"Received: from localhost (localhost [127.0.0.1])")
        block = message.replace(b"\r\n ", b" ")
        self.assertIn(b"\r\nAuthentication-Results: " + RESULTS + b"\r\n", block)
        self.assertIn(b"\r\nDate: Sun, 22 Nov 2026 15:21:00 +0000\r\n", message)
        self.assertIn(b"\r\nTo: alice@mail.i2p\r\n", message)
        self.assertIn(b"\r\nMessage-ID: <1@example.org>\r\n", message)
        self.assertTrue(message.endswith(b"\r\n\r\nHello\r\n"))
        self.assertNotIn(b"Received-SPF", message)
        self.assertEqual(message.count(b"Received:"), 1)

    def test_null_sender(self) -> None:
        """A bounce has the null path."""
        self.accept(sender=b"")
        self.assertTrue(self.got()[0].startswith(b"Return-Path: <>\r\n"))

    def test_sender_that_is_none(self) -> None:
        """A path that is none, or has a line of its own, is the null one."""
        self.accept(sender=b"x@example.org>\r\nBcc: <y@example.org")
        self.assertTrue(self.got()[0].startswith(b"Return-Path: <>\r\nReceived"))

    def test_each_once(self) -> None:
        """Who is named twice, in two domains and by an alias, gets one copy."""
        self.house = self.build(aliases={"postmaster": "alice"})
        self.office = self.open()
        names = b"alice@mail.i2p", b"alice@i2pmail.org", b"postmaster@mail.i2p"
        self.accept(recipients=(*names, *names, b"bob@mail.i2p"))
        self.assertEqual((len(self.got()), len(self.got("bob"))), (1, 1))

    def test_capitals(self) -> None:
        """However a gateway writes a name, it is one and the same to all who read."""
        names = b"Alice@mail.i2p", b"ALICE@I2Pmail.org", b"Nobody@mail.i2p"
        self.accept(recipients=(*names, b"nobody@mail.i2p", b"alice@mail.i2p"))
        self.assertEqual(len(self.got()), 1)
        self.assertEqual(self.counted("bounces", "to-internet"), 1)

    def test_list(self) -> None:
        """A list's words stay."""
        line = b"List-Id: <friends.example.org>\r\n"
        self.accept(header=line + HEADER)
        self.assertIn(b"\r\n" + line, self.got()[0])

    def test_thread(self) -> None:
        """An answer to a member's mail names the id their mailbox knows."""
        self.accept(header=b"In-Reply-To: <token@i2pmail.org>\r\n" + HEADER)
        self.assertIn(b"\r\nIn-Reply-To: <token@mail.i2p>\r\n", self.got()[0])

    def test_limits(self) -> None:
        """What is too large, or more than may be read, is refused with its code."""
        large = self.accept(body=(b"x" * 2_000_001,), vouched=False)
        self.assertEqual(large.enhanced, "5.3.4")
        reply = self.accept(**nested(), vouched=False)
        self.assertEqual((reply.code, self.got()), (554, []))
        many = tuple(b"n%d@mail.i2p" % number for number in range(1_001))
        self.assertEqual(self.accept(recipients=many).enhanced, "5.3.4")
        self.assertEqual(self.reports, [])

    def test_header_without_end(self) -> None:
        """A block that does not end does not take in the body's lines."""
        for end in (b"", b"\r\n"):
            header = HEADER.rstrip(b"\r\n") + end
            self.accept(header=header, body=(b"Reply-To: eve@example.org\r\n",))
            message = self.got()[-1]
            self.assertTrue(message.endswith(b"\r\n\r\nReply-To: eve@example.org\r\n"))

    def test_store_busy(self) -> None:
        """Nothing is kept, and it may be brought again."""
        self.house.store.mailboxes.error = StoreBusyError("full")
        self.assertEqual(self.accept().code, 451)
        self.house.store.mailboxes.error = None
        self.assertEqual(self.accept().code, 250)
        self.assertEqual(len(self.got()), 1)

    def test_memory(self) -> None:
        """What is being washed is bounded: the next waits for its turn."""
        self.house = self.build(wash_memory=65_536)
        self.house.washing.held = True
        self.office = self.open()
        large = crate(body=(b"x\r\n" * 20_000,))
        first, second = (self.office.accept(1, large) for _ in range(2))
        self.assertEqual(self.house.washing.calls, 1)
        self.house.washing.release()
        for reply in (first, second):
            self.assertEqual(self.successResultOf(reply).code, 250)

    def test_fault(self) -> None:
        """A fault of ours is raised to who answers for it, and the room given back."""
        self.house = self.build(wash_memory=65_536)
        self.office = self.open()
        self.house.washing.fails = ZeroDivisionError()
        large = crate(body=(b"x\r\n" * 20_000,))
        self.failureResultOf(self.office.accept(1, large), ZeroDivisionError)
        self.house.washing.fails = None
        reply: Deferred[Reply] = self.office.accept(1, large)
        self.assertEqual(self.successResultOf(reply).code, 250)


class SenderTest(Case):
    """An envelope's sender in our own domains, which a gateway only says."""

    ours = (
        *(b"bob@i2pmail.org", b"bob@mail.i2p", b"BOB@I2Pmail.org"),
        *("bob@\uff4dail.i2p".encode(), "bob@i2pmail\u3002org".encode()),
    )

    def test_not_ours(self) -> None:
        """Without our signature nobody has sent it, whoever the gateway says it was."""
        for sender in self.ours:
            self.assertEqual(self.accept(sender=sender).code, 250)
            self.assertTrue(self.got()[-1].startswith(b"Return-Path: <>\r\n"), sender)

    def test_another_member(self) -> None:
        """Nor with it, where another member has signed."""
        for sender in self.ours:
            self.accept(sender=sender, header=own(b"jondoe@i2pmail.org"))
            self.assertTrue(self.got()[-1].startswith(b"Return-Path: <>\r\n"), sender)

    def test_ours(self) -> None:
        """Who signed what it sent is shown as members know it."""
        for sender in (b"bob@i2pmail.org", b"Bob@I2Pmail.org."):
            self.accept(sender=sender, header=own(b"bob@i2pmail.org"))
            line = b"Return-Path: <bob@mail.i2p>\r\n"
            self.assertTrue(self.got()[-1].startswith(line))

    def test_no_report(self) -> None:
        """No report leaves for an address of ours, vouched for or not."""
        for sender in self.ours:
            nobody = (b"nobody@mail.i2p",)
            self.assertEqual(self.accept(sender=sender, recipients=nobody).code, 550)
        self.assertEqual(self.reports, [])


class AuthorTest(Case):
    """From in our own domains."""

    def refused(self, header: bytes, **changes: Any) -> None:
        """Check that a header is refused as a forgery, to a vouched sender by mail."""
        reply = self.accept(header=header, vouched=False, **changes)
        self.assertEqual((reply.code, reply.enhanced), (550, "5.7.1"), header)
        before = len(self.reports)
        self.assertEqual(self.accept(header=header, **changes).code, 250)
        self.assertIn(b"Status: 5.7.1", b"".join(self.reports[before].body))
        self.assertEqual(self.got(), [])

    def test_forged(self) -> None:
        """Whoever writes an address of ours without our key is refused."""
        for address in (
            *(b"jondoe@i2pmail.org", b"jondoe@mail.i2p", b"JONDOE@I2Pmail.ORG."),
            *(b"nobody@i2pmail.org", b'"jon doe"@mail.i2p', b"jon(x)doe @ mail.i2p"),
        ):
            self.refused(HEADER.replace(b"ann@example.org", address))

    def test_forged_in_other_letters(self) -> None:
        """What a reader takes for our domain is ours: what shows nothing is nothing."""
        for domain in (
            *("mail\u00ad.i2p", "mail\u200b.i2p", "mail\u3002i2p", "mail\uff0ei2p"),
            *("\uff4d\uff41\uff49\uff4c.i2p", "i2pmail.\uff2f\uff32\uff27"),
            *(
                "mail\ufe0f.i2p",
                "ma\u034fil.i2p",
                "i2pmail.org\u3164",
                "mail.i2p\u2060",
            ),
        ):
            self.refused(HEADER.replace(b"ann@example.org", f"bob@{domain}".encode()))

    def test_dressed_up(self) -> None:
        """In groups, behind another, twice, in odd fields: it is no use."""
        for line in (
            b"From: jondoe@i2pmail.org, ann@example.org\r\n",
            b"From: ann@example.org, jondoe@i2pmail.org\r\n",
            b"From: friends: jondoe@mail.i2p;\r\n",
            b"From: ann@example.org\r\nFrom: jondoe@mail.i2p\r\n",
            b"From: ann@example.org\r\nfrom : jondoe@mail.i2p\r\n",
            b"From: ann@example.org\r\nFROM:jondoe@mail.i2p\r\n",
            b"From:\r\n jondoe@mail.i2p\r\n",
            b"From: ann@example.org <jondoe@mail.i2p>\r\n",
            b"From: ann@example.org\r\nFrom: ann\r\n",
            b"From: <@example.org:jondoe@mail.i2p>\r\n",
            b"",
            b"From:\r\n",
            b"From: ann\r\n",
        ):
            self.refused(HEADER.replace(b"From: Ann <ann@example.org>\r\n", line))

    def test_results_help_nobody(self) -> None:
        """What the gateway says of it is believed by nobody."""
        header = HEADER.replace(b"ann@example.org", b"jondoe@i2pmail.org")
        self.refused(header, results=b"x; dkim=pass header.d=i2pmail.org")

    def test_own(self) -> None:
        """What a member sent, and a list sends back, is taken, the From come home."""
        list_ = b"List-Id: <friends.example.org>\r\n"
        self.assertEqual(self.accept(header=list_ + own()).code, 250)
        self.assertIn(b"\r\nFrom: Ann <jondoe@mail.i2p>\r\n", self.got()[0])

    def test_own_changed(self) -> None:
        """Nothing of it may be changed, and no other key will do."""
        self.refused(own(), body=(b"other\r\n",))
        self.refused(own().replace(b"Greetings", b"Regards"))
        self.refused(own().replace(b"jondoe@", b"alice@"))
        self.refused(b"From: jondoe@mail.i2p\r\n" + own())
        self.refused(own(pem=new_key()))
        # Not even with ours: what leaves is never from this domain.
        self.refused(own(b"jondoe@mail.i2p"))

    def test_former_key(self) -> None:
        """A former key counts as long as it is named; without one nothing does."""
        self.office = self.open(own_keys=(b"v=DKIM1; p=", KEY))
        self.assertEqual(self.accept(header=own()).code, 250)
        self.office = self.open(own_keys=())
        self.assertEqual(self.accept(header=own(), vouched=False).code, 550)

    def test_key_as_it_is_kept(self) -> None:
        """The keys are read from where they are kept as the DNS has them joined."""
        kept: Any = {DKIM: SigningKey("s1", PEM).to_octets()}
        self.office = self.open(own_keys=own_keys(kept))
        self.assertEqual(self.accept(header=own()).code, 250)

    def test_names_like_ours(self) -> None:
        """Others whose names hold ours may write."""
        for address in (b"a@mail.i2p.example", b"a@sub.mail.i2p", b"a@xi2pmail.org"):
            header = HEADER.replace(b"ann@example.org", address)
            self.assertEqual(self.accept(header=header).code, 250)


class FailedTest(Case):
    """Recipients who get nothing."""

    both = (b"alice@mail.i2p", b"nobody@mail.i2p")

    def test_report(self) -> None:
        """Who has room gets it; of the others a vouched sender is told, once."""
        self.assertEqual(self.accept(recipients=self.both).code, 250)
        self.assertEqual(len(self.got()), 1)
        (report,) = self.reports
        self.assertEqual((report.account, report.name), (0, ""))
        self.assertEqual(report.recipients, (b"Ann-1@example.org",))
        self.assertEqual((report.due, report.pooled), (77, False))
        fields = dict(report.fields)
        self.assertEqual(fields[b"To"], b"Ann-1@example.org")
        self.assertEqual(fields[b"From"], b"Mail system <mailer-daemon@mail.i2p>")
        self.assertEqual(fields[b"In-Reply-To"], b"<1@example.org>")
        self.assertEqual(fields[b"Auto-Submitted"], b"auto-replied")
        self.assertIn(b"report-type=delivery-status", fields[b"Content-Type"])
        self.assertFalse({b"Date", b"Message-ID"} & set(fields))
        body = b"".join(report.body)
        self.assertIn(b"Final-Recipient: rfc822; nobody@i2pmail.org", body)
        self.assertIn(b"Status: 5.1.1", body)
        self.assertIn(b"Message-ID: <1@example.org>", body)
        self.assertNotIn(b"alice", body)
        self.assertNotIn(b"mail.i2p", body)
        self.assertNotIn(b"Greetings", body + str(fields).encode())
        self.assertEqual(self.counted("bounces", "to-internet"), 1)

    def test_report_leaves(self) -> None:
        """It leaves over the border like all other mail, in the Internet's domain."""
        self.accept(recipients=self.both)
        (report,) = self.reports
        block = release_block(
            report.fields, date=b"x", message_id=report.message_id, border=BORDER
        )
        self.assertIn(b"\r\nFrom: Mail system <mailer-daemon@i2pmail.org>\r\n", block)
        self.assertNotIn(b"mail.i2p", block)

    def test_not_vouched(self) -> None:
        """A stranger named as sender hears nothing; it is counted."""
        for changes in ({"vouched": False}, {"sender": b""}):
            self.assertEqual(self.accept(recipients=self.both, **changes).code, 250)
        self.assertEqual((self.reports, len(self.got())), ([], 2))
        self.assertEqual(self.counted("refused", "sender-not-told"), 2)

    def test_no_way_out(self) -> None:
        """A node without a queue tells nobody."""
        self.office = self.open(leaves=None)
        self.assertEqual(self.accept(recipients=self.both).code, 250)
        self.assertEqual(self.reports, [])
        self.assertEqual(self.accept(recipients=self.both[1:]).code, 550)

    def test_nobody(self) -> None:
        """For nobody: a vouched sender is told by us, any other by the reply."""
        nobody = self.both[1:]
        self.assertEqual(self.accept(recipients=nobody, vouched=False).code, 550)
        self.assertEqual(self.accept(recipients=()).code, 554)
        self.assertEqual(self.accept(recipients=nobody).code, 250)
        self.assertEqual(len(self.reports), 1)

    def test_all_full(self) -> None:
        """While all there are may have room later, it is put off, and nobody told."""
        self.fill("alice")
        self.assertEqual(self.accept().code, 452)
        self.assertEqual(self.accept(recipients=self.both).code, 452)
        self.assertEqual((self.reports, self.got()), ([], []))

    def test_refused_for_good(self) -> None:
        """Whatever stands against a mail for good, its vouched sender is told."""
        forged = HEADER.replace(b"ann@example.org", b"jondoe@mail.i2p")
        for changes, status in (
            ({"recipients": self.both[1:]}, b"5.1.1"),
            ({"body": (b"x" * 1_000_001,)}, b"5.2.2"),
            ({"body": (b"x" * 2_000_001,)}, b"5.3.4"),
            (nested(), b"5.6.0"),
            ({"header": forged}, b"5.7.1"),
            ({"header": b"From: a@example.org\r\n" + HEADER}, b"5.7.1"),
        ):
            before = len(self.reports)
            self.house.store._kept.limit = 1_000_000
            self.assertEqual(self.accept(**changes).code, 250, status)
            (report,) = self.reports[before:]
            self.assertIn(b"Status: " + status, b"".join(report.body))
            self.assertEqual(dict(report.fields)[b"In-Reply-To"], b"<1@example.org>")
            self.assertEqual(report.recipients, (b"Ann-1@example.org",))
        self.assertEqual(self.got(), [])
        self.assertEqual(self.counted("bounces", "to-internet"), 6)
        self.assertEqual(self.counted("refused", "forged-from"), 1)

    def test_refused_while_the_caller_waits(self) -> None:
        """Whoever waits hears it in the session, vouched for or not: no report."""
        forged = HEADER.replace(b"ann@example.org", b"jondoe@mail.i2p")
        self.house.store._kept.limit = 1_000_000
        for changes, code in (
            ({"recipients": self.both[1:]}, 550),
            ({"body": (b"x" * 1_000_001,)}, 552),
            ({"body": (b"x" * 2_000_001,)}, 552),
            (nested(), 554),
            ({"header": forged}, 550),
        ):
            for vouched in (True, False):
                reply = self.accept(live=True, vouched=vouched, **changes)
                self.assertEqual(reply.code, code)
        self.assertEqual((self.reports, self.got()), ([], []))
        self.assertEqual(self.counted("bounces", "to-internet"), 0)
        self.assertEqual(self.counted("refused", "forged-from"), 2)

    def test_some_while_the_caller_waits(self) -> None:
        """One reply can not say that some have it: the others are reported on."""
        self.assertEqual(self.accept(live=True, recipients=self.both).code, 250)
        self.assertEqual((len(self.reports), len(self.got())), (1, 1))

    def test_full_for_days_while_the_caller_waits(self) -> None:
        """Its own server gives up in time, and tells it."""
        self.fill("alice")
        for _ in range(2):
            self.assertEqual(self.accept(live=True).code, 452)
            self.house.clock.advance(5 * 86_400)
        self.assertEqual(self.reports, [])

    def test_full_at_the_commit_while_the_caller_waits(self) -> None:
        """Who proves to have no room then: the reply says it."""
        self.house.store._kept.limit = 500
        self.assertEqual(self.accept(live=True).code, 552)
        self.assertEqual(self.reports, [])

    def test_refused_to_strangers(self) -> None:
        """To who is not vouched for nothing is said but the reply."""
        for changes in ({"sender": b""}, {"vouched": False}):
            self.assertEqual(self.accept(**nested(), **changes).code, 554)
        self.office = self.open(leaves=None)
        self.assertEqual(self.accept(**nested()).code, 554)
        self.assertEqual(self.reports, [])

    def test_returned_and_store_busy(self) -> None:
        """A report that can not be kept is not lost: the crate comes again."""
        self.house.store.mailboxes.error = StoreBusyError("full")
        self.assertEqual(self.accept(**nested()).code, 451)
        self.house.store.mailboxes.error = None
        self.assertEqual(self.accept(**nested()).code, 250)
        self.assertEqual(len(self.reports), 1)

    def test_full_for_days(self) -> None:
        """What nobody had room for comes back before its gateway lets it go."""
        self.fill("alice")
        for _ in range(4):
            self.assertEqual(self.accept(recipients=self.both).code, 452)
            self.assertEqual(self.accept(vouched=False).code, 452)
            self.house.clock.advance(86_400)
        self.house.clock.advance(1)
        other = HEADER.replace(b"<1@", b"<2@")
        self.assertEqual(self.accept(recipients=self.both, header=other).code, 452)
        self.assertEqual(self.accept(vouched=False).code, 452)
        self.assertEqual(self.reports, [])
        self.assertEqual(self.accept(recipients=self.both).code, 250)
        (report,) = self.reports
        self.assertIn(b"Status: 4.2.2", b"".join(report.body))
        self.assertIn(b"Status: 5.1.1", b"".join(report.body))

    def test_full_and_forgotten(self) -> None:
        """So many are remembered: the one that came first is new again."""
        self.patch(crates, "_REMEMBERED", 2)
        overdue = Overdue(b"key")
        senders = [b"%d@example.org" % number for number in range(3)]
        for sender in senders:
            self.assertFalse(overdue.holds(crate(sender=sender), 0.0))
        late = [overdue.holds(crate(sender=one), 9e9) for one in senders[::-1]]
        self.assertEqual(late, [True, True, False])

    def test_full_at_the_commit(self) -> None:
        """Who proves to have no room then does not keep it from the others."""
        self.house.store._kept.limit = 3_000
        account = self.house.store._kept.accounts["alice"]
        account.used = 2_500
        both = b"alice@mail.i2p", b"bob@mail.i2p"
        self.assertEqual(self.accept(recipients=both).code, 250)
        self.assertEqual((len(self.got()), len(self.got("bob"))), (0, 1))
        (report,) = self.reports
        self.assertIn(b"Status: 4.2.2", b"".join(report.body))
        self.assertEqual(self.accept().code, 452)

    def test_too_large_at_the_commit(self) -> None:
        """Larger than a mailbox: for good, told by report or by reply."""
        self.house.store._kept.limit = 500
        self.assertEqual(self.accept(vouched=False).code, 552)
        self.assertEqual(self.accept().code, 250)
        self.assertEqual((len(self.reports), self.got()), (1, []))

    def test_gone_at_the_commit(self) -> None:
        """A member removed meanwhile is one who is not there."""
        self.house.washing.held = True
        both = b"alice@mail.i2p", b"bob@mail.i2p"
        reply = self.office.accept(1, crate(recipients=both, vouched=False))
        self.house.store.remove("alice")
        self.house.washing.release()
        self.assertEqual(self.successResultOf(reply).code, 250)
        self.assertEqual(len(self.got("bob")), 1)
        self.assertEqual(self.counted("refused", "sender-not-told"), 1)

    def test_report_and_copies_together(self) -> None:
        """If the report can not be kept, nothing is: it is brought again whole."""
        self.house.store.mailboxes.error = StoreBusyError("the queue is full")
        self.assertEqual(self.accept(recipients=self.both).code, 451)
        self.assertEqual((self.got(), self.reports), ([], []))
        self.assertEqual(self.counted("bounces", "to-internet"), 0)
