"""biff's session: from the connection to the channel, and whatever comes between."""

from __future__ import annotations

import base64
from itertools import pairwise
from random import Random
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
from zope.interface.verify import verifyObject

from postmand.biff.casemap import CaseMapping
from postmand.biff.client import Client, Pulse
from postmand.biff.events import (
    Account,
    Down,
    Event,
    ILine,
    Joined,
    Kicked,
    Noticed,
    Numeric,
    Parted,
    Quit,
    Renamed,
    Said,
    Source,
    Up,
)
from postmand.biff.lines import LineError
from postmand.biff.session import Session
from postmand.biff.settings import Settings

OFFERS = b"account-notify account-tag extended-join server-time message-tags sasl=PLAIN"
HOST = b"services.test"
PASSWORD = b"hunter2"
BIFF = b":biff!biff@h "
NICKSERV = b":NickServ!s@services.test NOTICE biff :"


class Bot:
    """Keeps what it is told; fails when it is to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fault: Exception | None = None

    def happened(self, event: Event) -> None:
        """See IBot."""
        self.events.append(event)
        if self.fault is not None:
            raise self.fault


class SessionTests(SynchronousTestCase):
    """A session, and the server's part played by the test."""

    def setUp(self) -> None:
        """Watch the log."""
        self.clock = Clock()
        self.bot = Bot()
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def begin(self, **chosen: Any) -> None:
        """Connect with these settings; what is said first is taken off."""
        chosen = {"nick": b"biff", "channels": (b"#mail.i2p",), **chosen}
        if chosen.get("login", "none") != "none":
            chosen.setdefault("password", lambda: PASSWORD)
        self.session = Session(Settings(**chosen), self.clock, Random(5))
        self.session.bot = self.bot
        self.connect()

    def connect(self) -> None:
        """Connect (anew)."""
        self.transport = StringTransport()
        # Pulses are the wire's; here they would only be in the way.
        self.client = Client(self.session, self.clock, Pulse(1e9, 1e9))
        self.client.makeConnection(self.transport)
        nick = self.session.settings.nick
        self.assertEqual(
            self.said(), [b"CAP LS 302", b"NICK " + nick, b"USER biff 0 * :" + nick]
        )

    def disconnect(self) -> None:
        """Lose the connection."""
        self.client.connectionLost(Failure(ConnectionDone()))

    def said(self) -> list[bytes]:
        """Return the lines written since the last time."""
        octets = self.transport.value()
        self.transport.clear()
        self.assertTrue(octets.endswith(b"\r\n") or not octets)
        return octets.split(b"\r\n")[:-1]

    def hear(self, *lines: bytes) -> list[bytes]:
        """Hear these lines; return what was said to them."""
        self.client.dataReceived(b"".join(line + b"\r\n" for line in lines))
        return self.said()

    def after(self, seconds: float) -> list[bytes]:
        """Let time pass; return what was said meanwhile."""
        self.clock.advance(seconds)
        return self.said()

    def told(self) -> list[Event]:
        """Return what the bot was told since the last time."""
        events, self.bot.events = self.bot.events, []
        return events

    def welcome(self, nick: bytes = b"biff", *features: bytes) -> list[bytes]:
        """Welcome it under this nick; return what it says at the end of the MOTD."""
        five = b" ".join((b"CASEMAPPING=ascii", *features))
        return self.hear(
            b":irc.test 001 %s :Welcome" % nick,
            b":irc.test 005 %s %s :are supported" % (nick, five),
            b":irc.test 376 %s :End" % nick,
        )

    def rise(self, **chosen: Any) -> None:
        """Be up, without capabilities."""
        self.begin(**chosen)
        self.assertEqual(self.hear(b":irc.test CAP * LS :"), [b"CAP END"])
        self.assertEqual(self.welcome(), [b"JOIN #mail.i2p"])
        self.hear(BIFF + b"JOIN #mail.i2p")
        self.assertTrue(self.session.is_up)
        self.told()


class Capabilities(SessionTests):
    """CAP: what is asked for, and what of it is had."""

    def test_filtered(self) -> None:
        """Behind the I2P tunnel nothing is asked for that would make us deaf."""
        self.begin()
        said = self.hear(b":irc.test CAP * LS :" + OFFERS)
        self.assertEqual(said, [b"CAP REQ extended-join"])
        self.assertEqual(
            self.hear(b":irc.test CAP biff ACK :extended-join "), [b"CAP END"]
        )

    def test_unfiltered(self) -> None:
        """Elsewhere whatever tells who is logged in is asked for, and no more."""
        self.begin(filtered=False)
        said = self.hear(b":irc.test CAP * LS :" + OFFERS)
        self.assertEqual(
            said,
            [
                b"CAP REQ extended-join",
                b"CAP REQ account-notify",
                b"CAP REQ account-tag",
            ],
        )

    def test_several_lines(self) -> None:
        """Offers may take several lines; what is in the first is asked for, too."""
        self.begin()
        self.assertEqual(self.hear(b":irc.test CAP * LS * :extended-join"), [])
        said = self.hear(b":irc.test CAP * LS :batch")
        self.assertEqual(said, [b"CAP REQ extended-join"])

    def test_refused(self) -> None:
        """What is offered and then refused is done without, the rest is had."""
        self.begin(filtered=False)
        self.hear(b":irc.test CAP * LS :" + OFFERS)
        said = self.hear(
            b":irc.test CAP biff ACK :extended-join",
            b":irc.test CAP biff NAK :account-notify",
            b":irc.test CAP biff ACK :account-tag",
        )
        self.assertEqual(said, [b"CAP END"])
        self.welcome(b"biff", b"WHOX")
        self.hear(BIFF + b"JOIN #mail.i2p biff :x")
        (up,) = self.told()
        self.assertEqual(
            up,
            Up(b"biff", CaseMapping.ASCII, True, True, False, True, (b"#mail.i2p",)),
        )

    def test_not_asked_for(self) -> None:
        """What is granted without being asked for is not relied on."""
        self.begin()
        self.hear(
            b":irc.test CAP * LS :",
            b":irc.test CAP * ACK :account-tag",
        )
        self.welcome()
        self.hear(BIFF + b"JOIN #mail.i2p")
        (up,) = self.told()
        self.assertFalse(up.account_tag)

    def test_unknown(self) -> None:
        """A server that knows no CAP is registered with all the same."""
        self.begin()
        self.hear(b":irc.test 421 * CAP :Unknown command")
        self.assertEqual(self.welcome(), [b"JOIN #mail.i2p"])

    def test_ignored(self) -> None:
        """Of a server that does not care for CAP the welcome comes first."""
        self.begin()
        self.assertEqual(self.welcome(), [b"JOIN #mail.i2p"])

    def test_silence(self) -> None:
        """A server that leaves it open is not waited for."""
        self.begin()
        self.hear(b":irc.test CAP * LS :extended-join")
        self.assertEqual(self.after(60), [b"CAP END"])

    def test_lost_while_up(self) -> None:
        """When a capability goes away the bot forgets what it knew by it."""
        self.begin(filtered=False)
        self.hear(b":irc.test CAP * LS :account-tag")
        self.hear(b":irc.test CAP biff ACK :account-tag")
        self.welcome()
        self.hear(BIFF + b"JOIN #mail.i2p")
        (up,) = self.told()
        self.assertTrue(up.account_tag)
        self.hear(b":irc.test CAP biff DEL :account-tag")
        down, up = self.told()
        self.assertEqual((down, up.account_tag), (Down(), False))
        self.hear(b"@account=eve :a!u@h PRIVMSG biff :x")
        (said,) = self.told()
        self.assertEqual((said.account, said.tagged), (None, False))


class Sasl(SessionTests):
    """Logging in before the welcome."""

    def offer(self, mechanisms: bytes = b"PLAIN", **chosen: Any) -> list[bytes]:
        """Grant SASL; return what is said to that."""
        self.begin(login="sasl", **chosen)
        said = self.hear(b":irc.test CAP * LS :sasl=" + mechanisms)
        self.assertEqual(said, [b"CAP REQ sasl"])
        return self.hear(b":irc.test CAP biff ACK :sasl")

    def test_success(self) -> None:
        """PLAIN is the account and the password; then the negotiation ends."""
        self.assertEqual(self.offer(account=b"post"), [b"AUTHENTICATE PLAIN"])
        (said,) = self.hear(b"AUTHENTICATE :+")
        text = said.removeprefix(b"AUTHENTICATE ")
        self.assertEqual(base64.b64decode(text), b"\0post\0" + PASSWORD)
        said = self.hear(
            b":irc.test 900 biff x!y@z post :in", b":irc.test 903 biff :ok"
        )
        self.assertEqual(said, [b"CAP END"])
        self.assertEqual(self.welcome(), [b"JOIN #mail.i2p"])

    def test_long(self) -> None:
        """A long password goes in pieces of 400, and a full last one needs an end."""
        for octets, lengths in ((600, [400, 400, 8]), (294, [400, 1])):
            self.offer(password=lambda octets=octets: b"p" * octets)
            said = self.hear(b"AUTHENTICATE +")
            sizes = [len(line.removeprefix(b"AUTHENTICATE ")) for line in said]
            self.assertEqual(sizes, lengths)
            self.disconnect()
        self.assertEqual(said[-1], b"AUTHENTICATE +")

    def test_failures(self) -> None:
        """Every way to fail goes on; NickServ is asked then, in a form that is sure."""
        for code in (902, 904, 905, 906, 907):
            self.offer(services_host=HOST)
            self.hear(b"AUTHENTICATE +")
            said = self.hear(
                b":irc.test 908 biff PLAIN :are available",
                b":irc.test %d biff :no" % code,
            )
            self.assertEqual(said, [b"CAP END"])
            self.assertEqual(
                self.welcome(),
                [b"PRIVMSG NickServ@services.test :IDENTIFY biff " + PASSWORD],
            )
            self.disconnect()

    def test_not_offered(self) -> None:
        """With services down there is no SASL: nothing is waited for."""
        self.begin(login="sasl", services_host=HOST)
        self.assertEqual(self.hear(b":irc.test CAP * LS :batch"), [b"CAP END"])

    def test_refused(self) -> None:
        """It may be refused though it was offered."""
        self.begin(login="sasl")
        self.hear(b":irc.test CAP * LS :sasl")
        self.assertEqual(self.hear(b":irc.test CAP biff NAK :sasl"), [b"CAP END"])

    def test_no_plain(self) -> None:
        """A server that has no PLAIN is not told the password."""
        self.assertEqual(self.offer(b"EXTERNAL,SCRAM-SHA-256"), [b"CAP END"])

    def test_silence(self) -> None:
        """Services that never answer are given up."""
        self.offer()
        self.assertEqual(self.after(60), [b"AUTHENTICATE *", b"CAP END"])

    def test_asked_twice(self) -> None:
        """Asked again for the password, it is not shown again."""
        self.offer()
        self.hear(b"AUTHENTICATE +")
        said = self.hear(b"AUTHENTICATE +")
        self.assertEqual(said, [b"AUTHENTICATE *", b"CAP END"])

    def test_no_password(self) -> None:
        """A password that can not be had is no reason to stay away."""

        def gone() -> bytes:
            raise OSError("/secret/place")

        for password in (gone, lambda: b"x\0y", lambda: b""):
            self.offer(password=password)
            said = self.hear(b"AUTHENTICATE +")
            self.assertEqual(said, [b"AUTHENTICATE *", b"CAP END"])
            self.disconnect()
        self.assertNotIn("/secret/place", repr(self.logged))

    def test_not_wanted(self) -> None:
        """Without a login nobody is asked for SASL."""
        self.begin()
        self.assertEqual(self.hear(b":irc.test CAP * LS :sasl"), [b"CAP END"])


class NickServ(SessionTests):
    """Logging in after the welcome; the password goes to services or to nobody."""

    SURE = b"PRIVMSG NickServ@services.test :IDENTIFY biff " + PASSWORD

    def identify(self, **chosen: Any) -> list[bytes]:
        """Be welcomed; return what is said then."""
        self.begin(login="nickserv", **chosen)
        self.hear(b":irc.test CAP * LS :sasl")
        return self.welcome()

    def test_success(self) -> None:
        """The server's own word tells that it worked."""
        self.assertEqual(self.identify(services_host=HOST), [self.SURE])
        said = self.hear(b":irc.test 900 biff x!y@z biff :You are now logged in")
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_success_by_whois(self) -> None:
        """Where no 900 comes, WHOIS tells, and is asked after every word."""
        self.identify(services_host=HOST)
        said = self.hear(NICKSERV + b"This nick is registered", NICKSERV + b"Log in")
        self.assertEqual(said, [b"WHOIS biff"])
        said = self.hear(b":irc.test 318 biff biff :End")
        self.assertEqual(said, [b"WHOIS biff"])
        self.hear(NICKSERV + b"Password accepted")
        said = self.hear(b":irc.test 318 biff biff :End")
        self.assertEqual(said, [b"WHOIS biff"])
        said = self.hear(b":irc.test 330 biff Biff biff :is logged in as")
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_another_is_logged_in(self) -> None:
        """A reply about somebody else says nothing about us."""
        self.identify(services_host=HOST)
        self.hear(NICKSERV + b"x")
        self.assertEqual(self.hear(b":irc.test 330 biff eve eve :is logged in as"), [])

    def test_next_form(self) -> None:
        """A server that does not take one form gets the next, then nothing."""
        self.identify(services_host=HOST, filtered=False)
        said = self.hear(b":irc.test 401 biff NickServ@services.test :No such nick")
        self.assertEqual(said, [b"SQUERY NickServ :IDENTIFY biff " + PASSWORD])
        said = self.hear(b":irc.test 421 biff SQUERY :Unknown command")
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_services_server_is_missing(self) -> None:
        """ircd-hybrid tells of the server that is not there, not of NickServ."""
        self.identify(services_host=HOST)
        said = self.hear(b":irc.test 402 biff services.test :No such server")
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_no_host_known(self) -> None:
        """Without the services' host: forms that the server itself hands over."""
        said = self.identify(filtered=False)
        self.assertEqual(said, [b"SQUERY NickServ :IDENTIFY biff " + PASSWORD])
        said = self.hear(b":irc.test 408 biff NickServ :No such service")
        self.assertEqual(said, [b"NICKSERV IDENTIFY biff " + PASSWORD])
        said = self.hear(b":irc.test 408 biff NickServ :is currently unavailable")
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_never_to_a_nick(self) -> None:
        """In no case is the password said to whoever is called NickServ."""
        for chosen in ({}, {"services_host": HOST}, {"filtered": False}):
            said = self.identify(**chosen)
            for _ in range(4):
                self.assertNotIn(b"PRIVMSG NickServ :", b"\n".join(said))
                said = self.hear(
                    b":irc.test 401 biff NickServ :No such nick",
                    b":irc.test 421 biff SQUERY :Unknown",
                    b":irc.test 421 biff NICKSERV :Unknown",
                )
            self.disconnect()

    def test_another_nick_is_missing(self) -> None:
        """That some nick does not exist says nothing about NickServ."""
        self.identify(services_host=HOST)
        self.assertEqual(self.hear(b":irc.test 401 biff eve :No such nick"), [])

    def test_silence(self) -> None:
        """Services that say nothing are not waited for."""
        self.identify(services_host=HOST)
        self.assertEqual(self.after(30), [b"JOIN #mail.i2p"])

    def test_wrong_password(self) -> None:
        """It goes on without, tries twice more, and tells the operator once."""
        self.identify(services_host=HOST)
        self.hear(NICKSERV + b"Password incorrect", b":irc.test 318 biff biff :End")
        self.after(30)
        self.hear(BIFF + b"JOIN #mail.i2p")
        tries = 0
        for _ in range(400):
            for line in self.after(10):
                if b"IDENTIFY" in line:
                    tries += 1
                    self.hear(NICKSERV + b"Password incorrect")
        self.assertEqual(tries, 2)
        told = [one for one in self.logged if "did not log" in repr(one)]
        self.assertEqual(len(told), 1)
        self.assertNotIn(PASSWORD.decode(), repr(self.logged))

    def test_no_name(self) -> None:
        """What is no nick is not taken for ours, in the welcome or later."""
        self.identify(services_host=HOST)
        for name in (b"n" * 600, b"", b"a b", b"#x"):
            self.hear(BIFF + b"NICK :" + name, b":irc.test 001 %b :Hi" % name)
        said = self.hear(NICKSERV + b"You are now identified")
        self.assertEqual(said, [b"WHOIS biff"])

    def test_refused_by_an_impostor(self) -> None:
        """Who has NickServ's nick while it is away does not make us give up."""
        self.identify(services_host=HOST)
        self.after(30)
        self.hear(BIFF + b"JOIN #mail.i2p")
        tries = 0
        for _ in range(400):
            for line in self.after(10):
                if b"IDENTIFY" in line:
                    tries += 1
                    self.hear(b":NickServ!u@elsewhere NOTICE biff :Password incorrect")
        self.assertGreater(tries, 3)
        self.assertEqual([one for one in self.logged if "did not" in repr(one)], [])

    def test_services_come_back(self) -> None:
        """Services that were away are asked again, and then no more."""
        self.identify(services_host=HOST)
        self.hear(b":irc.test 401 biff NickServ@services.test :No such nick")
        self.hear(BIFF + b"JOIN #mail.i2p")
        said = [line for _ in range(60) for line in self.after(10)]
        self.assertIn(self.SURE, said)
        self.hear(b":irc.test 900 biff x!y@z biff :You are now logged in")
        said = [line for _ in range(60) for line in self.after(10)]
        self.assertEqual(said, [])

    def test_logged_out(self) -> None:
        """Services that forgot us are told again."""
        self.identify(services_host=HOST)
        self.hear(b":irc.test 900 biff x!y@z biff :You are now logged in")
        self.hear(BIFF + b"JOIN #mail.i2p")
        self.hear(b":irc.test 901 biff x!y@z :You are now logged out")
        self.assertEqual(self.after(10), [self.SURE])

    def test_services_say_that_they_are_back(self) -> None:
        """A server that offers SASL again has services: they are asked soon."""
        self.begin(login="sasl", services_host=HOST)
        self.hear(b":irc.test CAP * LS :batch")
        self.welcome()
        self.hear(b":irc.test 401 biff NickServ@services.test :No such nick")
        self.hear(BIFF + b"JOIN #mail.i2p")
        for _ in range(90):
            self.after(10)
            self.hear(b":irc.test 401 biff NickServ@services.test :No such nick")
        said = self.hear(b":irc.test CAP biff NEW :sasl")
        self.assertEqual(said, [b"CAP REQ sasl"])
        self.session.backoff.reset()
        self.hear(b":irc.test CAP biff NEW :sasl")
        self.assertEqual(self.after(4), [self.SURE])

    def test_no_password(self) -> None:
        """A password that can not be had is asked for thrice, and never quoted."""
        asked = []

        def gone() -> bytes:
            asked.append(1)
            raise OSError("/secret/place")

        said = self.identify(services_host=HOST, password=gone)
        self.assertEqual(said, [b"JOIN #mail.i2p"])
        self.hear(BIFF + b"JOIN #mail.i2p")
        for _ in range(100):
            self.assertEqual(self.after(10), [])
        self.assertEqual(len(asked), 3)
        self.assertNotIn("/secret/place", repr(self.logged))

    def test_unsayable_password(self) -> None:
        """A password with a line feed is not said, and nothing of it."""
        said = self.identify(services_host=HOST, password=lambda: b"x\nQUIT")
        self.assertEqual(said, [b"JOIN #mail.i2p"])


class Nicks(SessionTests):
    """Our nick, as the server has it, and who else has it."""

    def taken(self, code: bytes = b"433", **chosen: Any) -> bytes:
        """Find the nick taken; return the one that is asked for instead."""
        self.begin(**chosen)
        (said,) = self.hear(b":irc.test %s * biff :No" % code)
        self.hear(b":irc.test CAP * LS :")
        nick = said.removeprefix(b"NICK ")
        self.assertRegex(nick, rb"^biff\d\d\d$")
        return nick

    def test_welcomed_under_another(self) -> None:
        """Our nick is what the welcome says, not what we asked for."""
        self.begin(nick=b"biff", channels=(b"#mail.i2p",))
        self.hear(b":irc.test CAP * LS :")
        self.welcome(b"bif")
        self.after(30)
        self.hear(b":bif!b@h JOIN #mail.i2p")
        self.assertEqual(self.session.nick, b"bif")

    def test_every_refusal(self) -> None:
        """In use, erroneous, collided, held: another one is asked for."""
        for code in (b"432", b"433", b"436", b"437"):
            self.taken(code)
            self.disconnect()

    def test_none_left(self) -> None:
        """A server that refuses all is left."""
        self.begin()
        for _ in range(10):
            self.assertEqual(len(self.hear(b":irc.test 433 * x :No")), 1)
        self.assertEqual(self.hear(b":irc.test 433 * x :No"), [])
        self.assertTrue(self.transport.disconnecting)

    def test_without_services(self) -> None:
        """The nick is simply asked for again, before anybody sees us."""
        nick = self.taken()
        self.assertEqual(self.welcome(nick), [b"NICK biff"])
        said = self.hear(b":%s!b@h NICK :biff" % nick)
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def log_in(self) -> bytes:
        """Be logged in under another nick; return it."""
        nick = self.taken(login="nickserv", services_host=HOST)
        (said,) = self.welcome(nick)
        self.assertEqual(said, NickServ.SURE)
        said = self.hear(b":irc.test 900 %s x!y@z biff :in" % nick)
        self.assertEqual(said, [b"PRIVMSG NickServ@services.test :RECOVER biff"])
        return nick

    def test_anope(self) -> None:
        """RECOVER gives it back at once."""
        nick = self.log_in()
        said = self.hear(b":%s!b@h NICK :biff" % nick)
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_atheme(self) -> None:
        """RECOVER is unknown; GHOST, and then the nick is free."""
        nick = self.log_in()
        answer = NICKSERV.replace(b"biff", nick)
        said = self.hear(answer + b"Invalid command.")
        self.assertEqual(said, [b"PRIVMSG NickServ@services.test :GHOST biff"])
        said = self.hear(answer + b"biff has been ghosted.")
        self.assertEqual(
            said, [b"PRIVMSG NickServ@services.test :RELEASE biff", b"NICK biff"]
        )
        self.assertEqual(self.hear(answer + b"biff is not held."), [])
        said = self.hear(b":%s!b@h NICK :biff" % nick)
        self.assertEqual(said, [b"JOIN #mail.i2p"])

    def test_services_go_away(self) -> None:
        """Services that vanish meanwhile: the nick is taken if it is free."""
        self.log_in()
        said = self.hear(b":irc.test 401 x NickServ@services.test :No such nick")
        self.assertEqual(said, [b"NICK biff"])

    def test_never_given_back(self) -> None:
        """We come in under another nick, and ask now and then until it is ours."""
        nick = self.taken()
        self.welcome(nick)
        self.hear(b":irc.test 433 %s biff :in use" % nick)
        self.assertEqual(self.after(30), [b"JOIN #mail.i2p"])
        self.hear(b":%s!b@h JOIN #mail.i2p" % nick)
        asked = [line for _ in range(360) for line in self.after(10)]
        self.assertEqual(set(asked), {b"NICK biff"})
        self.assertGreater(len(asked), 10)
        self.assertLess(len(asked), 25)

    def test_services_hang(self) -> None:
        """A login that is never answered does not keep us from our nick."""
        nick = self.taken(login="nickserv", services_host=HOST)
        self.welcome(nick)
        self.after(30)
        self.after(30)
        self.hear(b":%s!b@h JOIN #mail.i2p" % nick)
        asked = [line for _ in range(100) for line in self.after(10)]
        self.assertIn(b"NICK biff", asked)
        self.assertIn(NickServ.SURE, asked)

    def test_freed(self) -> None:
        """When its holder goes we take it at once."""
        nick = self.taken()
        self.welcome(nick)
        self.after(30)
        self.hear(b":%s!b@h JOIN #mail.i2p" % nick)
        self.assertEqual(self.hear(b":Biff!x@y QUIT :bye"), [b"NICK biff"])
        self.assertEqual(self.hear(b":eve!x@y QUIT :bye"), [])

    def test_freed_again_and_again(self) -> None:
        """Who takes the nick and leaves it, all the time, does not make us flood."""
        nick = self.taken()
        self.welcome(nick)
        self.after(30)
        self.hear(b":%s!b@h JOIN #mail.i2p" % nick)
        asked = []
        for _ in range(200):
            asked += self.hear(b":biff!x@y NICK eve", b":eve!x@y NICK biff")
            asked += self.after(0.25)
        self.assertEqual(set(asked), {b"NICK biff"})
        self.assertGreater(len(asked), 9)
        self.assertLess(len(asked), 22)

    def test_freed_soon_after(self) -> None:
        """One that is freed just after we asked for it is ours a little later."""
        nick = self.taken()
        self.welcome(nick)
        self.after(30)
        self.hear(b":%s!b@h JOIN #mail.i2p" % nick)
        self.hear(b":biff!x@y NICK eve")
        self.assertEqual(self.hear(b":biff!x@y QUIT :bye"), [])
        self.assertEqual(self.after(5), [b"NICK biff"])

    def test_stolen(self) -> None:
        """Renamed by force, we know our name, tell the bot, and want it back."""
        self.rise()
        self.assertEqual(self.hear(BIFF + b"NICK :Guest7"), [])
        self.assertEqual(self.told(), [Renamed(b"biff", b"Guest7")])
        self.assertEqual(self.session.nick, b"Guest7")
        self.assertEqual(self.after(10), [b"NICK biff"])

    def test_case(self) -> None:
        """Our own nick is ours in any case, by the server's mapping."""
        self.begin(nick=b"biff[]")
        self.hear(b":irc.test CAP * LS :", b":irc.test 001 BIFF[] :Hi")
        self.hear(b":irc.test 005 BIFF[] CASEMAPPING=rfc1459 :x")
        self.assertEqual(self.hear(b":irc.test 376 x :x"), [b"JOIN #mail.i2p"])
        self.hear(b":Biff{}!b@h JOIN #MAIL.I2P")
        self.assertTrue(self.session.is_up)


class Channels(SessionTests):
    """Coming in, being thrown out, coming back."""

    def test_refused(self) -> None:
        """A channel that does not let us in is asked for again, less and less."""
        self.begin()
        self.hear(b":irc.test CAP * LS :")
        self.welcome()
        asked = []
        for second in range(3_600):
            if self.after(1):
                asked.append(second)
                self.hear(b":irc.test 474 biff #mail.i2p :banned")
        gaps = [after - before for before, after in pairwise(asked)]
        self.assertGreater(min(gaps), 55)
        self.assertLess(max(gaps), 365)
        self.assertFalse(self.session.is_up)
        self.assertEqual(self.told(), [])

    def test_another_channel(self) -> None:
        """A channel that we never asked for does not make us be up."""
        self.begin()
        self.hear(b":irc.test CAP * LS :")
        self.welcome()
        self.hear(BIFF + b"JOIN #elsewhere")
        self.assertFalse(self.session.is_up)

    def test_two(self) -> None:
        """The first makes us be up, the second is told as it comes."""
        self.begin(channels=(b"#a", b"#b"))
        self.hear(b":irc.test CAP * LS :")
        self.assertEqual(self.welcome(), [b"JOIN #a,#b"])
        self.hear(BIFF + b"JOIN #a", BIFF + b"JOIN #b")
        up, joined = self.told()
        self.assertEqual((up.channels, joined), ((b"#a",), Joined(b"#b", b"biff")))

    def test_many(self) -> None:
        """Ten channels are no ten lines, and each line is one that can be written."""
        names = [b"#" + b"%02d" % number * 24 for number in range(10)]
        self.begin(channels=tuple(names))
        self.hear(b":irc.test CAP * LS :")
        said = self.welcome()
        self.assertEqual(len(said), 2)
        asked = b",".join(one.removeprefix(b"JOIN ") for one in said)
        self.assertEqual(asked.split(b","), names)

    def test_kicked(self) -> None:
        """We come back after a while; the bot is told of both."""
        self.rise()
        self.assertEqual(self.hear(b":op!o@h KICK #mail.i2p Biff :out"), [])
        self.assertEqual(self.told(), [Kicked(b"#mail.i2p", b"Biff")])
        self.assertEqual(self.after(1), [])
        self.assertEqual(self.after(3), [b"JOIN #mail.i2p"])
        self.hear(BIFF + b"JOIN #mail.i2p")
        self.assertEqual(self.told(), [Joined(b"#mail.i2p", b"biff")])

    def test_kicked_again_and_again(self) -> None:
        """Who keeps throwing us out sees us less and less often, 300 s at most."""
        self.rise()
        waits = []
        for _ in range(12):
            self.hear(b":op!o@h KICK #mail.i2p biff :out")
            seconds = 0
            while not self.after(1):
                seconds += 1
            waits.append(seconds)
            self.hear(BIFF + b"JOIN #mail.i2p")
        self.assertLess(waits[0], 5)
        self.assertGreater(waits[-1], 140)
        self.assertLessEqual(max(waits), 310)

    def test_peace(self) -> None:
        """After a quiet time the first wait is short again."""
        self.rise()
        for _ in range(8):
            self.hear(b":op!o@h KICK #mail.i2p biff :out")
            while not self.after(1):
                pass
            self.hear(BIFF + b"JOIN #mail.i2p")
        for _ in range(20):
            self.assertEqual(self.after(60), [])
        self.hear(b":op!o@h KICK #mail.i2p biff :out")
        self.assertEqual(self.after(5), [b"JOIN #mail.i2p"])

    def test_anothers_kick(self) -> None:
        """Somebody else's misfortune is only told."""
        self.rise()
        self.hear(b":op!o@h KICK #mail.i2p eve :out")
        self.assertEqual(self.told(), [Kicked(b"#mail.i2p", b"eve")])
        self.assertEqual(self.after(60), [])

    def test_removed(self) -> None:
        """Services may make us part."""
        self.rise()
        self.hear(BIFF + b"PART #mail.i2p")
        self.assertEqual(self.told(), [Parted(b"#mail.i2p", b"biff")])
        self.assertEqual(self.after(5), [b"JOIN #mail.i2p"])


class Events(SessionTests):
    """What the bot is told."""

    def events(self, *lines: bytes) -> list[Event]:
        """Hear these lines while up; return what the bot is told."""
        if not hasattr(self, "session"):
            self.rise()
        self.assertEqual(self.hear(*lines), [])
        return self.told()

    def test_each(self) -> None:
        """Every kind of line, in the order of the lines."""
        told = self.events(
            b":a!u@h JOIN :#mail.i2p",
            b":a!u@h NICK b",
            b":b!u@h PRIVMSG biff :.help",
            b":b!u@h NOTICE #mail.i2p :x",
            b":b!u@h PART #mail.i2p :bye",
            b":c!u@h QUIT",
            b":irc.test 318 biff c :End",
            b":d!u@h ACCOUNT :d",
            b":d!u@h ACCOUNT *",
        )
        source = Source(b"b", b"u", b"h")
        self.assertEqual(
            told,
            [
                Joined(b"#mail.i2p", b"a"),
                Renamed(b"a", b"b"),
                Said(source, b"biff", b".help"),
                Noticed(source, b"#mail.i2p", b"x"),
                Parted(b"#mail.i2p", b"b"),
                Quit(b"c"),
                Numeric(318, (b"biff", b"c", b"End")),
                Account(b"d", b"d"),
                Account(b"d", b""),
            ],
        )

    def test_extended_join(self) -> None:
        """The account is the second word only where that was granted."""
        self.assertEqual(
            self.events(b":a!u@h JOIN #mail.i2p eve :x"), [Joined(b"#mail.i2p", b"a")]
        )
        self.session.standing.capabilities.granted.add(b"extended-join")
        self.assertEqual(
            self.events(b":a!u@h JOIN #mail.i2p eve :x", b":c!u@h JOIN #mail.i2p * :x"),
            [Joined(b"#mail.i2p", b"a", b"eve"), Joined(b"#mail.i2p", b"c", b"")],
        )

    def test_tags(self) -> None:
        """No tag is no account where tags were granted, and unknown elsewhere."""
        (said,) = self.events(b"@account=eve :a!u@h PRIVMSG biff :x")
        self.assertEqual((said.account, said.tagged), (None, False))
        self.session.standing.capabilities.granted.add(b"account-tag")
        with_tag, without = self.events(
            b"@account=eve :a!u@h PRIVMSG biff :x", b":a!u@h PRIVMSG biff :x"
        )
        self.assertEqual((with_tag.account, with_tag.tagged), (b"eve", True))
        self.assertEqual((without.account, without.tagged), (b"", True))

    def test_ctcp(self) -> None:
        """CTCP in any form is nothing."""
        told = self.events(
            b":a!u@h PRIVMSG biff :\x01VERSION\x01",
            b":a!u@h PRIVMSG biff :\x01TIME",
            b":a!u@h PRIVMSG biff :.help \x01PING 1\x01",
            b":a!u@h PRIVMSG #mail.i2p :\x01ACTION waves\x01",
            b":a!u@h NOTICE biff :\x01VERSION x\x01",
        )
        self.assertEqual(told, [])

    def test_incomplete(self) -> None:
        """A line without what it must have is nothing."""
        told = self.events(
            b"JOIN #mail.i2p",
            b":a!u@h JOIN",
            b":a!u@h NICK",
            b":a!u@h PRIVMSG biff",
            b":a!u@h KICK #mail.i2p",
            b":a!u@h NOTICE",
            b"PRIVMSG biff :x",
            b":a!u@h MODE biff +r",
        )
        self.assertEqual(told, [])

    def test_replies_of_users(self) -> None:
        """A reply is a server's; with a user before it, it is a lie."""
        self.assertEqual(
            self.events(
                b":a!u@h 330 biff a a :is logged in as",
                b":a!u@h 005 biff CASEMAPPING=rfc1459 :x",
            ),
            [],
        )
        self.assertIs(self.session.standing.mapping, CaseMapping.ASCII)

    def test_nothing_before_up(self) -> None:
        """Before the session is complete the bot hears nothing."""
        self.begin()
        self.hear(b":a!u@h PRIVMSG biff :x", b":irc.test CAP * LS :")
        self.welcome()
        self.hear(b":a!u@h PRIVMSG biff :x")
        self.assertEqual(self.told(), [])

    def test_down(self) -> None:
        """It is told once that all is lost, and nothing if it was never up."""
        self.rise()
        self.disconnect()
        self.assertEqual(self.told(), [Down()])
        self.assertEqual((self.session.is_up, self.session.nick), (False, b""))
        self.connect()
        self.disconnect()
        self.assertEqual(self.told(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """After a reconnection nothing of the old connection holds."""
        self.rise()
        self.session.standing.is_logged_in = True
        self.disconnect()
        self.connect()
        self.assertEqual(self.hear(b":irc.test CAP * LS :"), [b"CAP END"])
        self.assertFalse(self.session.standing.is_logged_in)
        self.assertEqual(self.session.standing.inside, {})
        self.welcome()
        self.hear(BIFF + b"JOIN #mail.i2p")
        down, up = self.told()
        self.assertEqual((down, up.nick), (Down(), b"biff"))

    def test_another_mapping(self) -> None:
        """When the server compares names anew, the bot begins anew."""
        self.rise()
        told = self.events(b":irc.test 005 biff CASEMAPPING=rfc1459 WHOX :x")
        reply, down, up = told
        self.assertEqual((reply.code, down), (5, Down()))
        self.assertEqual((up.casemapping, up.whox), (CaseMapping.RFC1459, True))

    def test_fault_of_the_bot(self) -> None:
        """A bot that fails at an event hears the next, and nothing is quoted."""
        self.rise()
        self.bot.fault = ValueError("alice@mail.i2p")
        self.events(b":a!u@h PRIVMSG biff :x", b":a!u@h PRIVMSG biff :y")
        self.assertNotIn("alice", repr(self.logged))
        self.assertFalse(self.transport.disconnecting)

    def test_error(self) -> None:
        """A server's farewell is told to the operator without our address in it."""
        self.rise()
        self.hear(b"ERROR :Closing link: (biff@abcdef.b32.i2p) [Excess Flood]")
        self.assertNotIn("abcdef.b32", repr(self.logged))
        self.assertIn("ends the connection", repr(self.logged))


class Line(SessionTests):
    """What the bot speaks through."""

    def test_interface(self) -> None:
        """It is the seam's."""
        self.rise()
        self.assertTrue(verifyObject(ILine, self.session))

    def test_not_up(self) -> None:
        """Before it is up, and after, nothing is said."""
        self.begin()
        self.session.send(b"NOTICE", b"alice", b"x")
        self.assertEqual(self.said(), [])

    def test_at_once(self) -> None:
        """What the bot says is on the wire when the call returns."""
        self.rise()
        self.session.send(b"NOTICE", b"alice", b"You have new mail")
        self.session.send(b"WHOIS", b"alice")
        self.assertEqual(
            self.said(), [b"NOTICE alice :You have new mail", b"WHOIS alice"]
        )

    def test_cut(self) -> None:
        """A long text is cut at a character, as room() said."""
        self.rise()
        self.session.send(b"NOTICE", b"alice", "é".encode() * 900)
        (said,) = self.said()
        text = said.partition(b":")[2]
        self.assertEqual(set(text.decode()), {"é"})
        room = self.session.room(b"NOTICE", b"alice")
        self.assertEqual(len(text), room - room % 2)
        self.assertGreater(len(text), 300)

    def test_hostile_nick(self) -> None:
        """To a nick as long as a line nothing is said, and nothing raised."""
        self.rise()
        for command in (b"NOTICE", b"WHOIS"):
            self.session.send(
                command, *([b"n" * 600, b"x"][: 2 - (command == b"WHOIS")])
            )
        self.assertEqual(self.said(), [])
        self.assertEqual(self.session.room(b"NOTICE", b"n" * 600), 0)

    def test_injection(self) -> None:
        """Nothing is put in beside the line, up or not."""
        self.begin()
        self.assertRaises(LineError, self.session.send, b"NOTICE", b"a", b"x\r\nQUIT")
        self.assertRaises(LineError, self.session.send, b"NOTICE", b"a b", b"x")
        self.assertEqual(self.said(), [])


class Retry(SessionTests):
    """When the waits between connections are short again."""

    def test_never_up(self) -> None:
        """A server that takes us and ends us is waited for longer and longer."""
        self.begin()
        waits = [self.session.retry.next()]
        for _ in range(12):
            self.clock.advance(30)
            self.disconnect()
            waits.append(self.session.retry.next())
            self.connect()
        self.assertLessEqual(waits[0], 2)
        self.assertGreater(waits[-1], 149)
        self.assertLessEqual(max(waits), 300)

    def test_up_for_a_moment(self) -> None:
        """Being up for a moment only does not count."""
        self.rise()
        for _ in range(10):
            self.session.retry.next()
        self.clock.advance(5)
        self.disconnect()
        self.assertGreater(self.session.retry.next(), 149)

    def test_up_for_long(self) -> None:
        """Who was up for a while comes back soon."""
        self.rise()
        for _ in range(10):
            self.session.retry.next()
        self.clock.advance(60)
        self.disconnect()
        self.assertLessEqual(self.session.retry.next(), 2)

    def test_endless_motd(self) -> None:
        """Words of welcome without an end are not waited for."""
        self.begin()
        self.hear(b":irc.test CAP * LS :", b":irc.test 001 biff :Hi")
        self.assertEqual(self.after(20), [b"JOIN #mail.i2p"])

    def test_not_let_in(self) -> None:
        """A server that never welcomes us is left."""
        self.begin()
        self.hear(b":irc.test CAP * LS :")
        self.after(119)
        self.assertFalse(self.transport.disconnecting)
        self.after(1)
        self.assertTrue(self.transport.disconnecting)


WORDS = st.sampled_from(
    b"biff BIFF alice #mail.i2p * + sasl extended-join LS ACK NAK NEW DEL NickServ "
    b"WHOX CASEMAPPING=ascii ".split(b" ")
) | st.binary(max_size=8)
COMMANDS = st.sampled_from(
    b"CAP AUTHENTICATE JOIN PART KICK QUIT NICK ACCOUNT PRIVMSG NOTICE ERROR MODE PING "
    b"PONG 001 005 307 318 330 376 401 408 421 432 433 437 900 901 903 904".split()
)
PREFIXES = st.sampled_from(
    [b"", b":biff!b@h ", b":irc.test ", b":NickServ!s@x ", b"@account=a :a!u@h ", b":"]
)


@st.composite
def hostile(draw: Any) -> bytes:
    """Return a line that is nearly one."""
    words = draw(st.lists(WORDS, max_size=5))
    line = draw(PREFIXES) + b" ".join((draw(COMMANDS), *words))
    return line.replace(b"\n", b" ").replace(b"\r", b" ")


@pytest.mark.long
class Hostile(SessionTests):
    """Servers and users of ill will."""

    @given(
        st.lists(st.tuples(hostile(), st.sampled_from((0, 0, 0, 20, 60))), max_size=40),
        st.sampled_from(("none", "sasl", "nickserv")),
        st.booleans(),
        st.booleans(),
    )
    @settings(max_examples=150, deadline=None)
    def test_any_lines(
        self, lines: list[tuple[bytes, int]], login: str, filtered: bool, is_up: bool
    ) -> None:
        """No lines in any order raise, are logged, or get the password but by rule."""
        self.clock = Clock()
        self.logged.clear()
        self.begin(login=login, filtered=filtered, services_host=HOST)
        said = []
        if is_up:
            self.hear(b":irc.test CAP * LS :sasl extended-join")
            self.welcome()
            self.hear(b":irc.test 900 biff x!y@z biff :in", BIFF + b"JOIN #mail.i2p")
        for line, seconds in lines:
            said += self.hear(line)
            said += self.after(seconds)
        for line in said:
            if PASSWORD in line:
                self.assertRegex(line, rb"^(PRIVMSG NickServ@services\.test|SQUERY) ?")
        faults = [one for one in self.logged if "failed" in repr(one)]
        self.assertEqual(faults, [])
        self.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        kinds = [type(event) for event in self.told()]
        self.assertEqual(kinds.count(Up), kinds.count(Down))
