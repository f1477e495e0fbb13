# ruff: noqa: D102 - what is no test is the tests' own
"""The resolver on a network without sockets, and a Clock for time."""

from __future__ import annotations

import random
import struct
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from postmand.dns.resolver import FAILED, Patience, Resolver
from postmand.dns.wire import Server
from postmand.inbound import IResolver, Records
from tests.world.sockets import Net, Stream, flags, rcode, wire

HOST = "127.0.0.1"
FAR = "11.0.0.53"
PATIENCE = Patience(reply=4.0, whole=15.0, rounds=2, at_once=3, waiting=5)
FOUND = Records("found", ("11.0.0.1",))


class Asking(SynchronousTestCase):
    """A resolver that asks over a network without sockets."""

    def setUp(self) -> None:
        self.net = Net()
        self.resolver = self.asking(HOST)

    def asking(self, *hosts: str, **patience: Any) -> Resolver:
        settings = Patience(**patience) if patience else PATIENCE
        servers = [Server(host) for host in hosts]
        return Resolver(self.net, servers, random.Random(7), settings)

    def ask(self, name: str = "b.example", kind: str = "A") -> Deferred[Records]:
        return self.resolver.ask(name, kind)

    def tearDown(self) -> None:
        """No socket stays open, and no call waits, whatever happened."""
        self.assertFalse([packet for packet in self.net.packets if packet.open])
        self.assertFalse([stream for stream in self.net.streams if stream.open])
        self.assertEqual(self.net.getDelayedCalls(), [])


class ResolverTests(Asking):
    """One question: its form, its answer, and what is none."""

    def test_seam(self) -> None:
        """It is the seam's."""
        verifyObject(IResolver, self.resolver)

    def test_form_of_question(self) -> None:
        """It asks for recursion and validation, from loopback where the server is."""
        answer = self.ask("b.example", "MX")
        packet, query = self.net.asked[0]
        self.assertEqual(packet.peer, (HOST, 53))
        self.assertEqual(packet.interface, HOST)
        self.assertEqual(query.question[0].to_text(), "b.example. IN MX")
        self.assertTrue(query.flags & dns.flags.RD)
        self.assertTrue(query.flags & dns.flags.AD)
        self.assertTrue(query.ednsflags & dns.flags.DO)
        self.assertEqual(query.payload, 1_232)
        self.net.answer(rcode(dns.rcode.NOERROR))
        self.assertEqual(self.successResultOf(answer), Records("none"))

    def test_ids_and_ports_differ(self) -> None:
        """Each question has a socket of its own, and an id nobody can foresee."""
        for _ in range(50):
            answer = self.ask()
            self.net.answer()
            self.assertEqual(self.successResultOf(answer), FOUND)
        ids = {query.id for _packet, query in self.net.asked}
        self.assertGreater(len(ids), 45)
        self.assertEqual(len(self.net.packets), 50)

    def test_what_is_no_answer(self) -> None:
        """Rubbish and replies to other questions are none; the right one is taken."""

        def other_id(reply: Any) -> None:
            reply.id ^= 1

        def other_name(reply: Any) -> bytes:
            query = dns.message.make_query("c.example", "A", id=reply.id)
            return wire(query, lambda _: None)

        def other_kind(reply: Any) -> bytes:
            query = dns.message.make_query("b.example", "MX", id=reply.id)
            return wire(query, lambda _: None)

        def a_question(reply: Any) -> None:
            reply.flags &= ~dns.flags.QR

        answer = self.ask()
        for change in (
            other_id,
            other_name,
            other_kind,
            a_question,
            lambda _: b"",
            lambda reply: struct.pack("!H", reply.id) + b"\xff" * 20,
            lambda reply: reply.to_wire()[:-3],
        ):
            self.net.answer(change)
            self.assertNoResult(answer)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_guesser(self) -> None:
        """Who sends wrong replies without end does not get to try them all."""
        answer = self.ask()
        for number in range(17):
            self.net.answer(lambda reply, number=number: setattr(reply, "id", number))
        self.assertFalse(self.net.packets[0].open)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)
        self.assertEqual(len(self.net.packets), 2)

    def test_silence(self) -> None:
        """A silent server is asked twice, and the question ends."""
        answer = self.ask()
        self.net.advance(3.9)
        self.assertEqual(len(self.net.asked), 1)
        self.net.advance(0.1)
        self.assertEqual(len(self.net.asked), 2)
        self.net.advance(4.0)
        self.assertEqual(self.successResultOf(answer), FAILED)

    def test_late_reply(self) -> None:
        """The reply to a question that was given up is not heard."""
        answer = self.ask()
        self.net.advance(4.0)
        packet, query = self.net.asked[0]
        packet.protocol.datagramReceived(wire(query, lambda _: None), packet.peer)
        self.assertNoResult(answer)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_whole_time(self) -> None:
        """However many servers there are, the question ends."""
        self.resolver = self.asking(*[HOST] * 9, reply=4.0, whole=10.0)
        answer = self.ask()
        for _ in range(10):
            self.assertNoResult(answer)
            self.net.advance(1.0)
        self.assertEqual(self.successResultOf(answer), FAILED)

    def test_refused_and_failed(self) -> None:
        """What a server can not tell is failed at once; it is not asked again."""
        for code in (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR):
            answer = self.ask()
            self.net.answer(rcode(code))
            self.assertEqual(self.successResultOf(answer), FAILED)
        self.assertEqual(len(self.net.asked), 3)

    def test_nobody_listens(self) -> None:
        """An ICMP refusal counts as silence, without the wait."""
        answer = self.ask()
        for packet in (0, 1):
            self.net.packets[packet].protocol.connectionRefused()
        self.assertEqual(self.successResultOf(answer), FAILED)

    def test_no_way_and_no_socket(self) -> None:
        """A network that is down and a machine out of sockets are no faults."""
        self.net.unreachable.add(HOST)
        self.assertEqual(self.successResultOf(self.ask()), FAILED)
        self.net.unreachable.clear()
        self.net.sockets = 0
        self.assertEqual(self.successResultOf(self.ask()), FAILED)

    def test_next_server(self) -> None:
        """The next server is asked when one fails, and first from then on."""
        self.resolver = self.asking(FAR, HOST)
        answer = self.ask()
        self.assertEqual(self.net.asked[-1][0].peer, (FAR, 53))
        self.net.answer(rcode(dns.rcode.SERVFAIL))
        self.assertEqual(self.net.asked[-1][0].peer, (HOST, 53))
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)
        answer = self.ask()
        self.assertEqual(self.net.asked[-1][0].peer, (HOST, 53))
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_not_there(self) -> None:
        """NXDOMAIN is told from a name without such records."""
        answer = self.ask()
        self.net.answer(rcode(dns.rcode.NXDOMAIN))
        self.assertEqual(self.successResultOf(answer), Records("none", exists=False))

    def test_nxdomain_with_an_answer(self) -> None:
        """A reply that contradicts itself is none."""
        answer = self.ask()
        self.net.answer(lambda reply: reply.set_rcode(dns.rcode.NXDOMAIN))
        self.assertEqual(self.successResultOf(answer), FAILED)

    def test_referral(self) -> None:
        """A server that does not recurse knows nothing of what is not there."""

        def referral(reply: Any) -> None:
            reply.flags &= ~dns.flags.RA
            reply.answer.clear()

        answer = self.ask()
        self.net.answer(referral)
        self.assertEqual(self.successResultOf(answer), FAILED)

    def test_chain(self) -> None:
        """An alias is followed; records of other names beside it are not taken."""

        def chain(reply: Any) -> None:
            reply.answer[:] = [
                dns.rrset.from_text("b.example.", 60, "IN", "CNAME", "c.example."),
                dns.rrset.from_text("c.example.", 60, "IN", "CNAME", "d.example."),
                dns.rrset.from_text("x.example.", 60, "IN", "A", "10.0.0.1"),
                dns.rrset.from_text("d.example.", 60, "IN", "A", "11.0.0.1"),
            ]

        answer = self.ask()
        self.net.answer(chain)
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_endless_chain(self) -> None:
        """Aliases in a circle are no answer."""

        def circle(reply: Any) -> None:
            reply.answer[:] = [
                dns.rrset.from_text("b.example.", 60, "IN", "CNAME", "c.example."),
                dns.rrset.from_text("c.example.", 60, "IN", "CNAME", "b.example."),
            ]

        answer = self.ask()
        self.net.answer(circle)
        self.assertEqual(self.successResultOf(answer), FAILED)

    def test_vouched(self) -> None:
        """AD counts from loopback, and from elsewhere only where that is said."""
        for server, secure in (
            (Server(HOST), True),
            (Server("::1"), True),
            (Server(FAR), False),
            (Server(FAR, vouches=True), True),
            (Server(HOST, vouches=False), False),
        ):
            resolver = Resolver(self.net, [server], random.Random(7), PATIENCE)
            answer = resolver.ask("b.example", "A")
            self.net.answer(flags(dns.flags.AD))
            self.assertEqual(self.successResultOf(answer).secure, secure)
        answer = self.ask()
        self.net.answer()
        self.assertFalse(self.successResultOf(answer).secure)

    def test_absence_is_vouched_for(self) -> None:
        """A name that is not there can be secure, too."""

        def none(reply: Any) -> None:
            rcode(dns.rcode.NXDOMAIN)(reply)
            reply.flags |= dns.flags.AD

        answer = self.ask()
        self.net.answer(none)
        self.assertEqual(
            self.successResultOf(answer), Records("none", secure=True, exists=False)
        )

    def test_names_that_are_none(self) -> None:
        """What can be no name does not exist, and nobody is asked."""
        for name in ("", ".", "a..b", "a" * 64 + ".b", "a." * 130, "b.example.", "é.b"):
            answer = self.ask(name)
            self.assertEqual(
                self.successResultOf(answer), Records("none", exists=False), name
            )
        self.assertEqual(self.net.asked, [])

    def test_no_such_kind(self) -> None:
        """A kind that DNS does not have is a fault of ours."""
        with self.assertRaises(ValueError):
            self.ask(kind="MAIL EXCHANGE")

    def test_bounded(self) -> None:
        """So many are under way, more wait their turn, and the next one fails."""
        asked = [self.ask() for _ in range(8)]
        self.assertEqual(len(self.net.asked), 3)
        self.assertEqual(self.successResultOf(self.ask()), FAILED)
        for number in range(8):
            packet, query = self.net.asked[number]
            packet.protocol.datagramReceived(wire(query, lambda _: None), packet.peer)
        self.assertEqual([self.successResultOf(one) for one in asked], [FOUND] * 8)

    def test_waiting_counts(self) -> None:
        """Time spent waiting for a turn is time spent."""
        self.resolver = self.asking(HOST, reply=20.0, whole=15.0, at_once=1)
        asked = [self.ask(), self.ask()]
        self.net.advance(15.0)
        self.assertEqual([self.successResultOf(one) for one in asked], [FAILED] * 2)
        answer = self.ask()
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_cancelled(self) -> None:
        """Who asks no more gives its place to the next."""
        self.resolver = self.asking(HOST, reply=4.0, whole=15.0, at_once=1)
        first, second = self.ask(), self.ask("c.example")
        first.cancel()
        self.assertEqual(self.successResultOf(first), FAILED)
        self.assertEqual(self.net.asked[-1][1].question[0].name.to_text(), "c.example.")
        self.net.answer()
        self.assertEqual(self.successResultOf(second), FOUND)

    def test_needs_a_server(self) -> None:
        """Without a server there is no resolver."""
        with self.assertRaises(ValueError):
            self.asking()


class TruncationTests(Asking):
    """A reply that did not fit is asked for again by TCP."""

    def truncated(self) -> tuple[Deferred[Records], Stream]:
        answer = self.ask()
        self.net.answer(flags(dns.flags.TC))
        self.assertNoResult(answer)
        return answer, self.net.streams[-1]

    def test_by_tcp(self) -> None:
        """The same question is asked of the same server; the reply may come in bits."""
        answer, stream = self.truncated()
        self.assertEqual(stream.peer, (HOST, 53))
        query = stream.connected()
        self.assertEqual(query.id, self.net.asked[-1][1].id)
        reply = wire(query, flags(dns.flags.AD))
        for octet in struct.pack("!H", len(reply)) + reply:
            stream.protocol.dataReceived(bytes([octet]))
        self.assertEqual(
            self.successResultOf(answer), Records("found", ("11.0.0.1",), secure=True)
        )

    def test_closed(self) -> None:
        """A connection that ends half way says nothing: the server was silent."""
        answer, stream = self.truncated()
        reply = wire(stream.connected(), lambda _: None)
        stream.protocol.dataReceived(struct.pack("!H", len(reply)) + reply[:-1])
        stream.loseConnection()
        self.assertNoResult(answer)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_not_connected(self) -> None:
        """A server without TCP was silent."""
        answer, stream = self.truncated()
        stream.open = False
        stream.factory.clientConnectionFailed(stream, Failure(ConnectionDone()))
        self.assertNoResult(answer)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_slow(self) -> None:
        """TCP has its time, too."""
        answer, stream = self.truncated()
        stream.connected()
        self.net.advance(4.0)
        self.assertFalse(stream.open)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)

    def test_wrong_reply(self) -> None:
        """A reply to something else is none, and there is no second one."""
        answer, stream = self.truncated()
        query = stream.connected()
        query.id ^= 1
        reply = wire(query, lambda _: None)
        stream.protocol.dataReceived(struct.pack("!H", len(reply)) + reply)
        self.assertNoResult(answer)
        self.net.answer()
        self.assertEqual(self.successResultOf(answer), FOUND)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1:5353", Server(HOST, 5353)),
        ("127.0.0.1", Server(HOST, 53)),
        ("[::1]:5353", Server("::1", 5353)),
        ("[::1]", Server("::1", 53)),
        ("::1", Server("::1", 53)),
        ("2a00::53", Server("2a00::53", 53, vouches=False)),
    ],
)
def test_server_named(text: str, server: Server) -> None:
    """A resolver is named by its address, with or without a port."""
    assert Server.read(text) == server


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "localhost:53", "127.0.0.1:0", "127.0.0.1:x", "[::1]:99999"],
)
def test_server_not_named(text: str) -> None:
    """Anything else is told to be none: a name would have to be looked up first."""
    with pytest.raises(ValueError):  # noqa: PT011 (the library's words, or ours)
        Server.read(text)


def test_asked_from() -> None:
    """A far resolver is asked from any interface, of its own family."""
    assert Server(FAR).interface == ""
    assert Server("2a00::53").interface == "::"
    assert Server("::1").interface == "::1"
