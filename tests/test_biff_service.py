"""biff's connection as a service: made, lost, made again, ended."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from postmand.biff.events import Down, Event, Up
from postmand.biff.service import BiffService, Connection, service
from postmand.biff.settings import Settings
from postmand.config import Biff
from postmand.notice import INotice
from tests.biff_wire import Server
from tests.contracts.memory_watches import MemoryWatches


class Bot:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def happened(self, event: Event) -> None:
        """See IBot."""
        self.events.append(event)


class ConnectionTests(SynchronousTestCase):
    """The connection without its bot."""

    def setUp(self) -> None:
        """Start it."""
        self.clock = Clock()
        self.server = Server(self.clock)
        self.bot = Bot()
        self.connection = Connection(
            Settings(b"biff", (b"#mail.i2p",)), self.server, self.clock, Random(3)
        )
        self.connection.tell(self.bot)

    def pass_time(self, seconds: int) -> None:
        """Let time pass, second by second."""
        self.clock.pump([1.0] * seconds)

    def test_up(self) -> None:
        """Started, it connects; let in, its bot knows."""
        self.assertEqual(self.server.times, [])
        self.connection.startService()
        self.server.let_in()
        self.assertIsInstance(self.bot.events[-1], Up)
        self.assertTrue(self.connection.line.is_up)

    def test_lost(self) -> None:
        """A lost connection is made again, and the bot knows of both."""
        self.connection.startService()
        self.server.let_in()
        self.server.wires[-1].end()
        self.pass_time(3)
        self.assertEqual(len(self.server.wires), 2)
        self.server.let_in()
        self.assertEqual([type(one) for one in self.bot.events], [Up, Down, Up])

    def test_refused(self) -> None:
        """The waits grow to 300 seconds at most, and no two are alike."""
        self.server.refuses = True
        self.connection.startService()
        self.pass_time(4_000)
        times = self.server.times
        waits = [after - before for before, after in pairwise(times)]
        self.assertLessEqual(waits[0], 3)
        self.assertGreater(min(waits[8:]), 149)
        self.assertLessEqual(max(waits), 301)
        self.assertGreater(len(set(waits[8:])), 3)

    def test_taken_and_ended(self) -> None:
        """Who takes us and ends us at once is waited for as who refuses."""
        self.connection.startService()
        for _ in range(1_000):
            if not self.server.wires[-1].disconnected:
                self.server.say(b"ERROR :Closing link: too fast")
                self.server.wires[-1].disconnected = True
                self.server.wires[-1].end()
            self.pass_time(1)
        self.assertLess(len(self.server.times), 14)

    def test_half_open(self) -> None:
        """A link that went silent is left, and made anew."""
        self.connection.startService()
        self.server.let_in()
        self.pass_time(200)
        self.assertEqual(len(self.server.wires), 2)

    def test_stopped(self) -> None:
        """A stop says QUIT, waits for the end, and nothing comes after it."""
        self.connection.startService()
        self.server.let_in()
        self.server.wires[-1].clear()
        self.successResultOf(self.connection.stopService())
        self.assertEqual(self.server.wires[-1].value(), b"QUIT :leaving\r\n")
        self.assertIsInstance(self.bot.events[-1], Down)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_with_a_server_that_hangs(self) -> None:
        """A server that does not close is not waited for."""
        self.connection.startService()
        self.server.let_in()
        self.server.wires[-1].hangs = True
        stopped = self.connection.stopService()
        self.assertNoResult(stopped)
        self.pass_time(3)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_while_connecting(self) -> None:
        """A connection that is being made is given up."""
        self.server.is_silent = True
        self.connection.startService()
        self.successResultOf(self.connection.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_while_waiting(self) -> None:
        """Nothing is tried after a stop."""
        self.server.refuses = True
        self.connection.startService()
        self.successResultOf(self.connection.stopService())
        self.pass_time(600)
        self.assertEqual(len(self.server.times), 1)

    def test_never_started(self) -> None:
        """A stop without a start is none."""
        self.successResultOf(self.connection.stopService())


class Claims:
    """Nobody's account."""


class BiffTests(SynchronousTestCase):
    """The bot and its connection."""

    def setUp(self) -> None:
        """Wire it as a node does."""
        self.clock = Clock()
        self.server = Server(self.clock)
        self.biff = self.made()

    def made(self, **chosen: float) -> BiffService:
        """Return it as a node has it."""
        return service(
            Biff(
                login="sasl",
                password="file:biff",
                account="post",
                filtered=False,
                services_host="services.test",
                **chosen,
            ),
            self.server,
            "pässword",
            MemoryWatches(lambda _account: None, 10, 5),
            Claims(),
            reactor=self.clock,
            random=Random(3),
            wall=self.clock.seconds,
            domains=frozenset((b"mail.i2p",)),
            mail_domain=b"mail.i2p",
        )

    def test_notice(self) -> None:
        """The mail's side is told what to tell, running or not."""
        self.assertTrue(verifyObject(INotice, self.biff.notice))
        self.biff.notice.arrived([1, 2])

    def test_settings(self) -> None:
        """What [biff] says is what the session does."""
        self.biff.startService()
        self.server.say(b":irc.test CAP * LS :sasl account-tag")
        self.server.say(
            b":irc.test CAP biff ACK :sasl", b":x CAP biff ACK :account-tag"
        )
        self.server.say(b"AUTHENTICATE +")
        said = self.server.wires[-1].value()
        self.assertIn(b"CAP REQ account-tag\r\n", said)
        self.assertIn(b"AUTHENTICATE AHBvc3QAcMOkc3N3b3Jk\r\n", said)
        self.server.say(b":irc.test 904 biff :no")
        self.server.let_in()
        self.assertIn(
            "PRIVMSG NickServ@services.test :IDENTIFY post pässword\r\n".encode(),
            self.server.wires[-1].value(),
        )

    def test_silence(self) -> None:
        """How long a server may say nothing [biff] says, too."""
        self.biff = self.made(silence_seconds=10.0)
        self.biff.startService()
        self.server.let_in()
        self.clock.pump([1.0] * 13)
        self.assertEqual(len(self.server.wires), 2)

    def test_stop(self) -> None:
        """A stop ends both, and leaves no timer."""
        self.biff.startService()
        self.server.let_in()
        stopped = self.biff.stopService()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(self.server.wires[-1].value().endswith(b"QUIT :leaving\r\n"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
