"""The path of a message: in, once and for all recipients; out, with its own ids."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from postmand.interfaces import Recipient, StoreBusyError
from postmand.message.address import Address
from postmand.message.headers import replace_thread_ids, thread_ids
from postmand.postoffice import Maildrop, Submitter, restored_growth
from postmand.rules.verdict import Verdict
from tests.sessions import Held, HouseCase

TEXT = b"Message-ID: <first@my-own-box>\r\nSubject: x\r\n\r\nbody\r\n"


class Case(HouseCase):
    """Members handing in and collecting, without servers."""

    def hand_in(
        self, text: bytes, *names: str, sender: str = "jondoe", flush: bool = False
    ) -> Deferred[Verdict | None]:
        """Hand in a message for the recipients named (alice for none)."""
        spool = self.house.new_spool()
        spool.write(text)
        if flush:
            self.successResultOf(Deferred.fromCoroutine(spool.flush()))
        to = [self.house.recipient(name) for name in names or ("alice",)]
        submitter = Submitter(self.house.office, self.house.member(sender))
        return Deferred.fromCoroutine(submitter.accept(to, spool))

    def accepted(self, text: bytes, *names: str, **more: Any) -> None:
        """Hand in what has to be accepted."""
        self.assertIsNone(self.successResultOf(self.hand_in(text, *names, **more)))

    def reason(self, text: bytes, *names: str, **more: Any) -> str:
        """Hand in what has to be refused; return why."""
        verdict = self.successResultOf(self.hand_in(text, *names, **more))
        assert verdict is not None
        return verdict.reason

    def drop(self, name: str = "alice") -> Maildrop:
        """Open a mailbox."""
        drop = Maildrop(self.house.office, self.house.member(name))
        self.successResultOf(Deferred.fromCoroutine(drop.open()))
        return drop

    def collected(self, drop: Maildrop, index: int) -> bytes:
        """Return a whole message."""
        stored = self.successResultOf(Deferred.fromCoroutine(drop.message(index)))
        found = stored.header + stored.body
        while stored.more is not None:
            piece = self.successResultOf(stored.more.next())
            if not piece:
                break
            found += piece
        return bytes(found)


class AcceptTest(Case):
    """The way in."""

    def test_head(self) -> None:
        """Return-Path and one neutral Received come first, and from us."""
        self.accepted(
            b"Return-Path: <x@y>\r\nReceived: from my-own-box\r\nSubject: x\r\n\r\n"
        )
        (message,) = self.house.mailbox("alice")
        lines = message.split(b"\r\n")
        self.assertEqual(lines[0], b"Return-Path: <jondoe@mail.i2p>")
        self.assertEqual(lines[1], b"Received: from localhost (localhost [127.0.0.1])")
        self.assertEqual(message.lower().count(b"\r\nreceived:"), 1)
        self.assertEqual(message.lower().count(b"return-path:"), 1)
        self.assertNotIn(b"my-own-box", message)

    def test_one_copy_each(self) -> None:
        """Each recipient has one copy, however often named; all in one call."""
        held = Held(self.house.store.mailboxes, "deliver")
        self.house.office.mailboxes = held
        asked = self.hand_in(TEXT, "alice", "bob", "alice", "jondoe")
        self.assertEqual(len(held.waiting), 1)
        self.assertNoResult(asked)
        held.step()
        self.assertIsNone(self.successResultOf(asked))
        for name in ("alice", "bob", "jondoe"):
            self.assertEqual(len(self.house.mailbox(name)), 1)

    def test_refusals(self) -> None:
        """What the store has against it is a named reason; nothing is kept."""
        self.house = self.build(mailbox_bytes=5_000)
        self.house.put("bob", b"Subject: x\r\n\r\n" + b"x" * 4_900)
        self.assertEqual(self.reason(TEXT, "alice", "bob"), "mailbox-full")
        large = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 90
        self.assertEqual(self.reason(large), "too-large-for-mailbox")
        self.house.store.mailboxes.error = StoreBusyError()
        self.assertEqual(self.reason(TEXT), "store-busy")
        self.house.store.mailboxes.error = None
        gone = Recipient(4711, "gone", b"", 10_000)
        spool = self.house.new_spool()
        spool.write(TEXT)
        asked = self.house.office.accept(self.house.member("jondoe"), [gone], spool)
        verdict = self.successResultOf(Deferred.fromCoroutine(asked))
        assert verdict is not None
        self.assertEqual(verdict.reason, "no-such-user")
        self.assertEqual(self.house.mailbox("alice"), [])

    def test_message_that_is_over_a_limit(self) -> None:
        """A message the washing refuses is refused with its reason."""
        header = b"".join(b"X-%d: y\r\n" % number for number in range(2_000))
        self.assertEqual(self.reason(header + b"\r\nx\r\n"), "too-many-fields")

    def test_large_ones_wait_in_line(self) -> None:
        """Only so much is in memory at once to be washed; each gets its turn."""
        self.house = self.build(wash_memory=900_000)
        self.house.washing.held = True
        text = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 2_000
        asked = [self.hand_in(text) for _ in range(6)]
        self.assertEqual(len(self.house.washing.waiting), 2)
        self.house.washing.release()
        self.assertEqual([self.successResultOf(one) for one in asked], [None] * 6)

    def test_a_large_one_that_fails_makes_room(self) -> None:
        """A fault while one is washed does not keep its place."""
        text = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 2_000
        self.house.washing.fails = RuntimeError()
        for _ in range(5):
            self.failureResultOf(self.hand_in(text), RuntimeError)
        self.house.washing.fails = None
        self.accepted(text)

    def test_nothing_heavy_in_the_reactor(self) -> None:
        """A small message is washed at once, a large or spooled one in a thread."""
        calls = self.house.washing.calls
        self.accepted(TEXT)
        self.assertEqual(self.house.washing.calls, calls)
        self.accepted(TEXT + b"x" * 70_000)
        self.assertGreater(self.house.washing.calls, calls)
        calls = self.house.washing.calls
        self.accepted(TEXT, flush=True)
        self.assertGreater(self.house.washing.calls, calls + 1)

    def test_recipient(self) -> None:
        """A recipient is judged by name, state and room."""
        office = self.house.office

        def judged(address: Address, size: int = 0) -> Any:
            asked = office.recipient(address, size)
            answer = self.successResultOf(Deferred.fromCoroutine(asked))
            return answer.reason if isinstance(answer, Verdict) else answer.name

        self.assertEqual(judged(Address(b"ALICE", b"mail.i2p.")), "alice")
        self.assertEqual(judged(Address(b"no", b"mail.i2p")), "no-such-user")
        self.assertEqual(judged(Address(b"alice", b"x.org")), "no-internet")
        limit = office.settings.mailbox_bytes
        filled = b"Subject: x\r\n\r\n" + b"x" * (limit // 8 + 10_000)
        self.house.put("alice", filled)
        self.assertEqual(judged(Address(b"alice", b""), limit), "mailbox-full")
        # What is free is told in eighths: nobody sees another's mail come and go.
        step = limit // 8
        self.assertEqual(judged(Address(b"alice", b""), 7 * step), "alice")
        too_large = judged(Address(b"alice", b""), limit + 1)
        self.assertEqual(too_large, "too-large-for-mailbox")

    def test_own(self) -> None:
        """An own address is the account's, in both domains or none."""
        submitter = Submitter(self.house.office, self.house.member("jondoe"))
        for domain in (b"mail.i2p", b"I2PMAIL.org.", b""):
            self.assertTrue(submitter.is_own(Address(b"JonDoe", domain)))
            self.assertFalse(submitter.is_own(Address(b"alice", domain)))
        self.assertFalse(submitter.is_own(Address(b"jondoe", b"example.org")))


class MaildropTest(Case):
    """The way out."""

    def test_thread(self) -> None:
        """A reply threads for both: own ids come back as the client gave them."""
        self.accepted(TEXT)
        (first,) = self.house.mailbox("alice")
        given_out = first.partition(b"Message-ID: ")[2].partition(b"\r\n")[0]
        self.assertNotIn(b"my-own-box", first)
        reply = (
            b"Message-ID: <reply@her-box>\r\nSubject: Re: x\r\n"
            b"In-Reply-To: " + given_out + b"\r\n"
            b"References: " + given_out + b"\r\n\r\nyes\r\n"
        )
        self.accepted(reply, "jondoe", sender="alice")
        drop = self.drop("jondoe")
        text = self.collected(drop, 0)
        self.assertIn(b"In-Reply-To: <first@my-own-box>\r\n", text)
        self.assertIn(b"References: <first@my-own-box>\r\n", text)
        self.assertNotIn(given_out, text)
        self.assertEqual(drop.sizes[0], len(text))
        self.assertNotIn(b"her-box", text)

    def test_sizes_are_what_is_sent(self) -> None:
        """Each size is the octets that come, ids restored once, twice or not at all."""
        member = self.house.member("alice")
        long = b"<" + b"l" * 200 + b"@my-own-box>"
        threads = self.house.store.threads
        outs = []
        for one in (b"<a@b>", long, b"<x@y>"):
            tag, sealed = threads.row(member, one)
            self.house.store.mailboxes.deliver([], {tag: sealed})
            outs.append(threads.give_out(member, one))
        a, b, c = outs
        for head in (
            b"In-Reply-To: " + a + b"\r\nReferences: " + a + b"\r\n " + b + b"\r\n",
            b"References: " + a + b" " + a + b"\r\n\t" + a + b"\r\n",
            b"references :" + b + b"\r\nREFERENCES:" + c + b"\r\n",
            b"In-Reply-To: a word "
            + a
            + b" (comment)\r\nReferences:\r\n "
            + b
            + b"\r\n",
            b"References: <other@x> " + a + b" <other@x> <other@x>\r\n",
            b"References: " + b" ".join([a, b, c] * 100) + b"\r\n",
            b"X-References: " + a + b"\r\n",
            b"Subject: " + a + b"\r\n",
            b"",
        ):
            self.house.put("alice", head + b"Subject: x\r\n\r\nbody " + a + b"\r\n")
        drop = self.drop()
        for index, size in enumerate(drop.sizes):
            text = self.collected(drop, index)
            self.assertEqual(len(text), size, text[:300])
            header = self.successResultOf(Deferred.fromCoroutine(drop.header(index)))
            self.assertTrue(text.startswith(header.header))
            self.assertTrue(text.endswith(b"body " + a + b"\r\n"))

    def test_others_ids_stay(self) -> None:
        """Ids given out for one member are not another's to read."""
        self.accepted(TEXT)
        (first,) = self.house.mailbox("alice")
        given_out = first.partition(b"Message-ID: ")[2].partition(b"\r\n")[0]
        self.house.put("bob", b"References: " + given_out + b"\r\n\r\nx\r\n")
        self.assertIn(given_out, self.collected(self.drop("bob"), 0))

    def test_any_order(self) -> None:
        """Messages are the right ones in whatever order they are asked for."""
        texts = [b"Subject: %d\r\n\r\n%d\r\n" % (n, n) for n in range(100)]
        texts[20] += b"x" * 70_000
        texts[21] += b"y" * 140_000
        self.house.put("alice", *texts)
        drop = self.drop()
        orders = [*range(100), *range(99, -1, -1), 5, 5, 6, 7, 20, 21, 20, 22, 0, 1]
        for index in orders:
            self.assertEqual(self.collected(drop, index), texts[index], index)

    def test_read_ahead(self) -> None:
        """A client that goes in order costs few reads; one that jumps reads no more."""
        self.house.put("alice", *[b"Subject: x\r\n\r\n" + b"x" * 100] * 300)
        held = Held(self.house.store.mailboxes, "read")
        self.house.office.mailboxes = held
        drop = self.drop()
        reads = 0
        for index in range(300):
            asked = Deferred.fromCoroutine(drop.message(index))
            if held.waiting:
                reads += 1
                held.step()
            self.successResultOf(asked)
        self.assertLess(reads, 20)

    def test_removed_by_another_hand(self) -> None:
        """A message that is gone is a LookupError; its neighbours are read."""
        self.house.put("alice", *[b"Subject: x\r\n\r\n%d\r\n" % n for n in range(5)])
        drop = self.drop()
        messages = self.house.store._kept.messages
        del messages[sorted(messages)[2]]
        for index in (0, 1, 3, 4):
            self.collected(drop, index)
        asked = Deferred.fromCoroutine(drop.message(2))
        self.failureResultOf(asked, LookupError)

    def test_remove(self) -> None:
        """What is removed is what was meant, and no more."""
        self.house.put("alice", *[b"Subject: x\r\n\r\n%d\r\n" % n for n in range(5)])
        drop = self.drop()
        self.successResultOf(Deferred.fromCoroutine(drop.remove([1, 3])))
        kept = [text[-3:-2] for text in self.house.mailbox("alice")]
        self.assertEqual(kept, [b"0", b"2", b"4"])

    def test_snapshot(self) -> None:
        """Mail that comes while it is open is not in it."""
        drop = self.drop()
        self.house.put("alice", b"Subject: x\r\n\r\nx\r\n")
        self.assertEqual(list(drop.sizes), [])


IDS = st.sampled_from((b"<a@b>", b"<long-one@c.example>", b"<d@e>", b"<f@g>"))
BLANKS = st.sampled_from((b" ", b"\r\n ", b"\r\n\t", b"  ", b", ", b" (c) ", b""))
FIELDS = st.tuples(
    st.sampled_from(
        (
            b"References:",
            b"In-Reply-To:",
            b"REFERENCES :",
            b"Subject:",
            b"X-References:",
        )
    ),
    st.lists(st.tuples(BLANKS, IDS), max_size=6),
)


@pytest.mark.long
@given(
    st.lists(FIELDS, max_size=5),
    st.dictionaries(IDS, st.sampled_from((b"<x@y>", b"<" + b"z" * 90 + b"@y>"))),
)
def test_growth(
    fields: list[tuple[bytes, list[tuple[bytes, bytes]]]], ids: dict[bytes, bytes]
) -> None:
    """A header grows by what its ids say it will, whatever the fields look like."""
    header = b"".join(
        name + b"".join(blank + one for blank, one in words) + b"\r\n"
        for name, words in fields
    )
    header += b"\r\n"
    grown = replace_thread_ids(header, ids)
    assert len(grown) - len(header) == restored_growth(thread_ids(header), ids)
