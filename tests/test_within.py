"""Servers within TLS: who may come in, and when they are greeted."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Limits
from postmand.link import Admitting, Pinned, new_identity, pin_of
from postmand.servers.dialogue import Dialogue
from postmand.servers.factory import DialogueFactory
from postmand.servers.within import GreetsWithin, Within
from tests.sessions import Session
from tests.test_link import End
from tests.tls_pair import TLSPair

SERVER, KNOWN, STRANGER = (new_identity() for _ in range(3))
LIMITS = evolve(Limits(), login_seconds=60.0)


class Echo(GreetsWithin):
    """Greets, and says each line back."""

    def greeting(self) -> bytes:
        """Return the first line."""
        return b"hello"

    def command(self, line: bytes) -> None:
        """Say it back."""
        self.send(line)

    def say_timeout(self) -> None:
        """Tell."""
        self.send(b"too slow")


class EchoFactory(DialogueFactory):
    """Makes them, and keeps the last."""

    made: Any = None

    def __init__(self, clock: Clock, limits: Limits = LIMITS) -> None:
        super().__init__(limits)
        self.clock = clock

    def session(self, peer: str) -> Dialogue:
        """Make one."""
        self.made = Echo(self.limits, self.clock)
        return self.made


class WithinCase(SynchronousTestCase):
    """A server that lets one key in."""

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.echo = EchoFactory(self.clock)
        self.within = self.around(self.echo)

    def around(self, echo: EchoFactory) -> Within:
        """Wrap a factory."""
        known = pin_of(KNOWN)
        return Within(Admitting(SERVER, known.__eq__), echo, self.clock)

    def pair(self, identity: bytes) -> TLSPair:
        """Let a client connect, but nothing be carried yet."""
        client = Pinned(identity, pin_of(SERVER))
        return TLSPair(client, End(), self.within, self.clock)

    def raw(self) -> Session:
        """Let somebody connect who may never begin TLS."""
        return Session(self.within, self.clock)  # type: ignore[arg-type]


class AdmissionTest(WithinCase):
    """Within."""

    def test_known(self) -> None:
        """Who shows the key is spoken with, and counted until the end."""
        pair = self.pair(KNOWN)
        pair.run()
        self.assertEqual(pair.client.heard, b"hello\r\n")
        pair.client.transport.write(b"line\r\n")
        pair.run()
        self.assertEqual(pair.client.heard, b"hello\r\nline\r\n")
        self.assertEqual(self.echo._seats._taken, 1)
        pair.client.transport.loseConnection()
        pair.run()
        self.assertEqual(self.echo._seats._taken, 0)

    def test_stranger(self) -> None:
        """Who shows another key hears nothing, and leaves no session behind."""
        pair = self.pair(STRANGER)
        pair.run()
        self.assertEqual(pair.client.heard, b"")
        self.assertIsNotNone(pair.client.reason)
        self.assertEqual(self.echo._seats._taken, 0)
        self.assertFalse(self.echo.made._begun)

    def test_too_many(self) -> None:
        """Where the factory declines there is no TLS either."""
        within = self.around(EchoFactory(self.clock, evolve(LIMITS, connections=1)))
        self.assertIsNotNone(within.buildProtocol(None))
        self.assertIsNone(within.buildProtocol(None))


class GreetingTest(WithinCase):
    """GreetsWithin."""

    def test_not_before_the_handshake(self) -> None:
        """Nothing is written before TLS stands, and the connection is read from."""
        session = self.raw()
        self.assertEqual((session.said, session.wire.reading), (b"", True))
        self.assertFalse(self.echo.made._begun)

    def test_once(self) -> None:
        """The handshake's end is when it greets, and it greets once."""
        pair = self.pair(KNOWN)
        self.assertFalse(self.echo.made._begun)
        pair.run()
        self.assertTrue(self.echo.made._begun)
        self.clock.advance(1)
        pair.run()
        self.assertEqual(pair.client.heard, b"hello\r\n")

    def test_without_tls(self) -> None:
        """In the clear there is nothing to wait for."""
        session = Session(self.echo, self.clock)
        self.assertEqual(session.said, b"hello\r\n")
        self.assertEqual(session.line(b"line"), b"line\r\n")
        session.advance(61)
        self.assertEqual(session.said, b"hello\r\nline\r\ntoo slow\r\n")
        self.assertFalse(session.open)

    def test_no_handshake(self) -> None:
        """Who begins no TLS is cut in its time, without a word."""
        session = self.raw()
        session.advance(59)
        self.assertTrue(session.open)
        session.advance(2)
        self.assertEqual((session.said, session.open), (b"", False))
        self.assertTrue(session.wire.aborted)
        self.clock.advance(0)
        self.assertEqual(self.echo._seats._taken, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_before_the_handshake(self) -> None:
        """Who goes before it leaves no session and no timer behind."""
        session = self.raw()
        session.drop()
        self.assertEqual(self.echo._seats._taken, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent_after_the_handshake(self) -> None:
        """Who shook hands is told that it was silent for too long."""
        pair = self.pair(KNOWN)
        self.clock.advance(59)
        pair.run()
        self.assertEqual(pair.client.heard, b"hello\r\n")
        self.clock.advance(59)
        pair.run()
        self.assertIsNone(pair.client.reason)
        self.clock.advance(2)
        pair.run()
        self.assertEqual(pair.client.heard, b"hello\r\ntoo slow\r\n")
        self.assertIsNotNone(pair.client.reason)
