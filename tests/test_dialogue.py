# ruff: noqa: D102 - Dialogue says what its hooks do
"""One command at a time, bounded: what every line-based server of ours keeps."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Limits
from postmand.servers.dialogue import Dialogue
from postmand.servers.outbox import _direct_write
from tests.fuzz_servers import fuzz
from tests.sessions import BUFFER, HOST, HouseCase, Session

pytestmark = pytest.mark.long


class Echo(Dialogue):
    """Says each line back; `wait` waits, `big` says much, `raise` is a fault."""

    def __init__(self, limits: Limits, reactor: Any) -> None:
        super().__init__(limits, reactor)
        self.ran: list[bytes] = []
        self.waiting: list[Deferred[None]] = []
        self.deepest = 0
        self.ended = 0

    def greeting(self) -> bytes:
        return b"hello"

    def command(self, line: bytes) -> Any:
        self.ran.append(line)
        if line in (b"wait", b"raise later"):
            return self._wait(line)
        if line == b"at once":
            return self._at_once()
        if line == b"raise":
            raise RuntimeError(f"a value from {HOST}")
        if line == b"err":
            self.send(b"no")
            self.erred()
        elif line == b"refuse":
            self.send(b"refused")
            self.refused()
        elif line == b"big":
            self.send(b"x" * 40_000)
        else:
            self.fine()
            self.send(line)
        return None

    async def _at_once(self) -> None:
        self.send(b"at once")

    async def _wait(self, line: bytes) -> None:
        done: Deferred[None] = Deferred()
        self.waiting.append(done)
        await done
        if line == b"raise later":
            raise RuntimeError(f"a value from {HOST}")
        self.send(b"waited")

    def say_too_long(self) -> None:
        self.send(b"too long")

    def say_timeout(self) -> None:
        self.send(b"timeout")

    def say_fault(self) -> None:
        self.send(b"fault")

    def say_enough(self) -> None:
        self.send(b"enough")

    def gone(self) -> None:
        self.ended += 1


class DialogueTest(HouseCase):
    """A session of lines."""

    def session(self, **limits: Any) -> Session:
        """Connect to an Echo."""
        made = Echo(evolve(Limits(), **limits), self.house.clock)
        factory = Factory()
        factory.buildProtocol = lambda _: made  # type: ignore[method-assign]
        return Session(factory, self.house.clock)

    def test_lines(self) -> None:
        """Lines end with CRLF or LF, however they are cut into chunks."""
        for chunk in (1, 2, 3, 5, 100):
            session = self.session()
            session.send(b"one\r\ntwo\nthree\r\n", chunk)
            self.assertEqual(session.said, b"hello\r\none\r\ntwo\r\nthree\r\n")

    def test_no_delay(self) -> None:
        """Nagle is off: a reply does not wait for the peer's delayed ACK."""
        self.assertTrue(self.session().wire.no_delay)

    def test_a_command_waits_for_the_one_before(self) -> None:
        """While a command runs, nothing behind it is looked at."""
        session = self.session()
        session.send(b"one\r\nwait\r\ntwo\r\nwait\r\nthree\r\n")
        self.assertEqual(session.server.ran, [b"one", b"wait"])
        session.server.waiting[0].callback(None)
        self.assertEqual(session.server.ran, [b"one", b"wait", b"two", b"wait"])
        session.server.waiting[1].callback(None)
        self.assertEqual(
            session.said, b"hello\r\none\r\nwaited\r\ntwo\r\nwaited\r\nthree\r\n"
        )

    def test_reply_is_not_held_back(self) -> None:
        """What was said before a slow command is not kept from a peer that waits."""
        session = self.session()
        self.assertEqual(session.send(b"one\r\n"), b"one\r\n")
        self.assertEqual(session.send(b"wait\r\n"), b"")
        session.server.waiting[0].callback(None)
        self.assertEqual(session.said, b"hello\r\none\r\nwaited\r\n")

    def test_long_pipelines_do_not_grow_the_stack(self) -> None:
        """10,000 commands in one burst are all answered, plain and asynchronous."""
        for command in (b"NOOP", b"at once"):
            session = self.session()
            session.send((command + b"\r\n") * 10_000)
            self.assertEqual(session.said.count(command + b"\r\n"), 10_000)

    def test_long_pipeline_behind_a_slow_command(self) -> None:
        """What waited behind a slow command does not grow the stack, either."""
        session = self.session()
        session.send(b"wait\r\n" + b"at once\r\n" * 7_000)
        session.server.waiting[0].callback(None)
        session.pump()
        self.assertEqual(session.said.count(b"at once\r\n"), 7_000)

    def test_burst_is_paused(self) -> None:
        """1 MB behind a running command is not read: it waits in the network."""
        session = self.session()
        session.send(b"wait\r\n" + b"NOOP\r\n" * 170_000)
        self.assertFalse(session.wire.reading)
        taken = 1_020_006 - len(session.arriving)
        self.assertLessEqual(taken, session.server.limits.pipeline_bytes + BUFFER)
        session.server.waiting[0].callback(None)
        session.pump()
        self.assertEqual(session.said.count(b"NOOP\r\n"), 170_000)
        self.assertTrue(session.wire.reading)

    def test_peer_that_never_reads(self) -> None:
        """Replies nobody reads stop the commands: memory stays bounded."""
        session = self.session()
        session.wire.window = 10_000
        session.send(b"big\r\n" * 1_000)
        self.assertLess(len(session.server.ran), 6)
        self.assertFalse(session.wire.reading)
        self.assertLess(session.wire.most_unsent, 3 * BUFFER)
        session.send(b"NOOP\r\n" * 100_000)
        self.assertLess(session.wire.most_unsent, 3 * BUFFER)
        self.assertGreater(len(session.arriving), 500_000)

    def test_peer_that_reads_again(self) -> None:
        """Once it reads, all of its commands are answered, in order and complete."""
        session = self.session()
        session.wire.window = 10_000
        session.send(b"big\r\nNOOP\r\n" * 100)
        for _ in range(1_000):
            session.wire.read(9_000)
            session.pump()
        self.assertEqual(
            session.said, b"hello\r\n" + (b"x" * 40_000 + b"\r\nNOOP\r\n") * 100
        )

    def test_peer_that_never_reads_is_aborted(self) -> None:
        """A full window with nothing moving ends in an abort, not in a wait."""
        session = self.session()
        session.wire.window = 0
        session.send(b"big\r\n" * 1_000)
        session.advance(1_000, 10)
        self.assertTrue(session.wire.aborted)
        self.assertFalse(session.wire.connected)
        self.assertEqual(session.server.ended, 1)

    def test_closed_on_a_peer_that_never_reads(self) -> None:
        """A session that is over does not wait for ever for its last words to go."""
        session = self.session()
        session.wire.window = 0
        session.send(b"big\r\n" + b"err\r\n" * 3)
        self.assertTrue(session.wire.disconnecting)
        session.advance(1_000, 10)
        self.assertFalse(session.wire.connected)

    def test_abort_after_close(self) -> None:
        """`close(abort=True)` means it, also where the session is closing already."""
        session = self.session()
        session.wire.window = 0
        session.send(b"big\r\n" + b"err\r\n" * 3)
        session.server.close(abort=True)
        session.pump()
        self.assertFalse(session.wire.connected)

    def test_errors_in_a_row(self) -> None:
        """Three protocol errors in a row end the session; the rest is not run."""
        session = self.session()
        session.send(b"err\r\n" * 3 + b"NOOP\r\n")
        self.assertEqual(session.said, b"hello\r\nno\r\nno\r\nno\r\nenough\r\n")
        self.assertFalse(session.open)
        self.assertNotIn(b"NOOP", session.server.ran)

    def test_errors_in_all(self) -> None:
        """Ten protocol errors end it, whatever stands between them."""
        session = self.session()
        session.send(b"err\r\nNOOP\r\n" * 9)
        self.assertTrue(session.open)
        session.send(b"err\r\nNOOP\r\n")
        self.assertFalse(session.open)
        self.assertEqual(session.said.count(b"no\r\n"), 10)

    def test_refusals_have_a_budget_of_their_own(self) -> None:
        """Refusals are no protocol errors: hundreds are answered, not thousands."""
        session = self.session(refusals=100)
        session.send(b"refuse\r\n" * 99)
        self.assertTrue(session.open)
        session.send(b"refuse\r\n" * 10)
        self.assertEqual(session.said.count(b"refused\r\n"), 100)
        self.assertFalse(session.open)

    def test_long_line(self) -> None:
        """A line over the limit ends the session: its rest is no command."""
        for chunk in (1, 999, 100_000):
            session = self.session(line_bytes=1_000)
            session.send(b"x" * 5_000 + b"\r\nNOOP\r\n", chunk)
            self.assertEqual(session.said, b"hello\r\ntoo long\r\n")
            self.assertFalse(session.open)
            self.assertEqual(session.server.ran, [])

    def test_long_line_without_end(self) -> None:
        """A line that never ends is not gathered."""
        session = self.session(line_bytes=1_000)
        session.send(b"x" * 1_001)
        self.assertFalse(session.open)

    def test_longest_line(self) -> None:
        """A line of the limit is a line."""
        session = self.session(line_bytes=1_000)
        session.send(b"x" * 998 + b"\r\n")
        self.assertTrue(session.open)

    def test_http(self) -> None:
        """A browser's request is hung up on without a word, first line or later."""
        for verb in (
            b"GET / HTTP/1.1",
            b"POST /x HTTP/1.1",
            b"HEAD / HTTP/1.0",
            b"PUT /x HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT a:25 HTTP/1.1",
            b"DELETE / HTTP/1.1",
            b"PATCH / HTTP/1.1",
            b"TRACE / HTTP/1.1",
            b"Host: localhost:2525",
            b"post / http/1.1",
        ):
            for before in (b"", b"NOOP\r\n"):
                for chunk in (1, 7, 10_000):
                    session = self.session()
                    session.send(before + verb + b"\r\nNOOP\r\nNOOP\r\n", chunk)
                    self.assertTrue(session.wire.aborted, verb)
                    self.assertEqual(
                        session.server.ran, [b"NOOP"] if before else [], verb
                    )

    def test_tls(self) -> None:
        """A TLS hello is hung up on at once, however it is cut."""
        for hello in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x80\x2e\x01"):
            for chunk in (1, 2, 100):
                session = self.session()
                session.send(hello, chunk)
                self.assertTrue(session.wire.aborted, (hello, chunk))
                self.assertEqual(session.said, b"hello\r\n")

    def test_silent(self) -> None:
        """A peer that says nothing is told so and left."""
        session = self.session(login_seconds=120)
        session.advance(119)
        self.assertTrue(session.open)
        session.advance(2)
        self.assertEqual(session.said, b"hello\r\ntimeout\r\n")
        self.assertFalse(session.open)

    def test_slow_loris(self) -> None:
        """A byte at a time does not keep a session alive: only whole lines do."""
        session = self.session(login_seconds=120)
        for _ in range(130):
            session.send(b"x")
            session.advance(1)
        self.assertFalse(session.open)

    def test_whole_lines_keep_it_alive(self) -> None:
        """A peer that is known and works is not timed out."""
        session = self.house.collecting()
        for _ in range(5):
            session.send(b"NOOP\r\n")
            session.advance(500, 10)
        self.assertTrue(session.open)

    def test_turns(self) -> None:
        """One peer's long pipeline does not keep the others waiting to its end."""
        session = self.session()
        session.server.dataReceived(b"NOOP\r\n" * 10_000)
        self.assertLess(len(session.server.ran), 2_000)
        session.pump()
        self.assertEqual(len(session.server.ran), 10_000)

    def test_our_slowness_is_not_the_peers(self) -> None:
        """While a command of ours runs the peer is not blamed for its silence."""
        session = self.session(login_seconds=120)
        session.send(b"wait\r\n")
        session.advance(1_000, 10)
        self.assertTrue(session.open)
        session.server.waiting[0].callback(None)
        session.advance(121)
        self.assertFalse(session.open)

    def test_fault(self) -> None:
        """A fault of ours is told, logged without its value, and survived."""
        session = self.session()
        session.send(b"raise\r\nraise later\r\nNOOP\r\n")
        session.server.waiting[0].callback(None)
        self.assertEqual(session.said, b"hello\r\nfault\r\nfault\r\nNOOP\r\n")
        self.assertEqual(self.faults(), 2)
        self.assertIn("RuntimeError", self.logged())
        self.assertNotIn(HOST, self.logged())

    def test_fault_of_raw(self) -> None:
        """A fault while raw bytes are taken ends the session: its step is lost."""

        def broken(_: bytes) -> bytes:
            raise RuntimeError(HOST)

        for first in (b"", b"wait\r\n"):
            session = self.session()
            session.server.raw = None if first else broken
            session.send(first + b"xyz")
            if first:
                session.server.raw = broken
                session.server.waiting[0].callback(None)
                session.pump()
            self.assertFalse(session.open)
            self.assertTrue(session.said.endswith(b"fault\r\n"))
        self.assertEqual(self.faults(), 2)

    def test_lost_while_running(self) -> None:
        """A command that runs when the connection goes is carried to its end."""
        session = self.session()
        session.send(b"wait\r\nNOOP\r\n")
        session.drop()
        session.server.waiting[0].callback(None)
        self.assertEqual(session.server.ran, [b"wait"])
        self.assertEqual(session.server.ended, 1)
        self.assertEqual(session.clock.getDelayedCalls(), [])

    def test_lost_while_failing(self) -> None:
        """A command that fails after the connection went is logged, and no more."""
        session = self.session()
        session.send(b"raise later\r\nNOOP\r\n")
        session.drop()
        session.server.waiting[0].callback(None)
        self.assertEqual(self.faults(), 1)

    def test_lost_while_choked(self) -> None:
        """A connection that goes while the peer does not read leaves nothing."""
        session = self.session()
        session.wire.window = 0
        session.send(b"big\r\n" * 100)
        session.drop()
        self.assertEqual(session.clock.getDelayedCalls(), [])
        self.assertEqual(session.server.ended, 1)

    def test_bytes_after_the_end(self) -> None:
        """What comes after the session was closed is not run."""
        session = self.session()
        session.send(b"err\r\n" * 3)
        session.server.dataReceived(b"NOOP\r\n")
        self.assertNotIn(b"NOOP", session.server.ran)


def test_fuzz() -> None:
    """Thousands of hostile streams end in replies, and leave nothing held."""
    fuzz(1_500, 20_261_122)


class DirectWriteTest(SynchronousTestCase):
    """What is said never goes around an encryption between us and the socket."""

    class Socket:
        """As twisted.internet.tcp.Connection."""

        TLS = False

        def writeSomeData(self, data: bytes) -> int:
            """Write to the socket."""
            return len(data)

    def test_a_socket_of_its_own(self) -> None:
        """Plain TCP is written to at once."""
        self.assertIsNotNone(_direct_write(self.Socket()))

    def test_a_wrapper_is_not_passed_by(self) -> None:
        """TLS over TCP as Twisted wraps it: the socket below is not ours to write."""
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.makeConnection(self.Socket())
        self.assertIsNotNone(wrapper.writeSomeData)
        self.assertIsNone(_direct_write(wrapper))

    def test_started_tls(self) -> None:
        """After STARTTLS the transport is the same and its writes are encrypted."""
        socket = self.Socket()
        socket.TLS = True
        self.assertIsNone(_direct_write(socket))
