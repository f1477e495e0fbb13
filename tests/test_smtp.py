"""The hardened ESMTP: commands, parameters, and where a message ends."""

from __future__ import annotations

import os
import random
import re

import pytest

from postmand.config import Submission
from postmand.interfaces import StoreBusyError
from tests.sessions import Destination, Held, HouseCase, plain, reply_codes

MAIL = b"MAIL FROM:<jondoe@mail.i2p>\r\n"
RCPT = b"RCPT TO:<alice@mail.i2p>\r\n"
# What is no end of a message, whoever takes it for one.
NO_ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
    b"\r\n.\r\r\n",
    b"\n\n.\n\n",
    b"\r\r.\r\r",
)


class CommandTest(HouseCase):
    """What is said before DATA."""

    def test_banner(self) -> None:
        """The banner is the guide's, with the name of the configuration."""
        self.assertEqual(
            self.house.submit().said,
            b"220 smtp.postman.i2p ESMTP I2PNet Mailservice\r\n",
        )

    def test_another_name(self) -> None:
        """The name comes from the configuration alone."""
        self.house = self.build(submission=Submission(host_name="mail.example.i2p"))
        session = self.house.submit()
        session.line(b"EHLO x")
        self.assertTrue(session.said.startswith(b"220 mail.example.i2p "))
        self.assertIn(b"\r\n250-mail.example.i2p\r\n", session.said)
        self.assertNotIn(os.uname().nodename.encode(), session.said)

    def test_ehlo(self) -> None:
        """EHLO announces what we do, and echoes nothing."""
        answer = self.house.submit().line(b"EHLO my-own-box.example.net")
        self.assertEqual(
            answer.split(b"\r\n"),
            [
                b"250-smtp.postman.i2p",
                b"250-PIPELINING",
                b"250-SIZE 33388608",
                b"250-8BITMIME",
                b"250-SMTPUTF8",
                b"250-ENHANCEDSTATUSCODES",
                b"250-LIMITS RCPTMAX=100",
                b"250 AUTH PLAIN LOGIN",
                b"",
            ],
        )

    def test_nothing_of_the_peer_is_echoed(self) -> None:
        """No reply holds the EHLO name or the peer's address, whatever was said."""
        session = self.house.submit()
        for line in (
            b"EHLO unique-trace",
            b"HELO unique-trace",
            b"unique-trace",
            b"VRFY unique-trace",
            b"EXPN unique-trace",
            b"HELP unique-trace",
            b"NOOP unique-trace",
            b"AUTH unique-trace",
            b"MAIL FROM:<unique-trace@x.example>",
            b"NOOP",
            b"MAIL FROM:unique trace=1",
            b"RCPT TO:<unique-trace@x.example>",
        ):
            session.line(line)
        self.assertNotIn(b"unique", session.said)
        self.assertNotIn(b"127.", session.said)
        self.assertNotIn("unique", self.logged())

    def test_destination_as_a_peer(self) -> None:
        """A peer that is an I2P destination is served, and named nowhere."""
        destination = "UniqueDest~" + "A" * 505
        session = self.house.submitting(address=Destination(destination))
        session.send(MAIL + RCPT + b"DATA\r\n")
        session.send(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
        self.assertTrue(
            session.said.endswith(b"250 2.0.0 Ok: kept\r\n221 2.0.0 Bye\r\n")
        )
        everything = session.said + b"".join(self.house.mailbox("alice"))
        self.assertNotIn(b"UniqueDest", everything)
        self.assertNotIn("UniqueDest", self.logged())

    def test_unknown_address_objects(self) -> None:
        """A peer without any address (None, a path) is served, too."""
        for address in (None, object()):
            self.assertEqual(self.house.submit(address).codes(b"EHLO x\r\n"), [250])

    def test_quit(self) -> None:
        """QUIT is answered in the words of the guide, enhanced after EHLO."""
        session = self.house.submit()
        self.assertEqual(session.line(b"quit"), b"221 Bye\r\n")
        self.assertFalse(session.wire.connected)
        session = self.house.submit()
        session.line(b"HELO x")
        self.assertEqual(session.line(b"QUIT"), b"221 Bye\r\n")
        session = self.house.submit()
        session.line(b"EHLO x")
        self.assertEqual(session.line(b"QUIT"), b"221 2.0.0 Bye\r\n")

    def test_nothing_behind_quit(self) -> None:
        """What is pipelined behind QUIT is not run."""
        session = self.house.submit()
        self.assertEqual(session.send(b"QUIT\r\nEHLO x\r\nNOOP\r\n"), b"221 Bye\r\n")

    def test_order(self) -> None:
        """Commands out of order are 503, and do nothing."""
        session = self.house.submit()
        self.assertEqual(session.codes(MAIL), [503])
        self.assertEqual(session.codes(RCPT), [503])
        session.line(b"EHLO x")
        self.assertEqual(session.codes(b"DATA\r\n"), [503])
        session = self.house.submitting()
        self.assertEqual(session.codes(RCPT), [503])
        self.assertEqual(session.codes(MAIL + MAIL), [250, 503])
        self.assertEqual(session.codes(b"DATA\r\n"), [554])

    def test_wrong_arguments(self) -> None:
        """A command with an argument missing or too much is 501."""
        for line in (
            b"EHLO",
            b"HELO",
            b"MAIL",
            b"MAIL TO:<a@b>",
            b"MAIL FROM",
            b"RSET x",
        ):
            session = self.house.submitting()
            self.assertEqual(session.codes(line + b"\r\n"), [501], line)
        session = self.house.submitting()
        session.send(MAIL)
        self.assertEqual(session.codes(b"RCPT\r\n"), [501])
        session.send(RCPT)
        self.assertEqual(session.codes(b"DATA now\r\n"), [501])
        self.assertEqual(session.codes(b"DATA\r\n"), [354])

    def test_case_and_blanks(self) -> None:
        """Verbs are taken in any case, and with susimail's blanks."""
        session = self.house.submit()
        session.line(b"ehlo x")
        session.line(b"auth plain " + plain(b"jondoe"))
        self.assertEqual(
            session.codes(b"mail from: jondoe@mail.i2p\r\nRcPt tO: alice@mail.i2p\r\n"),
            [250, 250],
        )
        self.assertEqual(session.codes(b"  NOOP  \r\n"), [250])

    def test_unknown(self) -> None:
        """What is no command is 500, empty lines and odd octets, too."""
        for line in (
            b"",
            b"\0",
            b"\xff\xfe",
            b"XYZZY",
            b"NOOP\0",
            b"STARTTLS",
            b"BDAT 1",
        ):
            session = self.house.submit()
            self.assertEqual(session.codes(line + b"\r\n"), [500], line)

    def test_vrfy_is_no_oracle(self) -> None:
        """VRFY answers alike for members, strangers and nothing; EXPN is not there."""
        session = self.house.submitting()
        answers = {
            session.line(b"VRFY " + name) for name in (b"alice", b"nobody", b"", b"<>")
        }
        self.assertEqual(len(answers), 1)
        self.assertEqual(session.codes(b"EXPN alice\r\n"), [502])

    def test_help(self) -> None:
        """HELP is there, and harmless."""
        self.assertEqual(self.house.submit().codes(b"HELP\r\n"), [214])

    def test_rset(self) -> None:
        """RSET and EHLO drop the transaction, not the login."""
        for line in (b"RSET\r\n", b"EHLO x\r\n"):
            session = self.house.submitting()
            self.assertEqual(session.codes(MAIL + RCPT + line), [250, 250, 250])
            self.assertEqual(session.codes(b"DATA\r\n"), [503])
            self.assertEqual(session.codes(MAIL + RCPT + b"DATA\r\n"), [250, 250, 354])

    def test_parameters(self) -> None:
        """The parameters of what was announced are taken, in any case."""
        for words in (
            b"SIZE=1000",
            b"size=0",
            b"BODY=8BITMIME",
            b"body=7bit",
            b"SMTPUTF8",
            b"AUTH=<>",
            b"AUTH=jondoe+40mail.i2p",
            b"SIZE=1 BODY=8BITMIME SMTPUTF8 AUTH=<>",
        ):
            session = self.house.submitting()
            mail = b"MAIL FROM:<jondoe@mail.i2p> " + words + b"\r\n"
            self.assertEqual(session.codes(mail), [250], words)

    def test_wrong_parameters(self) -> None:
        """Others are 555, wrong values 501, doubles and junk 553; none is ignored."""
        for words, code in (
            (b"SIZE", 501),
            (b"SIZE=", 553),
            (b"SIZE=-1", 501),
            (b"SIZE=1e3", 501),
            (b"SIZE=" + b"9" * 21, 501),
            (b"SIZE=" + b"9" * 20, 552),
            (b"BODY=BINARYMIME", 501),
            (b"BODY", 501),
            (b"SMTPUTF8=yes", 501),
            (b"AUTH", 501),
            (b"RET=FULL", 555),
            (b"FUTURERELEASE=1", 555),
            (b"SIZE=1 SIZE=2", 553),
            (b"=1", 553),
        ):
            session = self.house.submitting()
            mail = b"MAIL FROM:<jondoe@mail.i2p> " + words + b"\r\n"
            self.assertEqual(session.codes(mail), [code], words)
            self.assertEqual(session.codes(b"DATA\r\n"), [503], words)

    def test_rcpt_parameters(self) -> None:
        """RCPT takes none: DSN is not announced."""
        session = self.house.submitting()
        session.send(MAIL)
        self.assertEqual(
            session.codes(b"RCPT TO:<alice@mail.i2p> NOTIFY=NEVER\r\n"), [555]
        )

    def test_declared_size(self) -> None:
        """A message declared too large is refused at MAIL."""
        session = self.house.submitting()
        for size, code in ((33_388_609, 552), (33_388_608, 250)):
            mail = b"MAIL FROM:<jondoe@mail.i2p> SIZE=%d\r\n" % size
            self.assertEqual(session.codes(mail), [code])

    def test_bad_addresses(self) -> None:
        """What is no plain mailbox is 553: routes, junk, control characters."""
        session = self.house.submitting()
        session.send(MAIL)
        for path in (
            b"<@x:alice@mail.i2p>",
            b"<alice%bob@mail.i2p>",
            b"<bob!alice@mail.i2p>",
            b"<alice@mail.i2p",
            b"<alice@@mail.i2p>",
            b"<a\rb@mail.i2p>",
            b"<a\0b@mail.i2p>",
            b"<\xff@mail.i2p>",
            b"<alice@mail.i2p>x",
            b"<>",
            b"",
            b"<" + b"a" * 65 + b"@mail.i2p>",
            b"<alice@" + b"d" * 300 + b">",
        ):
            self.assertEqual(session.codes(b"RCPT TO:" + path + b"\r\n"), [553], path)
        self.assertEqual(session.codes(b"DATA\r\n"), [554])

    def test_recipient_cap(self) -> None:
        """Over the limit a recipient is 452: the others are kept for this message."""
        self.house = self.build(submission=Submission(max_recipients=3))
        session = self.house.submitting()
        codes = session.codes(MAIL + RCPT * 5 + b"DATA\r\n")
        self.assertEqual(codes, [250, 250, 250, 250, 452, 452, 354])

    def test_refusals_are_all_answered(self) -> None:
        """25 recipients refused in one burst are 25 answers, and no hang-up."""
        session = self.house.submitting()
        burst = b"".join(b"RCPT TO:<no%d@mail.i2p>\r\n" % n for n in range(25))
        self.assertEqual(session.codes(MAIL + burst + RCPT), [250, *[550] * 25, 250])
        self.assertTrue(session.open)

    def test_error_budget(self) -> None:
        """Three errors in a row, or ten in all, are enough."""
        session = self.house.submit()
        self.assertEqual(session.codes(b"X\r\nX\r\nX\r\nX\r\n"), [500, 500, 500, 421])
        session = self.house.submit()
        codes = session.codes(b"X\r\nNOOP\r\n" * 12)
        self.assertEqual(codes, [500, 250] * 9 + [500, 421])

    def test_slow_validators(self) -> None:
        """A pipelined burst is answered in order while a recipient is looked up."""
        held = self.house.office.accounts = Held(self.house.store.accounts, "recipient")
        session = self.house.submitting()
        self.assertEqual(
            session.codes(MAIL + RCPT + b"RCPT TO:<no@mail.i2p>\r\nDATA\r\n"), []
        )
        self.assertEqual(len(held.waiting), 1)
        held.step()
        held.step()
        self.assertEqual(reply_codes(session.said)[-4:], [250, 250, 550, 354])
        self.assertEqual(session.codes(b"Subject: x\r\n\r\n.\r\n"), [250])

    def test_lookup_fails(self) -> None:
        """A look-up that fails is 451 for that recipient, and logged without it."""
        held = self.house.office.accounts = Held(self.house.store.accounts, "recipient")
        session = self.house.submitting()
        session.send(MAIL + RCPT)
        held.step(RuntimeError("alice@mail.i2p"))
        self.assertEqual(reply_codes(session.said)[-2:], [250, 451])
        self.assertEqual(self.faults(), 1)
        self.assertNotIn("alice", self.logged())
        session.send(RCPT)
        held.step()
        self.assertEqual(reply_codes(session.said)[-1], 250)

    def test_lost_during_a_lookup(self) -> None:
        """A connection lost while a recipient is looked up leaves nothing behind."""
        held = self.house.office.accounts = Held(self.house.store.accounts, "recipient")
        session = self.house.submitting()
        session.send(MAIL + RCPT + b"DATA\r\n")
        session.drop()
        held.step()
        self.assertEqual(self.house.spools, [])
        self.assertEqual(self.house.clock.getDelayedCalls(), [])


class MessageTest(HouseCase):
    """What is said after DATA."""

    def kept(self) -> list[bytes]:
        """Return the bodies in alice's mailbox."""
        return [one.partition(b"\r\n\r\n")[2] for one in self.house.mailbox("alice")]

    def test_kept(self) -> None:
        """250 means kept; the next message may follow in the same burst."""
        session = self.house.submitting()
        message = MAIL + RCPT + b"DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n"
        self.assertEqual(session.codes(message * 3), [250, 250, 354, 250] * 3)
        self.assertEqual(self.kept(), [b"body\r\n"] * 3)

    def test_any_chunks(self) -> None:
        """However the stream is cut, the same message comes out."""
        text = b"Subject: x\r\n\r\n..a\r\n...\r\n..\r\nlast\r\n.\r\nNOOP\r\n"
        for chunk in (*range(1, 30), 1_000):
            self.house = self.build()
            session = self.house.data()
            self.assertEqual(reply_codes(session.send(text, chunk)), [250, 250])
            self.assertEqual(self.kept(), [b".a\r\n..\r\n.\r\nlast\r\n"])

    def test_empty(self) -> None:
        """An empty message and one without a body are messages."""
        for text in (b".\r\n", b"\r\n.\r\n", b"Subject: x\r\n.\r\n"):
            session = self.house.data()
            self.assertEqual(reply_codes(session.send(text, 1)), [250])

    def test_long_line_is_no_command(self) -> None:
        """A line over the limit is refused after its end: nothing of it is run."""
        self.house = self.build(body_line_bytes=20_000)
        session = self.house.data()
        text = b"a" * 20_001 + b"\r\nRSET\r\nQUIT\r\n" + b"b" * 70_000 + b"\r\n.\r\n"
        for chunk in (7_000, 65_536):
            self.assertEqual(reply_codes(session.send(text, chunk)), [554])
            self.assertEqual(session.codes(b"NOOP\r\n"), [250])
            session.codes(MAIL + RCPT + b"DATA\r\n")
        session.send(b"a" * 19_000 + b"\r\n.\r\n")
        self.assertEqual(len(self.kept()), 1)

    def test_smuggling(self) -> None:
        """None of the false ends ends a message; what follows is no command."""
        inner = MAIL + b"RCPT TO:<bob@mail.i2p>\r\nDATA\r\nSubject: evil\r\n\r\nx\r\n"
        for end in NO_ENDS:
            for chunk in (1, 2, 3, 4, 5, 1_000):
                self.house = self.build()
                session = self.house.data()
                said = session.send(
                    b"Subject: x\r\n\r\nfirst" + end + inner + b".\r\nNOOP\r\n", chunk
                )
                codes = reply_codes(said)
                self.assertEqual(len(codes), 2, (end, said))
                self.assertIn(codes[0], (250, 554), end)
                self.assertEqual(codes[1], 250, end)
                self.assertEqual(self.house.mailbox("bob"), [], end)

    @pytest.mark.long
    def test_no_false_end_leaves_us(self) -> None:
        """What was kept is sent so that it ends only at its end, for strict and lax."""
        for end in NO_ENDS:
            self.house = self.build()
            session = self.house.data()
            session.send(b"Subject: x\r\n\r\nfirst" + end + b"second\r\n.\r\n")
            if not self.kept():
                continue
            answer = self.house.collecting(b"alice").send(b"RETR 1\r\nNOOP\r\n")
            text, found, rest = answer.partition(b"\r\n.\r\n")
            self.assertTrue(found)
            self.assertEqual(rest, b"+OK\r\n", end)
            self.assertNotIn(b"\n.\n", answer)
            self.assertEqual(text.count(b"\r\n"), text.count(b"\n"), end)
            self.assertEqual(text.count(b"\r\n"), text.count(b"\r"), end)

    def test_refused_octets(self) -> None:
        """A bare CR and a NUL are refused, and the step is kept."""
        for bad in (b"\r", b"\0", b"\r\r\n", b"\rx\n", b"\r.\n", b"\n\r"):
            for chunk in (1, 2, 1_000):
                session = self.house.data()
                text = b"Subject: x\r\n\r\na" + bad + b"b\r\n.\r\nNOOP\r\n"
                self.assertEqual(
                    reply_codes(session.send(text, chunk)), [554, 250], bad
                )
        self.assertEqual(self.kept(), [])

    def test_bare_lf(self) -> None:
        """A bare LF is mended on submission, after the end was found without it."""
        session = self.house.data()
        self.assertEqual(session.codes(b"Subject: x\n\na\nb\n.\nc\r\n.\r\n"), [250])
        self.assertEqual(self.kept(), [b"a\r\nb\r\n.\r\nc\r\n"])

    def test_bare_lf_at_a_gateway(self) -> None:
        """Where it is not to be mended it is refused."""
        session = self.house.data()
        session.server.bare_lf_is_refused = True
        self.assertEqual(session.codes(b"Subject: x\r\n\r\na\nb\r\n.\r\n"), [554])
        self.assertEqual(self.kept(), [])

    def test_too_large(self) -> None:
        """Over the limit nothing more is kept, the end is found, and 552 said."""
        self.house = self.build(submission=Submission(max_message_bytes=65_536))
        session = self.house.data()
        session.send(b"x" * 60_000 + b"\r\n")
        self.assertEqual(session.send(b"y" * 30_000 + b"\r\n"), b"")
        self.assertLessEqual(self.house.spools[0].size, 65_536)
        self.assertEqual(session.codes(b".\r\nNOOP\r\n"), [552, 250])
        self.assertEqual(self.kept(), [])

    def test_largest(self) -> None:
        """A message of exactly the limit is taken; dots and end do not count."""
        self.house = self.build(submission=Submission(max_message_bytes=65_536))
        session = self.house.data()
        line = b"z" * 62 + b"\r\n"
        self.assertEqual(session.codes(line * 1_024 + b".\r\n"), [250])

    def test_endless(self) -> None:
        """Twice the limit without an end: nothing is waited for any more."""
        self.house = self.build(submission=Submission(max_message_bytes=65_536))
        session = self.house.data()
        session.send((b"y" * 62 + b"\r\n") * 3_000)
        self.assertFalse(session.open)
        self.assertEqual(reply_codes(session.said)[-1], 552)
        session.pump()
        self.assertFalse(session.wire.connected)

    def test_quit_inside_data(self) -> None:
        """A client that says QUIT inside DATA and leaves has sent nothing."""
        session = self.house.data()
        self.assertEqual(session.send(b"QUIT\r\n"), b"")
        session.drop()
        self.assertEqual(self.kept(), [])

    def test_one_transaction(self) -> None:
        """All recipients or none: one full mailbox, and nobody has it."""
        self.house = self.build(mailbox_bytes=10_000)
        self.house.put("bob", b"Subject: x\r\n\r\n" + b"x" * 9_000)
        session = self.house.data(b"alice", b"bob")
        self.assertEqual(session.codes(b"\r\n" + b"y" * 900 + b"\r\n.\r\n"), [452])
        self.assertEqual(self.kept(), [])
        self.assertEqual(len(self.house.mailbox("bob")), 1)

    def test_recipient_goes_away(self) -> None:
        """An account removed between RCPT and the dot is a refusal, not a fault."""
        session = self.house.data(b"alice", b"bob")
        self.house.store.remove("bob")
        self.assertEqual(session.codes(b"\r\nx\r\n.\r\n"), [550])
        self.assertEqual(self.kept(), [])

    def test_twice_the_same(self) -> None:
        """A recipient named twice gets one copy."""
        session = self.house.data(b"alice", b"alice", b"ALICE")
        self.assertEqual(session.codes(b"\r\nx\r\n.\r\n"), [250])
        self.assertEqual(len(self.kept()), 1)

    def test_store_busy(self) -> None:
        """A store that can not write is 452; the next message may get through."""
        session = self.house.data()
        self.house.store.mailboxes.error = StoreBusyError()
        self.assertEqual(session.codes(b"\r\nx\r\n.\r\n"), [452])
        self.house.store.mailboxes.error = None
        self.assertEqual(
            session.codes(MAIL + RCPT + b"DATA\r\n\r\nx\r\n.\r\n"), [250, 250, 354, 250]
        )

    def test_fault_in_accept(self) -> None:
        """A fault of ours at the dot is 451, and logged without a value."""
        session = self.house.data()
        self.house.store.mailboxes.error = RuntimeError("jondoe@mail.i2p")
        self.assertEqual(session.codes(b"\r\nx\r\n.\r\nNOOP\r\n"), [451, 250])
        self.assertEqual(self.faults(), 1)
        self.assertNotIn("jondoe", self.logged())
        self.assertEqual(self.house.memory._free, self.house.limits.body_memory)

    def test_no_250_before_the_commit(self) -> None:
        """Nothing is said until the store has it; commands behind wait."""
        held = self.house.office.mailboxes = Held(self.house.store.mailboxes, "deliver")
        session = self.house.data()
        self.assertEqual(session.send(b"\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n"), b"")
        session.advance(1_000, 100)
        self.assertTrue(session.open)
        held.step()
        self.assertEqual(reply_codes(session.said)[-3:], [250, 250, 221])

    def test_lost_while_it_is_kept(self) -> None:
        """A connection lost during the commit changes nothing about the message."""
        held = self.house.office.mailboxes = Held(self.house.store.mailboxes, "deliver")
        session = self.house.data()
        session.send(b"\r\nx\r\n.\r\n")
        session.drop()
        held.step()
        self.assertEqual(len(self.kept()), 1)
        self.assertEqual(self.house.memory._free, self.house.limits.body_memory)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_lost_while_the_body_arrives(self) -> None:
        """Half a message is no message, and its memory is given back."""
        session = self.house.data()
        session.send(b"Subject: x\r\n\r\n" + b"x" * 500_000)
        self.assertLess(self.house.memory._free, self.house.limits.body_memory)
        session.drop()
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.house.memory._free, self.house.limits.body_memory)

    def test_slow_body(self) -> None:
        """A body below the smallest rate is not waited for: a byte now and then."""
        session = self.house.data()
        for _ in range(300):
            session.send(b"x")
            session.advance(1)
        self.assertFalse(session.open)
        self.assertEqual(reply_codes(session.said)[-1], 421)
        self.assertEqual(self.house.memory._free, self.house.limits.body_memory)

    def test_steady_body(self) -> None:
        """30 MB over a slow tunnel takes hours, and is taken."""
        session = self.house.data()
        for _ in range(2_000):
            session.send(b"x" * 598 + b"\r\n")
            session.advance(1)
        self.assertEqual(session.codes(b".\r\n"), [250])

    def test_stalled_body(self) -> None:
        """A body that came fast and then stops is not waited for, either."""
        session = self.house.data()
        session.send(b"x" * 1_000_000)
        session.advance(242)
        self.assertFalse(session.open)


class SpoolingTest(HouseCase):
    """Messages that do not stay in memory."""

    settings = {"spool_bytes": 8_192}  # noqa: RUF012

    def large(self) -> bytes:
        """Return some 700 KB of lines, none with a dot first."""
        letters = random.Random(3).choices(b"abcdefghij\r\n.", k=700_000)
        text = bytes(letters).replace(b"\r", b"").replace(b"\n", b"\r\n")
        return re.sub(rb"\r\n\.+", b"\r\n", text)

    def test_spooled(self) -> None:
        """A message that went over the disk is the same message."""
        text = self.large()
        for chunk in (997, 65_536):
            session = self.house.data()
            message = b"Subject: x\r\n\r\n" + text + b"\r\n.\r\nNOOP\r\n"
            said = session.send(message, chunk)
            self.assertEqual(reply_codes(said), [250, 250])
            collected = self.house.mailbox("alice")[-1].partition(b"\r\n\r\n")[2]
            self.assertIn(text[:60], collected)
            self.assertEqual(len(collected), len(text) + 2)

    def test_body_waits_for_the_disk(self) -> None:
        """While the disk works the body waits in the network, not in memory."""
        session = self.house.data()
        self.house.washing.held = True
        session.send(self.large())
        self.assertFalse(session.wire.reading)
        self.house.washing.release()
        session.pump()
        self.assertTrue(session.wire.reading)
        self.assertEqual(session.codes(b"\r\n.\r\n"), [250])

    def test_failing_disk(self) -> None:
        """A disk that fails in the midst is told once, after the end."""
        for chunk in (1_000, 65_536):
            session = self.house.data()
            session.send(b"Subject: x\r\n\r\n" + b"x" * 20_000 + b"\r\n", chunk)
            self.house.washing.fails = OSError(28, "No space left on device")
            self.assertEqual(session.send(b"y" * 600_000 + b"\r\n", chunk), b"")
            self.house.washing.fails = None
            self.assertEqual(session.send(b"z" * 200_000 + b"\r\n", chunk), b"")
            codes = session.codes(b".\r\nNOOP\r\n")
            self.assertEqual(len(codes), 2)
            self.assertIn(codes[0], (451, 452))
            self.assertEqual(codes[1], 250)
            self.assertEqual(self.house.mailbox("alice"), [])
        self.faults()

    def test_lost_while_the_disk_works(self) -> None:
        """A connection lost during a flush leaves no memory and no file."""
        session = self.house.data()
        self.house.washing.held = True
        session.send(b"x" * 400_000 + b"\r\n")
        session.drop()
        self.house.washing.release()
        self.assertEqual(self.house.memory._free, self.house.limits.body_memory)
        self.assertFalse(self.house.spools[0].on_disk)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_no_memory_left(self) -> None:
        """Where all memory is taken, a small message goes over the disk."""
        self.house = self.build(body_memory=65_536)
        self.house.memory.take(65_536)
        session = self.house.data()
        self.assertEqual(session.codes(b"\r\nsmall\r\n.\r\n"), [250])
        self.assertEqual(len(self.house.mailbox("alice")), 1)

    def test_disk_fails_at_the_reading(self) -> None:
        """A spool that can not be read back is 451; the next message is taken."""
        session = self.house.data()
        session.send(b"\r\n" + b"x" * 400_000 + b"\r\n")
        self.house.washing.fails = OSError(5, "Input/output error")
        self.assertEqual(session.codes(b".\r\n"), [451])
        self.house.washing.fails = None
        self.assertEqual(self.faults(), 1)
        self.assertEqual(
            session.codes(MAIL + RCPT + b"DATA\r\n\r\nx\r\n.\r\n"), [250, 250, 354, 250]
        )
