"""biff whole, on a wire, before users and servers of ill will.

The real service talks to a server that answers as one does, with the store's own SQL
behind it; between its lines come any others. A name and a word that stand for what
people say must not be found again in the log or on the disk.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from types import FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

from attrs import define, evolve, field, frozen
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher

from postmand.biff import commands, hearing
from postmand.biff import lines as lines_of_irc
from postmand.biff.budget import Budget
from postmand.biff.casemap import is_nick
from postmand.biff.pace import Pace
from postmand.biff.service import service
from postmand.biff.session import Session
from postmand.biff.standing import Standing
from postmand.claims import Claims
from postmand.config import Accounts, Biff, Limits
from postmand.interfaces import Credential
from postmand.notice import IClaims
from postmand.servers.cred import Checker
from postmand.store.accounts import read_account
from postmand.store.tokens import Mint, Tokens
from postmand.store.watches import Roll, Watches
from tests.biff_wire import Server
from tests.contracts.queue_cases import NODE_KEY, RealQueueCase
from tests.sessions import Work

DOMAINS = frozenset((b"mail.i2p", b"i2pmail.org"))
HOST = b"services.example"
# Stands in what people say and are called.
SAID = b"zqSAIDqz"
# The bot's own password.
SECRET = b"zqSECRETqz"
# What a line may set off by itself, with no time passing: answers wait for their turn.
AT_ONCE = 6


@frozen
class Disk:
    """The store's one connection: reads and writes at once, without threads."""

    connection: Any

    def call(self, read: Callable[[Any], Any]) -> Deferred[Any]:
        """See Crew."""
        return execute(read, self.connection)

    change = call

    def credential(self, name: str) -> Deferred[Credential | None]:
        """See IAccounts."""
        known = read_account(self.connection, name)
        return succeed(known and known.credential)


@frozen
class Careful:
    """Claims that look at what they are asked."""

    claims: IClaims
    asked: list[tuple[bytes, bytes]] = field(factory=list)

    def account(self, address: bytes, secret: bytes, peer: str) -> Deferred[Any]:
        """See IClaims."""
        assert not set(address + secret) & set(b"\0\r\n")
        assert secret
        self.asked.append((address, secret))
        return self.claims.account(address, secret, peer)


@define
class Ircd:
    """The server's lawful side: reads what the bot writes, and answers it."""

    wire: Any
    clock: Clock
    read: int = 0
    written: list[tuple[float, bytes]] = field(factory=list)

    def hear(self, octets: bytes) -> int:
        """Let octets arrive; return how many lines the bot wrote at once."""
        self.wire.protocol.dataReceived(octets)
        return self.answer()

    def say(self, *lines: bytes) -> None:
        """Say whole lines."""
        for line in lines:
            self.wire.protocol.dataReceived(line + b"\r\n")

    def answer(self) -> int:
        """Read what was written since the last time, and answer; return its lines."""
        count = 0
        while len(self.wire.value()) > self.read:
            octets = self.wire.value()[self.read :]
            self.read += len(octets)
            assert octets.endswith(b"\r\n"), "half a line"
            for line in octets[:-2].split(b"\r\n"):
                assert len(line) <= 510, "too long"
                assert not set(line) & set(b"\0\r\n"), "a control character"
                if line.startswith(b"NOTICE "):
                    assert is_nick(line.split(b" ")[1]), "to more than one"
                if SECRET in line:
                    assert line.startswith((b"PRIVMSG NickServ@" + HOST, b"SQUERY "))
                count += 1
                self.written.append((self.clock.seconds(), line))
                self._answer(line)
        return count

    def _answer(self, line: bytes) -> None:
        command, *params = line.split(b" ")
        match command, params:
            case b"USER", _:
                self.say(
                    b":irc.test 001 biff :Hi",
                    b":irc.test 005 biff CASEMAPPING=rfc1459 WHOX :are here",
                    b":irc.test 376 biff :End",
                )
            case b"CAP", [b"LS", *_]:
                self.say(b":irc.test CAP * LS :extended-join account-tag sasl")
            case b"CAP", [b"REQ", name]:
                self.say(b":irc.test CAP * ACK :" + name.lstrip(b":"))
            case b"JOIN", [channel]:
                self.say(b":biff!b@h JOIN " + channel)
            case b"NAMES", [channel]:
                self.say(
                    b":irc.test 353 biff = %b :biff @alice eve" % channel,
                    b":irc.test 366 biff %b :End" % channel,
                )
            case b"WHOIS", [nick]:
                account = nick.lower() in (b"alice", b"eve", b"biff") and nick
                told = [b":irc.test 330 biff %b %b :is" % (nick, nick)]
                self.say(
                    b":irc.test 311 biff %b u h * :name" % nick,
                    *(told if account else ()),
                    b":irc.test 318 biff %b :End" % nick,
                )
            case b"PRIVMSG", [_, b":ACC", nick]:
                self.say(b":NickServ!s@%b NOTICE biff :%b ACC 1" % (HOST, nick))
            case b"PRIVMSG", [_, b":IDENTIFY", *_]:
                self.say(b":NickServ!s@%b NOTICE biff :You are in" % HOST)
            case b"PING", [word]:
                self.say(b":irc.test PONG irc.test " + word)


class House:
    """biff on a wire and on a disk."""

    def __init__(self, connection: Any, keyring: Any, **chosen: Any) -> None:
        self.clock = Clock()
        self.server = Server(self.clock)
        disk: Any = Disk(connection)
        self.connection = connection
        tokens = Tokens(disk, disk, self.wall, Mint(NODE_KEY))
        checker = Checker(
            disk, keyring, Work(), self.clock, Accounts(), Limits(), Random(3)
        )
        self.claims = Careful(Claims(checker, DOMAINS, tokens))
        self.config = Biff(services_host=HOST.decode(), **chosen)
        self.biff = service(
            self.config,
            self.server,
            SECRET.decode(),
            Watches(disk, disk, Roll(NODE_KEY, 10, 5)),
            self.claims,
            reactor=self.clock,
            random=Random(3),
            wall=self.wall,
            domains=DOMAINS,
            mail_domain=b"mail.i2p",
        )
        self.biff.startService()
        self.ircd = Ircd(self.server.wires[0], self.clock)
        self.ircd.answer()
        self.wait(5)

    @property
    def line(self) -> Any:
        """What the bot speaks through."""
        return self.biff._connection.line

    def wall(self) -> float:
        """Return a time within a day of 2024."""
        return 20_000 * 86_400.0 + self.clock.seconds()

    def wait(self, seconds: float) -> None:
        """Let time pass, and answer what is asked meanwhile."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.ircd.answer()

    def heard_by(self, nick: bytes) -> list[bytes]:
        """Return what was said to somebody."""
        head = b"NOTICE " + nick + b" :"
        return [line for _, line in self.ircd.written if line.startswith(head)]

    def ask(self, nick: bytes, text: bytes, seconds: float = 15.0) -> list[bytes]:
        """Say something in private; return the answers."""
        before = len(self.heard_by(nick))
        self.ircd.say(b":%b!u@h PRIVMSG %b :%b" % (nick, self.line.nick, text))
        self.wait(seconds)
        return self.heard_by(nick)[before:]


WORDS = (
    b"biff BIFF alice eve #mail.i2p * NickServ : @x CASEMAPPING=ascii CASEMAPPING=\xff "
    b"WHOX LS DEL ACK NEW account-tag extended-join = 77 0 3 \x01 \x10n "
).split(b" ")
words = st.sampled_from(WORDS) | st.binary(max_size=12)
sizes = st.sampled_from([1, 1, 1, 1, 2, 500, 9_300])
anything = st.builds(
    lambda text, size: (text * size)[:9_300], st.binary(max_size=20), sizes
)
spoken = st.builds(
    b"".join,
    st.tuples(
        st.sampled_from(
            [
                *(
                    b"",
                    b"\x01ACTION ",
                    b".help",
                    b".show ",
                    b".cancel alice",
                    b".help ",
                ),
                *(b".register ", b".register alice ", b".register alice pw\x10nDELE 1"),
                *(b".REGISTER bob@", b".register alice' OR 1=1;-- ", b"alice ACC 3 "),
                *(b".register alice@mail.i2p biff-", b"STATUS eve 3 "),
            ]
        ),
        anything,
        st.just(SAID),
        anything,
    ),
)
# Who a user is, or would like to be; a server lets none of these have a space.
nicks = st.sampled_from(
    [b"alice", b"eve", b"mallory", b"NickServ", b"biff", b"#mail.i2p", b"a,b", b"$*"]
) | st.binary(max_size=8).map(lambda end: SAID + end)
targets = st.sampled_from([b"biff", b"biff", b"#mail.i2p", b"@#mail.i2p", b"$$*", b"x"])


def user_says(nick: bytes, command: bytes, target: bytes, text: bytes) -> bytes:
    """Return what a server makes of a user's line: no user can end one."""
    line = b":%b!u@h.%b %b %b :%b" % (nick, SAID, command, target, text)
    return b"".join(line[:8_000].split(b"\n"))


def server_says(
    tags: bytes, source: bytes, command: bytes, params: list[bytes]
) -> bytes:
    """Return a line that a server without manners writes."""
    return b" ".join([*filter(None, (tags, source)), command, *params])


lines = st.one_of(
    st.builds(user_says, nicks, st.just(b"PRIVMSG"), targets, spoken),
    st.builds(user_says, nicks, st.just(b"PRIVMSG"), st.just(b"biff"), spoken),
    st.builds(
        user_says, st.just(b"alice"), st.just(b"PRIVMSG"), st.just(b"biff"), spoken
    ),
    st.builds(
        user_says,
        nicks,
        st.sampled_from([b"NOTICE", b"JOIN", b"PART", b"QUIT", b"NICK", b"ACCOUNT"]),
        targets,
        spoken,
    ),
    st.builds(
        server_says,
        st.sampled_from([b"", b"", b"@account=alice", b"@;=;\\", b"@" + b"t" * 8_000]),
        st.sampled_from([b":irc.test", b":alice!u@h", b":biff!b@h", b":", b"", b":!@"]),
        st.sampled_from(
            b"CAP JOIN PART KICK QUIT NICK ACCOUNT PRIVMSG NOTICE ERROR MODE PING PONG "
            b"AUTHENTICATE 000 001 005 307 311 318 330 353 354 366 376 401 421 433 437 "
            b"900 901 903 904 999".split()
        ),
        st.lists(words | anything, max_size=6),
    ),
    anything,
)
steps = st.one_of(
    lines,
    lines,
    lines,
    st.sampled_from([0.5, 3.0, 40.0]),
    st.sampled_from(["mail", "register", "show"]),
)


class Case(RealQueueCase):
    """A store whose one connection is biff's alone."""

    def setUp(self) -> None:
        """Two members."""
        super().setUp()
        for name in ("alice", "bob"):
            self.add(name)
        self.disk = self.connection()

    @contextmanager
    def house(self, **chosen: Any) -> Iterator[House]:
        """Biff for a while; what it wrote is undone, and what it logged looked at."""
        logged: list[Any] = []
        self.disk.execute("BEGIN")
        globalLogPublisher.addObserver(logged.append)
        try:
            house = House(self.disk, self.store.keyring, **chosen)
            yield house
            written = "\n".join(self.disk.iterdump())
            assert SAID.decode() not in written, "on the disk"
        finally:
            globalLogPublisher.removeObserver(logged.append)
            self.disk.execute("ROLLBACK")
        for event in logged:
            assert event.get("log_level") not in (LogLevel.error, LogLevel.critical), (
                event
            )
            assert "log_failure" not in event, event
            assert SAID.decode() not in repr(event), event
            assert SECRET.decode() not in repr(event), event


def act(house: House, step: Any) -> None:
    """Take a step that is no hostile line."""
    match step:
        case float():
            house.wait(step)
        case "mail":
            house.biff.notice.arrived([1, 2, 3])
        case "register":
            house.ask(b"alice", b".register alice secret", 1.0)
        case "show":
            house.ask(b"eve", b".show", 1.0)


def hear(house: House, octets: bytes, cuts: Random) -> None:
    """Let a line arrive, in pieces."""
    octets += cuts.choice([b"\n", b"\r\n"])
    while octets:
        size = cuts.choice([1, 3, 50, 500, 20_000])
        before, piece, octets = house.line.nick, octets[:size], octets[size:]
        count = house.ircd.hear(piece)
        lines = piece.count(b"\n")
        assert count <= AT_ONCE * max(lines, 1), (before, count)


def check(house: House) -> None:
    """What has to be so whatever was said."""
    assert len(house.server.wires) == 1, "another connection"
    assert not house.server.wires[0].disconnecting, "the link is closed"
    assert house.line.is_up
    paced = (b"NOTICE", b"WHOIS", b"NAMES", b"WHO", b"PRIVMSG")
    flood, since = 0.0, 0.0
    for at, line in house.ircd.written:
        if line.split(b" ")[0] in paced:
            flood = max(0.0, flood - (at - since) / house.config.line_seconds) + 1
            since = at
            # A burst, a turn that took two, and two notices whose check is over now.
            assert flood <= 6, "faster than its pace"
    house.wait(400)
    nick = b"somebody"
    assert len(house.ask(nick, b".help", 60)) == 5, "deaf"


def play(case: Case, stream: list[Any], cuts: Random, **chosen: Any) -> None:
    """Run one session."""
    with case.house(**chosen) as house:
        for step in stream:
            if isinstance(step, bytes):
                hear(house, step, cuts)
            else:
                act(house, step)
        check(house)


class HostileTests(Case):
    """Any octets from anybody, between lines as they should be."""

    def walk(self, examples: int, *, always: bool = False) -> None:
        """Let hypothesis play, or `always` play the same."""

        @settings(
            max_examples=examples,
            derandomize=always,
            database=None,
            deadline=None,
            phases=[Phase.generate] if always else list(Phase),
            suppress_health_check=list(HealthCheck),
        )
        @given(
            st.lists(steps, min_size=10, max_size=60),
            st.randoms(use_true_random=False),
            st.booleans(),
            st.sampled_from(["none", "nickserv"]),
        )
        def run(stream: list[Any], cuts: Random, filtered: bool, login: str) -> None:
            password = "" if login == "none" else "file:irc-password"
            chosen = {"login": login, "password": password, "filtered": filtered}
            play(self, stream, cuts, **chosen)

        run()

    def test_sessions(self) -> None:
        """Nothing raises, kills the link, gets out unescaped, or floods."""
        self.walk(60)

    def test_holes_are_found(self) -> None:
        """Each of these is found; without them nothing is (the test above)."""
        for name, hole in HOLES.items():
            with hole:
                try:
                    self.walk(400, always=True)
                except AssertionError:
                    continue
            self.fail(f"not found: {name}")


class FloodTests(Case):
    """Many, and much: what biff keeps in mind of it has an end."""

    def flood(self, house: House, number: int) -> None:
        """One more of those who are many."""
        nick = b"%s%d" % (SAID, number)
        user = b":%s!u@h" % nick
        house.ircd.hear(
            b"".join(
                line + b"\r\n"
                for line in (
                    user + b" JOIN #mail.i2p",
                    *(user + b" PRIVMSG #mail.i2p :.help" for _ in range(8)),
                    *(user + b" PRIVMSG biff :.register alice x" for _ in range(8)),
                    user + b" NOTICE biff :" + b"x" * 5_000,
                    user + b" NICK :" + nick + b"x",
                    b":irc.test CAP * NEW :cap%d=%d" % (number, number),
                    b":irc.test 005 biff KEY%d=%d CASEMAPPING=%d :are"
                    % ((number,) * 3),
                    b":irc.test 401 biff " + nick,
                    b":irc.test 354 biff 77 %s %s" % (nick, b"a" * 5_000),
                    *([user + b"x QUIT :"] if number % 2 else []),
                )
            )
        )
        house.ircd.hear(b"y" * 20_000)
        house.ircd.hear(b"\n")

    def grown(self, filtered: bool) -> list[int]:
        """Return what biff weighs after one flood, and after another as long."""
        weights = []
        small = patch.object(commands, "Budget", partial(Budget, size=100))
        with small, self.house(filtered=filtered, users=100) as house:
            for start in (0, 400):
                for number in range(start, start + 400):
                    self.flood(house, number)
                weights.append(weigh(house.biff))
            assert len(house.server.wires) == 1
        return weights

    def test_memory(self) -> None:
        """The tables are full after the first flood; the second adds nothing."""
        for filtered in (True, False):
            first, second = self.grown(filtered)
            self.assertLess(second, first * 1.02)
            self.assertLess(second, 4_000_000)

    def test_it_is_measured(self) -> None:
        """Somebody who keeps all that is said is found."""
        original = Session.heard

        def heard(self: Any, line: Any) -> None:
            self.__dict__.setdefault("kept", []).append(line)
            original(self, line)

        with patch.object(Session, "heard", heard):
            first, second = self.grown(filtered=True)
        self.assertGreater(second, first * 1.5)


def weigh(*roots: Any) -> int:
    """Return the octets of all that can be reached, without code and the wire."""
    code = ModuleType, type, FunctionType, StringTransport
    seen: dict[int, Any] = {}
    todo = list(roots)
    while todo:
        one = todo.pop()
        if id(one) not in seen and not isinstance(one, code):
            seen[id(one)] = one
            todo += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))


def dequoted(octets: bytes) -> Any:
    """Read a line as Twisted does: with control characters made of octets."""
    line = read(octets)
    params = tuple(one.replace(b"\x10n", b"\n") for one in line.params)
    return evolve(line, params=params)


def talkative(line: Any, granted: Any) -> Any:
    """Log what is heard."""
    globalLogPublisher({"log_level": LogLevel.info, "line": line.params})
    return event(line, granted)


def lavish(self: Standing, nick: bytes) -> None:
    """Believe any name."""
    self.nick = nick


def at_once(*_: object, **__: object) -> Deferred[None]:
    """Let everybody write at any time."""
    return succeed(None)


read, event = lines_of_irc.parse, hearing.event
HOLES = {
    "control characters": patch.object(lines_of_irc, "parse", dequoted),
    "a talkative log": patch.object(hearing, "event", talkative),
    "any name is a nick": patch.object(commands, "is_nick", lambda _: True),
    "any name is ours": patch.object(Standing, "_note_nick", lavish),
    "no pace": patch.object(Pace, "turn", at_once),
}
