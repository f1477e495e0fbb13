"""Where members collect mail: exact octets, deletes at QUIT, one session a mailbox."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from postmand.interfaces import StoreBusyError
from tests.contracts.memory import MemoryChunks, MemoryMailboxes
from tests.sessions import (
    HOST,
    PASSWORD,
    Destination,
    Held,
    House,
    HouseCase,
    Session,
    plain,
)

HELLO = b"+OK ready\r\n"
LOGIN = b"USER jondoe\r\nPASS " + PASSWORD + b"\r\n"
SHORT = b"Subject: short\r\n\r\nfirst\r\n.dot\r\n..\r\nlast\r\n"


def long(octets: int) -> bytes:
    """Return a message of so many octets, with dots where they hurt."""
    line = b".0123456789" * 6 + b"\r\n"
    body = line * (octets // len(line) + 1)
    return b"Subject: long\r\n\r\n" + body[: octets - 19] + b"\r\n"


class Answers:
    """A client's way through what a POP3 server said."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._place = 0

    @property
    def rest(self) -> bytes:
        """What was not taken yet."""
        return self._octets[self._place :]

    def line(self) -> bytes:
        """Take one line."""
        start, end = self._place, self._octets.index(b"\r\n", self._place)
        self._place = end + 2
        return self._octets[start:end]

    def block(self) -> bytes:
        """Take a multi-line answer behind its first line, dots undone."""
        lines = []
        while (line := self.line()) != b".":
            lines.append(line.removeprefix(b".") + b"\r\n")
        return b"".join(lines)


class FailingChunks(MemoryChunks):
    """A body whose second piece can not be read."""

    def next(self) -> Deferred[bytes]:
        """Fail."""
        return fail(RuntimeError(HOST))


class LoginTest(HouseCase):
    """Before the login."""

    def test_words(self) -> None:
        """The words of the guide, to the letter (row P1)."""
        self.house.put("jondoe", b"Subject: x\r\n\r\n" + b"x" * 440 + b"\r\n")
        session = self.house.collect()
        self.assertEqual(session.said, HELLO)
        self.assertEqual(
            session.line(b"USER jondoe"), b"+OK Password required for jondoe\r\n"
        )
        self.assertEqual(
            session.line(b"PASS " + PASSWORD),
            b"+OK jondoe has 1 visible message (0 hidden) in 456 octets.\r\n",
        )
        self.assertEqual(session.line(b"QUIT"), b"+OK OK - Bye\r\n")
        self.assertFalse(session.wire.connected)

    def test_empty_mailbox(self) -> None:
        """None are messages, plural."""
        self.assertTrue(
            self.house.collecting().said.endswith(
                b"+OK jondoe has 0 visible messages (0 hidden) in 0 octets.\r\n"
            )
        )

    def test_no_stamp(self) -> None:
        """The greeting is no APOP stamp: no process id, no clock, no name."""
        self.assertNotRegex(self.house.collect().said, rb"[<>@0-9]")
        self.assertTrue(self.house.collect().line(b"APOP a b").startswith(b"-ERR"))

    def test_capa(self) -> None:
        """CAPA has the words clients look for, before the login and after it."""
        for session in (self.house.collect(), self.house.collecting()):
            answers = Answers(session.line(b"CAPA"))
            self.assertTrue(answers.line().startswith(b"+OK"))
            words = answers.block().split(b"\r\n")
            for word in (b"USER", b"TOP", b"UIDL", b"PIPELINING", b"SASL PLAIN"):
                self.assertIn(word, words)
            self.assertNotIn(b"STLS", words)
            self.assertEqual(answers.rest, b"")

    def test_pipelined_login(self) -> None:
        """Commands behind PASS wait until it is answered."""
        self.house.argon2.held = True
        self.house.put("jondoe", SHORT)
        session = self.house.collect()
        said = session.send(LOGIN + b"STAT\r\nUIDL\r\nLIST\r\nRETR 1\r\nQUIT\r\n")
        self.assertNotIn(b"+OK 1 ", said)
        self.assertNotIn(b"-ERR", said)
        self.house.argon2.release()
        self.assertIn(b"\r\n+OK 1 %d\r\n" % len(SHORT), session.said)
        self.assertTrue(session.said.endswith(b"+OK OK - Bye\r\n"))
        self.assertNotIn(b"-ERR", session.said)

    def test_auth_plain(self) -> None:
        """AUTH PLAIN (RFC 5034), with its response along or behind a challenge."""
        session = self.house.collect()
        answer = session.line(b"AUTH PLAIN " + plain(b"jondoe"))
        self.assertTrue(answer.startswith(b"+OK jondoe has"))
        session.send(b"QUIT\r\n")
        session = self.house.collect()
        self.assertEqual(session.line(b"AUTH PLAIN"), b"+ \r\n")
        self.assertTrue(session.line(plain(b"jondoe")).startswith(b"+OK jondoe has"))
        session = self.house.collect()
        self.assertTrue(session.line(b"AUTH").endswith(b"\r\nPLAIN\r\n.\r\n"))

    def test_bad_auth(self) -> None:
        """No argument, lax base64, another mechanism: an error, not a fault."""
        for lines in (
            b"AUTH CRAM-MD5\r\n",
            b"AUTH PLAIN !!!\r\n",
            b"AUTH PLAIN =\r\n",
            b"AUTH PLAIN AGEAYg\r\n",
            b"AUTH PLAIN\r\n*\r\n",
            b"AUTH PLAIN\r\n\r\n",
            b"PASS x\r\n",
            b"USER\r\n",
            b"USER jondoe\r\nPASS\r\n",
            b"STAT\r\n",
            b"\r\n",
            b"\0\xff\r\n",
        ):
            session = self.house.collect()
            session.send(lines)
            self.assertIn(b"\r\n-ERR ", session.said, lines)
            self.assertTrue(session.open)
        self.assertEqual(self.house.store.keyring.tries, 0)

    def test_spaces_in_a_password(self) -> None:
        """A password may begin, end and be full of spaces."""
        self.house.store.set_password("jondoe", b" two  words ")
        session = self.house.collect()
        session.send(b"USER jondoe\r\nPASS  two  words \r\n")
        self.assertIn(b"+OK jondoe has", session.said)

    def test_enumeration(self) -> None:
        """USER and PASS tell nothing: the same words and work for all."""
        self.house.store.disable("bob")
        told = set()
        for name in (b"alice", b"nobody", b"bob"):
            tries = self.house.store.keyring.tries
            session = self.house.collect(Destination(name.decode()))
            session.send(b"USER %s\r\nPASS wrong\r\n" % name)
            told.add(session.said.replace(name, b"NAME"))
            self.assertEqual(self.house.store.keyring.tries, tries + 1)
        self.assertEqual(
            told,
            {
                HELLO + b"+OK Password required for NAME\r\n"
                b"-ERR [AUTH] Name or password is wrong\r\n"
            },
        )

    def test_name_is_shown_safely(self) -> None:
        """What USER said comes back as printable octets, short."""
        session = self.house.collect()
        answer = session.line(b"USER a\0\x1b[2J\xff" + b"b" * 500)
        self.assertRegex(answer, rb"\A\+OK [ -~]{1,100}\r\n\Z")

    def test_guessing(self) -> None:
        """Five wrong passwords end the session."""
        session = self.house.collect()
        for _ in range(5):
            session.send(b"USER jondoe\r\nPASS wrong\r\n")
            session.advance(10)
        self.assertFalse(session.open)
        self.assertEqual(session.said.count(b"[AUTH]"), 5)

    def test_busy(self) -> None:
        """A login turned away is told that it is for now."""
        self.house = self.build(logins_waiting=1, argon2_threads=2)
        self.house.argon2.held = True
        sessions = [self.house.collect() for _ in range(5)]
        for session in sessions:
            session.send(LOGIN)
        said = b"".join(session.said for session in sessions)
        self.assertEqual(said.count(b"-ERR [SYS/TEMP]"), 2)

    def test_silent_before_the_login(self) -> None:
        """Who does not log in is not kept for ever: not by whole lines, either."""
        session = self.house.collect()
        for _ in range(60):
            session.send(b"CAPA\r\n")
            session.advance(60, 10)
        self.assertFalse(session.open)

    def test_lost_during_the_login(self) -> None:
        """A login whose connection went holds no mailbox."""
        self.house.argon2.held = True
        session = self.house.collect()
        session.send(LOGIN)
        session.drop()
        self.house.argon2.release()
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.house.collecting()

    def test_lost_while_it_opens(self) -> None:
        """Nor does one that went while the mailbox was being opened."""
        held = Held(self.house.store.mailboxes, "entries")
        self.house.office.mailboxes = held
        session = self.house.collect()
        session.send(LOGIN)
        session.drop()
        held.step()
        self.house.office.mailboxes = self.house.store.mailboxes
        self.house.collecting()

    def test_opening_fails(self) -> None:
        """A mailbox that can not be opened is told so, and is not held."""
        held = Held(self.house.store.mailboxes, "entries")
        self.house.office.mailboxes = held
        session = self.house.collect()
        session.send(LOGIN)
        held.step(RuntimeError("a value"))
        self.assertTrue(session.said.endswith(b"later\r\n"))
        self.assertIn(b"-ERR [SYS/TEMP]", session.said)
        self.assertEqual(self.faults(), 1)
        self.house.office.mailboxes = self.house.store.mailboxes
        self.house.collecting()


class TransactionTest(HouseCase):
    """After it."""

    def test_stat_list_uidl(self) -> None:
        """Counts, sizes and ids, for all and for one, without the deleted."""
        messages = [SHORT, long(3_000), long(200_000)]
        self.house.put("jondoe", *messages)
        sizes = [len(one) for one in messages]
        session = self.house.collecting()
        self.assertEqual(session.line(b"STAT"), b"+OK 3 %d\r\n" % sum(sizes))
        answers = Answers(session.send(b"LIST\r\nUIDL\r\nLIST 2\r\nUIDL 2\r\n"))
        answers.line()
        listed = b"".join(b"%d %d\r\n" % pair for pair in enumerate(sizes, 1))
        self.assertEqual(answers.block(), listed)
        answers.line()
        uids = answers.block().split(b"\r\n")
        self.assertEqual(len(set(uids)), 4)
        self.assertEqual(answers.line(), b"+OK 2 %d" % sizes[1])
        self.assertEqual(answers.line(), b"+OK " + uids[1])
        session.send(b"DELE 1\r\n")
        self.assertEqual(session.line(b"STAT"), b"+OK 2 %d\r\n" % sum(sizes[1:]))
        self.assertNotIn(b"\r\n1 ", session.line(b"LIST"))
        session.send(b"RSET\r\n")
        self.assertEqual(session.line(b"STAT"), b"+OK 3 %d\r\n" % sum(sizes))
        session.send(b"DELE 2\r\nDELE 2\r\nDELE 3\r\nRSET\r\nDELE 3\r\n")
        self.assertEqual(session.line(b"STAT"), b"+OK 2 %d\r\n" % sum(sizes[:2]))

    def test_uids_are_stable(self) -> None:
        """The same message has the same id in the next session."""
        self.house.put("jondoe", SHORT)
        first = self.house.collecting()
        uid = first.line(b"UIDL 1")
        first.send(b"QUIT\r\n")
        self.assertEqual(self.house.collecting().line(b"UIDL 1"), uid)

    def test_many(self) -> None:
        """A listing of thousands is whole."""
        self.house.put("jondoe", *[SHORT] * 2_500)
        answers = Answers(self.house.collecting().send(b"LIST\r\nUIDL\r\n"))
        for _ in range(2):
            answers.line()
            self.assertEqual(answers.block().count(b"\r\n"), 2_500)

    def test_exact_octets(self) -> None:
        """RETR sends what is kept, as many octets as every command said."""
        messages = [
            SHORT,
            b"Subject: empty\r\n\r\n",
            b"Subject: dot\r\n\r\n.\r\n",
            b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.\r\n",
            long(65_536),
            long(65_536 + 17),
            long(300_000),
        ]
        self.house.put("jondoe", *messages)
        session = self.house.collecting()
        for number, message in enumerate(messages, 1):
            answers = Answers(session.send(b"RETR %d\r\nNOOP\r\n" % number))
            self.assertEqual(answers.line(), b"+OK %d octets" % len(message))
            self.assertEqual(answers.block(), message)
            self.assertEqual(answers.rest, b"+OK\r\n")

    def test_dots_over_borders(self) -> None:
        """A dot that begins a line at the border of two pieces is doubled, once."""
        header = b"Subject: x\r\n\r\n"
        for shift in range(4):
            body = b"x" * (65_536 - 2 - shift) + b"\r\n.\r\n..x\r\n" + b"y" * 70_000
            self.house = self.build()
            self.house.put("jondoe", header + body + b"\r\n")
            answers = Answers(self.house.collecting().send(b"RETR 1\r\n"))
            answers.line()
            self.assertEqual(answers.block(), header + body + b"\r\n")
            self.assertEqual(answers.rest, b"")

    @pytest.mark.long
    def test_top(self) -> None:
        """TOP gives the header and so many lines, over a long body's pieces, too."""
        lines = [b"%06d" % number + b"." * (number % 5) for number in range(20_000)]
        lines[7] = b".hidden"
        header, body = b"Subject: x\r\n\r\n", b"".join(one + b"\r\n" for one in lines)
        self.house.put("jondoe", header + body, SHORT)
        session = self.house.collecting()
        for count in (0, 1, 8, 9_999, 20_000, 999_999_999):
            answers = Answers(session.line(b"TOP 1 %d" % count))
            self.assertTrue(answers.line().startswith(b"+OK"))
            expected = header + b"".join(one + b"\r\n" for one in lines[:count])
            self.assertEqual(answers.block(), expected)
            self.assertEqual(answers.rest, b"")

    def test_top_0_opens_no_body(self) -> None:
        """TOP n 0 is answered from the card alone."""
        self.house.put("jondoe", SHORT)
        session = self.house.collecting()
        held = Held(self.house.store.mailboxes, "read")
        self.house.office.mailboxes = held
        session.line(b"TOP 1 0")
        done, _ = held.waiting.pop()
        self.house.store.mailboxes.read(
            self.house.member("jondoe"), session.server._drop._entries, bodies=False
        ).chainDeferred(done)
        self.assertTrue(session.said.endswith(b"\r\n\r\n.\r\n"))

    def test_wrong_arguments(self) -> None:
        """A wrong number is an answer, whatever it looks like."""
        self.house.put("jondoe", SHORT)
        for line in (
            b"RETR",
            b"RETR 0",
            b"RETR 2",
            b"RETR -1",
            b"RETR +1",
            b"RETR 1 1",
            b"RETR 1.0",
            b"RETR x",
            b"RETR " + b"9" * 100,
            b"RETR \xd9\xa1",
            b"DELE",
            b"LIST 7",
            b"UIDL 0",
            b"TOP",
            b"TOP 1",
            b"TOP 1 -1",
            b"TOP 7 1",
            b"TOP x 1",
            b"TOP 1 " + b"9" * 100,
            b"USER jondoe",
            b"PASS x",
            b"AUTH PLAIN",
            b"XYZZY",
        ):
            session = self.house.collecting()
            self.assertRegex(session.line(line), rb"\A-ERR [^\r\n]+\r\n\Z", line)
            session.send(b"QUIT\r\n")

    def test_deleted_are_gone(self) -> None:
        """A deleted message can not be read, listed or deleted again."""
        self.house.put("jondoe", SHORT, SHORT)
        session = self.house.collecting()
        session.send(b"DELE 1\r\n")
        for line in (b"RETR 1", b"TOP 1 0", b"LIST 1", b"UIDL 1", b"DELE 1"):
            self.assertTrue(session.line(line).startswith(b"-ERR"), line)
        session.send(b"RSET\r\n")
        self.assertTrue(session.line(b"RETR 1").startswith(b"+OK"))

    def test_deletes_at_quit(self) -> None:
        """QUIT deletes what was marked, and nothing that came since."""
        self.house.put("jondoe", SHORT, long(500), SHORT)
        session = self.house.collecting()
        session.send(b"DELE 1\r\nDELE 3\r\n")
        self.house.put("jondoe", long(700))
        self.assertEqual(len(self.house.mailbox("jondoe")), 4)
        self.assertEqual(session.line(b"STAT"), b"+OK 1 500\r\n")
        self.assertEqual(session.line(b"QUIT"), b"+OK OK - Bye\r\n")
        kept = [len(one) for one in self.house.mailbox("jondoe")]
        self.assertEqual(kept, [500, 700])

    def test_dropped_connection_deletes_nothing(self) -> None:
        """Without QUIT all stays: connection lost, timeout, errors, hung up on."""
        for end in (
            lambda session: session.drop(),
            lambda session: session.advance(700, 10),
            lambda session: session.send(b"X\r\n" * 3),
            lambda session: session.send(b"GET / HTTP/1.1\r\n"),
            lambda session: session.send(b"x" * 9_999),
        ):
            self.house = self.build()
            self.house.put("jondoe", SHORT)
            session = self.house.collecting()
            session.send(b"DELE 1\r\n")
            end(session)
            self.assertFalse(session.open)
            self.assertEqual(len(self.house.mailbox("jondoe")), 1)
            self.house.collecting()

    def test_quit_is_truthful(self) -> None:
        """When the store can not delete, QUIT says so."""
        self.house.put("jondoe", SHORT)
        for error in (StoreBusyError(), RuntimeError("a value")):
            session = self.house.collecting()
            session.send(b"DELE 1\r\n")
            self.house.store.mailboxes.error = error
            self.assertTrue(session.line(b"QUIT").startswith(b"-ERR [SYS/TEMP]"))
            self.house.store.mailboxes.error = None
            self.assertEqual(len(self.house.mailbox("jondoe")), 1)
            session.drop()
        self.faults()

    def test_quit_waits_for_the_commit(self) -> None:
        """+OK is said once the deletes are on disk."""
        self.house.put("jondoe", SHORT)
        held = Held(self.house.store.mailboxes, "remove")
        self.house.office.mailboxes = held
        session = self.house.collecting()
        session.send(b"DELE 1\r\n")
        self.assertEqual(session.send(b"QUIT\r\nNOOP\r\n"), b"")
        held.step()
        self.assertTrue(session.said.endswith(b"+OK\r\n+OK OK - Bye\r\n"))
        session.pump()
        self.assertFalse(session.wire.connected)

    def test_lost_during_the_commit(self) -> None:
        """A connection lost while it deletes leaves nothing held."""
        self.house.put("jondoe", SHORT)
        held = Held(self.house.store.mailboxes, "remove")
        self.house.office.mailboxes = held
        session = self.house.collecting()
        session.send(b"DELE 1\r\nQUIT\r\n")
        session.drop()
        held.step()
        self.assertEqual(self.house.mailbox("jondoe"), [])
        self.assertIn(b"has 0 visible", self.house.collecting().said)

    def test_removed_by_another_hand(self) -> None:
        """A message that is gone meanwhile is an -ERR; the others are read."""
        self.house.put("jondoe", SHORT, long(400), long(500))
        session = self.house.collecting()
        messages = self.house.store._kept.messages
        del messages[sorted(messages)[1]]
        answers = Answers(session.send(b"RETR 1\r\nRETR 2\r\nTOP 2 0\r\nRETR 3\r\n"))
        answers.line()
        self.assertEqual(answers.block(), SHORT)
        self.assertTrue(answers.line().startswith(b"-ERR"))
        self.assertTrue(answers.line().startswith(b"-ERR"))
        answers.line()
        self.assertEqual(answers.block(), long(500))

    @pytest.mark.long
    def test_long_pipelines(self) -> None:
        """10,000 RETRs in one burst are all answered, however slowly they are read."""
        self.house.put("jondoe", SHORT)
        session = self.house.collecting()
        before = len(session.said)
        session.wire.window = 0
        session.send(b"RETR 1\r\n" * 10_000)
        self.assertLess(session.wire.most_unsent, 200_000)
        while session.arriving or session.wire.unsent:
            session.wire.read(50_000)
            session.pump()
        one = len(b"+OK %d octets\r\n" % len(SHORT)) + len(SHORT) + len(b"..") + 3
        self.assertEqual(len(session.said) - before, 10_000 * one)

    @pytest.mark.long
    def test_faults_in_a_pipeline(self) -> None:
        """10,000 commands whose store fails do not end in a deep stack, either."""
        self.house = self.build(refusals=100_000)
        self.house.put("jondoe", SHORT)
        session = self.house.collecting()
        self.house.store._kept.messages.clear()
        session.send(b"RETR 1\r\n" * 10_000)
        self.assertEqual(session.said.count(b"-ERR"), 10_000)


@pytest.mark.long
class StreamTest(HouseCase):
    """Long messages and peers that do not read."""

    def chunks(self, kind: type[MemoryChunks] = MemoryChunks) -> list[MemoryChunks]:
        """Make the store hand out bodies of that kind; return those handed out."""
        made: list[MemoryChunks] = []
        read = MemoryMailboxes.read

        def remembering(mailboxes: Any, *arguments: Any, **named: Any) -> Any:
            def note(found: Any) -> Any:
                for stored in found:
                    if stored.more is not None:
                        object.__setattr__(stored, "more", kind(stored.more._rest))
                        made.append(stored.more)
                return found

            return read(mailboxes, *arguments, **named).addCallback(note)

        self.patch(MemoryMailboxes, "read", remembering)
        return made

    def test_memory_is_bounded(self) -> None:
        """20 MB to a peer that does not read wait in the store, not in memory."""
        self.house.put("jondoe", long(20_000_000))
        session = self.house.collecting()
        session.wire.window = 0
        session.send(b"RETR 1\r\nNOOP\r\n")
        self.assertLess(session.wire.most_unsent, 300_000)
        session.wire.read(1_000_000)
        self.assertLess(session.wire.most_unsent, 300_000)
        session.wire.read()
        answers = Answers(session.said)
        for _ in range(4):
            answers.line()
        self.assertEqual(len(answers.block()), 20_000_000)
        self.assertEqual(answers.rest, b"+OK\r\n")

    def test_closed_after_use(self) -> None:
        """A long body is let go when it was sent, or TOP had enough of it."""
        made = self.chunks()
        self.house.put("jondoe", long(300_000), long(400_000))
        session = self.house.collecting()
        session.send(b"RETR 1\r\nTOP 2 3\r\nTOP 1 5000\r\nRETR 2\r\n")
        self.assertEqual(len(made), 4)
        self.assertTrue(all(one.closed for one in made))

    def test_closed_when_lost(self) -> None:
        """It is let go when the connection goes in the midst of it."""
        made = self.chunks()
        self.house.put("jondoe", long(900_000))
        for line in (b"RETR 1\r\n", b"TOP 1 9999999\r\n"):
            session = self.house.collecting()
            session.wire.window = 0
            session.send(line)
            self.assertFalse(made[-1].closed)
            session.drop()
            self.assertTrue(made[-1].closed)
            self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_lost_while_it_is_read(self) -> None:
        """A body that comes from the store after the connection went is let go."""
        made = self.chunks()
        self.house.put("jondoe", long(900_000))
        for line in (b"RETR 1\r\n", b"TOP 1 9999999\r\n", b"TOP 1 0\r\n"):
            held = Held(self.house.store.mailboxes, "read")
            self.house.office.mailboxes = held
            session = self.house.collecting()
            session.send(line)
            session.drop()
            held.step()
            self.assertEqual([one.closed for one in made], [True] * len(made), line)
        self.assertEqual(len(made), 2)

    def test_read_ahead_is_let_go(self) -> None:
        """What was read ahead and never asked for is let go with the session."""
        made = self.chunks()
        self.house.put("jondoe", SHORT, long(70_000), SHORT, long(70_000), SHORT)
        for end in (b"QUIT\r\n", b"DELE 1\r\nQUIT\r\n", b"", b"RETR 4\r\nRETR 5\r\n"):
            session = self.house.collecting()
            session.send(b"RETR 1\r\n" + end)
            session.drop()
            self.assertEqual([one.closed for one in made], [True] * len(made), end)
        self.assertGreaterEqual(len(made), 3)

    def test_body_fails_in_the_midst(self) -> None:
        """A body that can not be read on ends the connection: no -ERR inside of it."""
        self.chunks(FailingChunks)
        self.house.put("jondoe", long(300_000))
        for line in (b"RETR 1", b"TOP 1 999999"):
            session = self.house.collecting()
            answer = session.send(line + b"\r\nLIST\r\nDELE 1\r\nQUIT\r\n")
            self.assertTrue(answer.startswith(b"+OK"))
            self.assertNotIn(b"-ERR", answer)
            self.assertNotIn(b"\r\n.\r\n", answer)
            self.assertFalse(session.wire.connected)
            self.assertEqual(len(self.house.mailbox("jondoe")), 1)
        self.assertEqual(self.faults(), 2)

    def test_peer_that_never_reads_gives_up_its_place(self) -> None:
        """A peer that stopped reading is left after the time of silence."""
        self.house.put("jondoe", long(900_000))
        session = self.house.collecting()
        session.wire.window = 0
        session.send(b"RETR 1\r\n")
        session.advance(700, 10)
        self.assertFalse(session.wire.connected)
        self.house.collecting()


class HoldersTest(HouseCase):
    """One session a mailbox."""

    def test_second_session(self) -> None:
        """A second one gets [IN-USE] while the first is alive, then its turn."""
        first = self.house.collecting()
        second = self.house.collect()
        self.assertIn(b"-ERR [IN-USE]", second.send(LOGIN))
        self.assertTrue(first.open)
        self.assertTrue(second.open)
        first.send(b"QUIT\r\n")
        self.assertIn(b"+OK jondoe has", second.send(LOGIN))

    def test_others_are_free(self) -> None:
        """Each mailbox is held by itself."""
        self.house.collecting()
        self.house.collecting(b"alice")

    def test_silent_one_gives_way(self) -> None:
        """One gone silent gives way to a right login; its deletes are dropped."""
        self.house.put("jondoe", SHORT)
        first = self.house.collecting()
        first.send(b"DELE 1\r\n")
        first.advance(61)
        second = self.house.collecting()
        self.assertTrue(first.wire.aborted)
        self.assertIn(b"has 1 visible", second.said)
        third = self.house.collect()
        self.assertIn(b"-ERR [IN-USE]", third.send(LOGIN))
        second.send(b"QUIT\r\n")
        self.assertEqual(len(self.house.mailbox("jondoe")), 1)

    def test_wrong_password_moves_nobody(self) -> None:
        """Without the right password nobody is pushed out."""
        first = self.house.collecting()
        first.advance(61)
        self.house.collect().send(b"USER jondoe\r\nPASS wrong\r\n")
        self.assertTrue(first.open)
        first.send(b"NOOP\r\n")
        self.assertIn(b"-ERR [IN-USE]", self.house.collect().send(LOGIN))

    def test_late_words_of_the_one_pushed_out(self) -> None:
        """What the old session still sends does nothing, and takes nothing away."""
        self.house.put("jondoe", SHORT)
        first = self.house.collecting()
        first.send(b"DELE 1\r\n")
        first.clock.advance(61)
        second = self.house.collect()
        second.server.dataReceived(LOGIN)
        first.server.dataReceived(b"QUIT\r\n")
        first.pump()
        self.assertEqual(len(self.house.mailbox("jondoe")), 1)
        self.assertIn(b"-ERR [IN-USE]", self.house.collect().send(LOGIN))

    def test_peer_that_never_reads_gives_way(self) -> None:
        """One that stopped reading in the midst of a message gives way, too."""
        self.house.put("jondoe", long(900_000))
        first = self.house.collecting()
        first.wire.window = 0
        first.send(b"RETR 1\r\n")
        first.advance(61)
        self.house.collecting()
        self.assertFalse(first.wire.connected)

    def test_slow_reader_is_alive(self) -> None:
        """One that reads slowly is not silent."""
        self.house.put("jondoe", long(900_000))
        first = self.house.collecting()
        first.wire.window = 0
        first.send(b"RETR 1\r\n")
        for _ in range(10):
            first.wire.read(70_000)
            first.advance(20)
        self.assertIn(b"-ERR [IN-USE]", self.house.collect().send(LOGIN))


class PrivacyTest(HouseCase):
    """What is not written."""

    traces = (
        HOST, "49152", "correct horse", "jondoe", "DestOfAPeer", "secret-subject",
        base64.b64encode(PASSWORD).decode(),
    )  # fmt: skip

    def test_normal_work_is_not_logged(self) -> None:
        """A whole session, good and bad, leaves not one line in the log."""
        self.house.put("jondoe", b"Subject: secret-subject\r\n\r\nx\r\n")
        for address in (None, Destination("DestOfAPeer" * 10)):
            session = self.house.collect(address) if address else self.house.collect()
            session.send(b"USER jondoe\r\nPASS wrong\r\n" + LOGIN)
            session.send(b"STAT\r\nRETR 1\r\nBAD\r\nDELE 9\r\nQUIT\r\n")
            self.assertNotIn(b"DestOf", session.said)
            self.assertNotIn(HOST.encode(), session.said)
        self.assertEqual(len(self.events), 0, self.logged())


@pytest.mark.long
@given(
    st.lists(
        st.sampled_from(
            [
                *(b"STAT", b"LIST", b"UIDL", b"NOOP", b"RSET", b"CAPA", b"X", b""),
                *(b"TOP 1 0", b"TOP 2 1", b"TOP 3 9"),
                *(
                    b"%s %d" % (verb, number)
                    for verb in (b"RETR", b"DELE", b"LIST", b"UIDL")
                    for number in range(5)
                ),
            ]
        ),
        max_size=25,
    ),
    st.integers(1, 40),
)
def test_pipelined_is_as_one_by_one(commands: list[bytes], chunk: int) -> None:
    """However commands are cut and pipelined, the answers are the same."""
    said = []
    for pipelined in (True, False):
        house = House()
        house.store.add("jondoe", PASSWORD)
        house.put("jondoe", SHORT, long(900), long(140_000))
        session: Session = house.collecting()
        if pipelined:
            session.send(b"".join(line + b"\r\n" for line in commands), chunk)
        else:
            for line in commands:
                session.line(line)
        said.append(re.sub(rb"[0-9a-f]{32}", b"UID", session.said))
        session.drop()
    assert said[0] == said[1]
