"""biff whole, on a wire, before users and servers of ill will.

The real service talks to a server that answers as one does, with the store's own SQL
behind it; between its lines come any others. A name and a word that stand for what
people say must not be found again in the log or on the disk.
"""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogLevel, globalLogPublisher

from postmand.biff import commands, hearing
from postmand.biff import lines as lines_of_irc
from postmand.biff.pace import Pace
from tests.biff_wire import SAID, Case, House

pytestmark = pytest.mark.long

# What a line may set off by itself, with no time passing: answers wait for their turn.
AT_ONCE = 6

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
    house.ircd.say(b":%b!u@h JOIN #mail.i2p" % nick)
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


def dequoted(octets: bytes) -> Any:
    """Read a line as Twisted does: with control characters made of octets."""
    line = read(octets)
    params = tuple(one.replace(b"\x10n", b"\n") for one in line.params)
    return evolve(line, params=params)


def talkative(line: Any, granted: Any) -> Any:
    """Log what is heard."""
    globalLogPublisher({"log_level": LogLevel.info, "line": line.params})
    return event(line, granted)


def at_once(*_: object, **__: object) -> Deferred[None]:
    """Let everybody write at any time."""
    return succeed(None)


read, event = lines_of_irc.parse, hearing.event
HOLES = {
    "control characters": patch.object(lines_of_irc, "parse", dequoted),
    "a talkative log": patch.object(hearing, "event", talkative),
    "any name is a nick": patch.object(commands, "is_nick", lambda _: True),
    "no pace": patch.object(Pace, "turn", at_once),
}
