"""The IRC networks of these tests can show the faults that they are there for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.flow.program import LOCAL
from tests.peers.irc.delay import SECONDS, delayed
from tests.peers.irc.evidence import undue
from tests.peers.irc.filter import filtered, inbound, outbound
from tests.peers.irc.relay import Relay
from tests.peers.irc.servers import Network
from tests.peers.irc.users import User

_MUCH = 4_000_000


@contextlib.contextmanager
def _echo() -> Iterator[int]:
    """Run a server that sends back what it gets, once; yield its port."""
    with socket.create_server((LOCAL, 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                while data := peer.recv(65_536):
                    peer.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def test_delay_slows_but_does_not_narrow() -> None:
    """Octets come back after two delays, all of them, in order, many at a time."""
    sent = b"".join(b"%d\n" % number for number in range(_MUCH // 8))
    got = b""
    with _echo() as port:
        relay = delayed(port)
        with socket.create_connection((LOCAL, relay.port), 60) as link:
            begun = time.monotonic()
            threading.Thread(target=link.sendall, args=(sent,), daemon=True).start()
            first = link.recv(65_536)
            waited = time.monotonic() - begun
            got = first
            while len(got) < len(sent):
                got += link.recv(65_536)
        relay.stop()
    assert waited >= 2 * SECONDS
    assert got == sent


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (b":a!u@h ACCOUNT :a", None),
        (b"@time=1;account=a :a!u@h PRIVMSG biff :.show", None),
        (b":a!u@h CHGHOST u h", None),
        (b":a!u@h AWAY :gone", None),
        (b":a!u@h PRIVMSG biff :\x01VERSION\x01", None),
        (b"", None),
        (b":irc.test", None),
        (b":a!u@h PRIVMSG biff :\x01ACTION waves\x01", True),
        (b":irc.test 330 biff a a :is logged in as", True),
        (b":irc.test 354 biff 77 a a", True),
        (b":irc.test CAP * LS :sasl", True),
        (b"AUTHENTICATE +", True),
        (b":a!u@h JOIN #mail.i2p a :a", True),
        (b":NickServ!s@services.test NOTICE biff :a ACC 3", True),
        (b"ERROR :Closing link", True),
        (b":irc.test PONG irc.test :1", True),
        (b"PING :irc.test", b"PING 127.0.0.1"),
    ],
)
def test_filter_inbound(line: bytes, passed: bytes | bool | None) -> None:
    """The tunnel's own words pass to the client and no others do."""
    assert inbound(line) == (line if passed is True else passed)


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (b"MONITOR + a", None),
        (b"SQUERY NickServ :STATUS a", None),
        (b":biff NICK a", None),
        (b"@label=1 WHOIS a", None),
        (b"NOTICE a :\x01VERSION twisted\x01", None),
        (b"WHOIS a", True),
        (b"who #mail.i2p %tna,77", True),
        (b"NOTICE a :You have new mail", True),
        (b"CAP REQ :sasl", True),
        (b"PONG :irc.test", b"PONG 127.0.0.1"),
        (b"PING 12 irc.test", b"PING 12"),
        (b"USER biff 0 * :some words", b"USER biff hostname localhost :some words"),
        (b"QUIT :Twisted", b"QUIT :leaving"),
    ],
)
def test_filter_outbound(line: bytes, passed: bytes | bool | None) -> None:
    """What a client may say passes to the server, rewritten where it would tell."""
    assert outbound(line) == (line if passed is True else passed)


def _naive_answer(relay: Relay, ask: User, owner: User) -> bool:
    """Return whether a bot that trusts WHOIS obeys a thief who gave the nick back."""
    bot = User(relay.port, "naive", source=LOCAL).join()
    owner.rename("away")
    ask.rename("alice")
    mark = bot.mark()
    ask.tell("naive", ".cancel")
    ask.say(b"NICK thief")
    ask.round_trip()
    owner.say(b"NICK alice")
    owner.round_trip()
    bot.hear(rb"^:alice!\S+ PRIVMSG naive", mark)
    bot.say(b"WHOIS alice")
    bot.hear(rb" 318 naive alice", mark)
    bot.quit()
    return bot.has_heard(rb" 330 naive alice alice ", mark)


def test_delay_fools_who_trusts_whois() -> None:
    """With the delay a check that ignores NICK is fooled: other tests can see it."""
    network = Network("inspircd+atheme").start()
    try:
        relay = filtered(network.port)
        owner = User(network.port, "alice").register("secret1").join()
        thief = User(network.port, "thief").join()
        assert _naive_answer(relay, thief, owner)
        relay.stop()
    finally:
        network.stop()


_NEWS = b"NOTICE a :You have new mail"
_HEARD = [
    (1.0, b":a!u@h JOIN #c a :a"),
    (2.0, b":b!u@h JOIN #c * :b"),
    (3.0, b":a!u@h NICK :c"),
    (3.1, b":b!u@h NICK :a"),
    (5.0, b":a!u@h NICK :b"),
    (5.1, b":c!u@h NICK :a"),
    (7.0, b":irc.test 330 biff a a :is logged in as"),
    (8.0, b":a!u@h QUIT :gone"),
]


@pytest.mark.parametrize(
    ("when", "pushed", "due"),
    [
        (0.5, True, False),
        (1.5, True, True),
        (1.5, False, True),
        (4.0, True, False),
        (4.0, False, False),
        (6.0, True, True),
        (6.0, False, False),
        (7.5, False, True),
        (9.0, True, False),
    ],
)
def test_evidence(when: float, pushed: bool, due: bool) -> None:
    """A notice is due while its nick is known to be its owner's, and then only."""
    assert undue([(when, _NEWS)], _HEARD, pushed=pushed) == ([] if due else [b"a"])
