"""The wire of biff's connection, and what Twisted's IRCClient would do on it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.words.protocols.irc import IRCClient

from postmand.biff.client import Client, Pulse
from postmand.biff.lines import Line

# What goes over a line at most, tags and all.
LONG = 8_191 + 1_024


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.told: list[str] = []
        self.fault: Exception | None = None

    def connected(self, client: Client) -> None:
        """See `client.Listener`."""
        self.told.append("connected")

    def heard(self, line: Line) -> None:
        """See `client.Listener`."""
        self.lines.append(line)
        if self.fault is not None:
            raise self.fault

    def answered(self) -> None:
        """See `client.Listener`."""
        self.told.append("answered")

    def lost(self) -> None:
        """See `client.Listener`."""
        self.told.append("lost")


class WireTests(SynchronousTestCase):
    """A client at the end of a wire."""

    def setUp(self) -> None:
        """Connect, and watch the log."""
        self.clock = Clock()
        self.listener = Listener()
        self.transport = StringTransport()
        self.client = Client(self.listener, self.clock, Pulse(90.0, 60.0))
        self.client.makeConnection(self.transport)
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self._log)
        self.addCleanup(globalLogPublisher.removeObserver, self._log)

    def _log(self, event: Any) -> None:
        self.logged.append(repr(event))

    def hear(self, *octets: bytes) -> list[Line]:
        """Hear these; return the lines that arrived."""
        self.listener.lines.clear()
        for piece in octets:
            self.client.dataReceived(piece)
        return list(self.listener.lines)

    def texts(self, *octets: bytes) -> list[bytes]:
        """Hear these; return the last words of the lines that arrived."""
        return [line.params[-1] for line in self.hear(*octets)]

    def said(self) -> bytes:
        """Return what was written since the last time."""
        octets: bytes = self.transport.value()
        self.transport.clear()
        return octets


class Lines(WireTests):
    """From octets to lines."""

    def test_nothing_said_first(self) -> None:
        """What is said, and when, the session knows."""
        self.assertEqual((self.said(), self.listener.told), (b"", ["connected"]))

    def test_pieces(self) -> None:
        """A line comes in any pieces, with LF or CR LF."""
        octets = b"NOTICE a :x\r\nNOTICE a :y\nNOTICE a :z\r\n"
        pieces = [octets[at : at + 1] for at in range(len(octets))]
        self.assertEqual(self.texts(*pieces), [b"x", b"y", b"z"])
        self.assertEqual(self.texts(octets), [b"x", b"y", b"z"])

    def test_not_utf_8(self) -> None:
        """An octet that is no UTF-8 comes through; to Twisted's it is the end."""
        line = b":a!u@h PRIVMSG biff :caf\xe9"
        self.assertRaises(UnicodeDecodeError, IRCClient().lineReceived, line)
        self.assertEqual(self.texts(line + b"\r\n"), [b"caf\xe9"])

    def test_no_dequoting(self) -> None:
        r"""A \x10n stays what it is; Twisted's makes a line feed of it."""
        line = b":a!u@h PRIVMSG biff :.register a@b pw\x10nDELE 1\x10r"
        (text,) = self.texts(line + b"\r\n")
        self.assertEqual(text, b".register a@b pw\x10nDELE 1\x10r")
        plain, heard = IRCClient(), []
        plain.privmsg = lambda user, channel, message: heard.append(message)
        plain.lineReceived(line)
        self.assertEqual(heard, [".register a@b pw\nDELE 1\r"])

    def test_tags(self) -> None:
        """A welcome behind tags is one; Twisted's never sees it."""
        line = b"@time=x;account=y :irc.test 001 biff :Hi"
        (heard,) = self.hear(line + b"\r\n")
        self.assertEqual((heard.code, heard.tags[b"account"]), (1, b"y"))

    def test_no_lines(self) -> None:
        """What is no line is left out, and the next one is heard."""
        self.assertEqual(
            self.texts(b"\r\n\0\r\n:x\r\n@\r\nNOTICE a :b\rc\r\nNOTICE a :x\r\n"),
            [b"x"],
        )

    def test_longest(self) -> None:
        """A line of all the tags there may be is heard."""
        line = b"@a=" + b"t" * 8_180 + b" :a!u@h NOTICE biff :x\n"
        self.assertEqual(self.texts(line), [b"x"])

    def test_too_long(self) -> None:
        """A longer one is left out whole, wherever it is cut, and the next is heard."""
        line = b"NOTICE a :" + b"x" * (LONG + 1) + b" NOTICE a :y"
        self.assertEqual(self.texts(line + b"\nNOTICE a :z\n"), [b"z"])
        for cut in (LONG, LONG + 12, len(line)):
            self.assertEqual(
                self.texts(line[:cut], line[cut:] + b"\nNOTICE a :z\n"), [b"z"]
            )

    def test_endless(self) -> None:
        """A line without end takes no memory."""
        for _ in range(100):
            self.hear(b"x" * 4_096)
        self.assertLessEqual(len(self.client._rest), LONG)
        self.assertEqual(self.texts(b"\nNOTICE a :z\n"), [b"z"])

    def test_fault_of_ours(self) -> None:
        """A line the session stumbles over ends neither the link nor what follows."""
        self.listener.fault = ValueError("quotes alice@mail.i2p")
        self.assertEqual(self.texts(b"NOTICE a :x\nNOTICE a :y\n"), [b"x", b"y"])
        self.assertFalse(self.transport.disconnecting)
        self.assertNotIn("alice", "".join(self.logged))
        self.assertEqual(len(self.logged), 2)

    def test_nothing_heard_after_the_end(self) -> None:
        """Lines behind the one that made us leave mean nothing any more."""
        self.client.quit("leaving")
        self.assertEqual(self.hear(b"PING x\nNOTICE a :x\n"), [])
        self.assertEqual(self.said(), b"QUIT :leaving\r\n")

    def test_lost(self) -> None:
        """The session is told, and no timer is left."""
        self.clock.advance(90)
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.listener.told, ["connected", "lost"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @pytest.mark.long
    @given(st.lists(st.binary(max_size=80), max_size=20))
    @settings(max_examples=200)
    def test_any_octets(self, pieces: list[bytes]) -> None:
        """No octets whatever raise, close, are answered but by PONG, or are logged."""
        self.said()
        self.logged.clear()
        self.hear(*pieces, b"\n")
        answers = self.said().split(b"\r\n")
        self.assertTrue(all(one.startswith(b"PONG") for one in answers if one))
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.logged, [])


class Silence(WireTests):
    """What Twisted's would answer, and this one does not."""

    CTCP = ("VERSION", "TIME", "PING 1", "SOURCE", "CLIENTINFO", "FINGER", "ERRMSG x")

    def test_ctcp(self) -> None:
        """Nobody learns our clock or our software, or makes us talk."""
        for query in self.CTCP:
            octets = b":a!u@h PRIVMSG biff :\x01%s\x01\r\n" % query.encode()
            self.hear(octets, octets.replace(b"PRIVMSG", b"NOTICE"))
        self.assertEqual(self.said(), b"")

    def test_twisted_answers_ctcp(self) -> None:
        """The test above has something to find."""
        plain, transport = IRCClient(), StringTransport()
        plain.performLogin = 0
        plain.makeConnection(transport)
        for query in ("TIME", "CLIENTINFO"):
            plain.dataReceived(b":a!u@h PRIVMSG biff :\x01%s\x01\n" % query.encode())
        self.assertEqual(transport.value().count(b"NOTICE a"), 2)

    def test_none_of_twisteds_commands(self) -> None:
        """No command of a server reaches what Twisted's class does with it."""
        names = [name[4:] for name in dir(IRCClient) if name.startswith("irc_")]
        self.assertIn("NICK", names)
        for name in names:
            self.hear(f":irc.test {name} biff x y :z\r\n".encode())
        self.client.handleCommand("PING", "irc.test", ["x"])
        self.assertEqual(self.said(), b"PONG :z\r\n".replace(b":", b""))

    def test_empty_notice(self) -> None:
        """An empty NOTICE is one; Twisted's stumbles and logs it."""
        self.assertEqual(self.texts(b":a!u@h NOTICE biff :\r\n"), [b""])
        self.assertEqual(self.logged, [])

    def test_broken_lines_are_not_logged(self) -> None:
        """Twisted's logs what it can not read, whatever secret is in it."""
        self.hear(b":a!u@h \r\n", b":a!u@h PRIVMSG biff :\x01secret\r\n", b"\xff x\r\n")
        self.client.badMessage("secret", ValueError, ValueError(), None)
        self.client.quirkyMessage("secret")
        self.assertEqual(self.logged, [])


class Saying(WireTests):
    """From words to octets."""

    def test_at_once(self) -> None:
        """What is said is on the wire when the call returns."""
        self.client.say(b"NOTICE", b"alice", b"You have new mail")
        self.assertEqual(self.said(), b"NOTICE alice :You have new mail\r\n")

    def test_pong(self) -> None:
        """A PING is answered with its word, before anything else is heard."""
        self.hear(b"PING :irc test\r\n", b":irc.test PING a b\n", b"PING\n")
        self.assertEqual(self.said(), b"PONG :irc test\r\nPONG b\r\n")

    def test_long_ping(self) -> None:
        """A word that no PONG has room for is answered as far as it goes."""
        self.hear(b"PING :" + b"x" * 600 + b"\n")
        self.assertEqual(self.said(), b"PONG " + b"x" * 400 + b"\r\n")

    def test_over(self) -> None:
        """Once it is over nothing is said, and nothing raised."""
        self.client.quit("leaving")
        self.said()
        self.client.say(b"NOTICE", b"alice", b"x")
        self.client.close()
        self.assertEqual(self.said(), b"")
        self.assertTrue(self.transport.disconnecting)

    def test_who_does_not_read(self) -> None:
        """While the server does not take our answers we do not take its lines."""
        self.assertIs(self.transport.producer, self.client)
        self.client.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.client.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_quit_is_flushed(self) -> None:
        """With a producer registered the transport would never close."""
        self.client.quit("leaving")
        self.assertIsNone(self.transport.producer)


class PulseOfTheLink(WireTests):
    """A link that nobody is at the other end of."""

    def test_asked(self) -> None:
        """The server is asked now and then, not at once."""
        self.clock.advance(89)
        self.assertEqual(self.said(), b"")
        self.clock.advance(1)
        self.assertEqual(self.said(), b"PING biff\r\n")

    def test_answered(self) -> None:
        """Who answers stays."""
        for _ in range(10):
            self.clock.pump([30, 30, 30])
            self.assertEqual(self.said(), b"PING biff\r\n")
            self.hear(b":irc.test PONG irc.test :biff\r\n")
        self.assertFalse(self.transport.disconnected)

    def test_asked_lately(self) -> None:
        """Who has answered a question of the bot's is not asked again at once."""
        self.clock.advance(60)
        self.assertTrue(self.client.probe())
        self.assertFalse(self.client.probe())
        self.hear(b":irc.test PONG irc.test :biff\r\n")
        self.assertEqual(self.said(), b"PING biff\r\n")
        self.clock.advance(30)
        self.assertEqual(self.said(), b"")
        self.clock.advance(59)
        self.assertEqual(self.said(), b"")
        self.clock.advance(1)
        self.assertEqual(self.said(), b"PING biff\r\n")
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnecting)
        # 150 s after its last answer, as if nobody else had asked.
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)

    def test_rewritten(self) -> None:
        """A tunnel may put its own words into a PONG."""
        self.clock.advance(90)
        self.hear(b"PONG 127.0.0.1\r\n", b"PONG biff\r\n")
        self.assertEqual(self.listener.told, ["connected", "answered"])
        self.clock.advance(60)
        self.assertFalse(self.transport.disconnecting)

    def test_answered_by_a_user(self) -> None:
        """On some servers a user may say PONG to us: that is no answer."""
        self.clock.advance(90)
        self.hear(b":eve PONG eve biff\r\n", b":eve!u@h PONG irc.test :biff\r\n")
        self.assertEqual(self.listener.told, ["connected"])
        self.hear(b":irc.test PONG irc.test :biff\r\n")
        self.assertEqual(self.listener.told, ["connected", "answered"])

    def test_a_server_with_the_name_of_a_nick(self) -> None:
        """It is known by its welcome."""
        self.hear(b":localhost 001 biff :Welcome\r\n")
        self.clock.advance(90)
        self.hear(b":localhost!u@h PONG x\r\n", b":eve PONG x\r\n")
        self.assertEqual(self.listener.told, ["connected"])
        self.hear(b":localhost PONG localhost :biff\r\n")
        self.assertEqual(self.listener.told, ["connected", "answered"])

    def test_unanswered(self) -> None:
        """Who does not answer in time is left, though other lines come."""
        self.clock.advance(90)
        self.hear(b":a!u@h NOTICE biff :x\r\n")
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)

    def test_one_at_a_time(self) -> None:
        """No second PING goes out while the first waits."""
        client = Client(Listener(), self.clock, Pulse(10.0, 25.0))
        transport = StringTransport()
        client.makeConnection(transport)
        self.clock.pump([10, 10])
        self.assertEqual(transport.value(), b"PING biff\r\n")
