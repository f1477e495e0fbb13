"""The bot's commands: what is answered to whom, and what is not."""

from __future__ import annotations

import gc
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.biff import words
from postmand.biff.budget import Answer, Budget
from postmand.biff.casemap import CaseMapping
from postmand.biff.events import (
    Account,
    Joined,
    Noticed,
    Numeric,
    Renamed,
    Said,
    Source,
)
from postmand.biff.pace import LinkLostError, Pace
from postmand.interfaces import StoreBusyError
from postmand.notice import ClaimsBusyError
from tests.biff_world import BOT, CHANNEL, SERVICES, House, World

pytestmark = pytest.mark.long

GROUPS = {b"alice": b"alice", b"alice2": b"alice", b"mallory": b"mallory"}


class Case(SynchronousTestCase):
    """The bot in the channel, with an owner and a thief, 0.6 s away."""

    def setUp(self) -> None:
        """All are there."""
        self.world = World(GROUPS)
        self.house = House(self.world, "alice", "bob")
        self.owner = self.world.person(b"alice", b"alice", logged_in=True)
        self.thief = self.world.person(b"mallory", b"mallory")
        self.world.join(self.owner)
        self.world.join(self.thief)
        self.world.up()
        self.house.wait(3.0)

    def register(self) -> None:
        """Alice watches her account."""
        self.house.ask(self.owner, b".register alice alicealice")

    def kept(self, nick: bytes) -> list[int]:
        """Return the accounts a nick watches."""
        tag = self.house.watches.tag(nick)
        return [account for one, account in self.house.watches.kept if one == tag]


class CommandTests(Case):
    """In private, one after the other."""

    def test_dialogue(self) -> None:
        """Register, show, cancel, show, as the guide has it."""
        ask = self.house.ask
        self.assertEqual(
            ask(self.owner, b".register alice@mail.i2p alicealice"),
            [b"From now on I tell this nick of new mail for alice@mail.i2p."],
        )
        self.assertEqual(
            ask(self.owner, b".show"),
            [b"alice@mail.i2p: no mail since it was registered, 4096 bytes"],
        )
        self.house.bot.arrived([0])
        self.house.wait(181.0)
        self.assertEqual(
            ask(self.owner, b".SHOW "),
            [b"alice@mail.i2p: last changed 2024-10-04, 4096 bytes"],
        )
        self.assertEqual(
            ask(self.owner, b".cancel alice@i2pmail.org"),
            [b"I tell this nick of mail for alice@mail.i2p no more."],
        )
        self.assertEqual(ask(self.owner, b".show"), [words.NOTHING_WATCHED])
        self.assertEqual(ask(self.owner, b".cancel alice"), [words.NOT_WATCHED])

    def test_spellings_of_an_address(self) -> None:
        """Bare, in either domain, in any case; and registered once."""
        for address in (b"alice", b"Alice@Mail.I2P.", b"alice@i2pmail.org"):
            self.house.ask(self.owner, b".register %b alicealice" % address)
            self.house.wait(30.0)
        self.assertEqual(self.kept(b"alice"), [0])
        self.assertEqual({one[0] for one in self.house.claims.asked}, {b"alice"})
        self.assertEqual(
            self.owner.heard[-1], b"This nick watches alice@mail.i2p already."
        )

    def test_bad_arguments(self) -> None:
        """They are told the usage; nobody is asked, neither server nor store."""
        self.world.written.clear()
        for text in (
            b".register",
            b".register alice",
            b".register alice@example.com x",
            b".register a\xff x",
            b".register " + b"a" * 65 + b" x",
            b".register alice@mail.i2p@mail.i2p x",
        ):
            self.assertEqual(self.house.ask(self.owner, text), [words.USAGE_REGISTER])
        self.assertEqual(self.house.ask(self.owner, b".cancel"), [words.USAGE_CANCEL])
        self.assertEqual(self.house.ask(self.owner, b"hello"), [words.UNKNOWN])
        self.assertEqual(self.house.claims.asked, [])
        self.assertEqual({line[0] for line in self.world.written}, {b"NOTICE"})

    def test_opening(self) -> None:
        """What opened a session still counts: nothing is asked at once behind it."""
        self.house.wait(60.0)
        self.world.down()
        self.world.written.clear()
        self.world.up()
        self.house.wait(2.0)
        self.assertEqual(self.world.written, [])
        self.house.wait(1.0)
        self.assertEqual(self.world.written, [(b"NAMES", CHANNEL)])

    def test_help(self) -> None:
        """Whoever is in a channel may ask; others are told to come in, no more."""
        self.assertEqual(tuple(self.house.ask(self.thief, b".help")), words.HELP)
        stranger = self.world.person(b"stranger", b"")
        for text in (b".help", b".show"):
            self.assertEqual(self.house.ask(stranger, text), [words.NOT_HERE])

    def test_thief(self) -> None:
        """Who is not the nick's owner gets nowhere, and no secret is tried."""
        self.register()
        self.house.claims.asked.clear()
        self.world.rename(self.owner, b"away")
        self.world.rename(self.thief, b"alice")
        self.house.wait(2.0)
        for text in (b".show", b".cancel alice", b".register alice alicealice"):
            self.assertEqual(self.house.ask(self.thief, text), [words.NOT_IDENTIFIED])
        self.assertEqual(self.house.claims.asked, [])
        self.assertEqual(self.kept(b"alice"), [0])

    def test_answer_after_the_nick_has_changed_hands(self) -> None:
        """What the owner asked for is not told to who has the nick by then."""
        self.register()
        self.house.claims.seconds = 5.0
        self.world.say(self.owner, b".register bob bobbob")
        self.house.wait(4.0)
        self.world.rename(self.owner, b"away")
        self.world.rename(self.thief, b"alice")
        self.house.wait(20.0)
        self.assertEqual(self.kept(b"alice"), [0, 1])
        self.assertEqual(self.thief.heard, [])

    def test_wrong_secret(self) -> None:
        """Unknown address and wrong password are answered alike; five, then a wait."""
        for number in range(5):
            address = b"alice" if number % 2 else b"nobody"
            text = b".register %b wrong" % address
            self.assertEqual(self.house.ask(self.owner, text), [words.WRONG])
        text = b".register alice alicealice"
        self.assertEqual(self.house.ask(self.owner, text), [words.TOO_MANY_WRONG])
        self.assertEqual(len(self.house.claims.asked), 5)
        self.assertEqual({one[2] for one in self.house.claims.asked}, {"irc:alice"})
        self.house.wait(3_600.0, step=10.0)
        self.register()
        self.assertEqual(self.kept(b"alice"), [0])

    def test_busy(self) -> None:
        """A store that can not, and claims that wait too long: later."""
        self.house.claims.error = ClaimsBusyError()
        text = b".register alice alicealice"
        self.assertEqual(self.house.ask(self.owner, text), [words.LATER])
        self.house.watches.error = StoreBusyError()
        self.assertEqual(self.house.ask(self.owner, b".show"), [words.LATER])
        self.house.watches.error = RuntimeError("boom")
        self.assertEqual(self.house.ask(self.owner, b".show"), [words.LATER])

    def test_too_many_watches(self) -> None:
        """The bounds of the store are told, and nothing more is."""
        self.house.watches.accounts_per_nick = 1
        self.register()
        text = b".register bob bobbob"
        self.assertEqual(self.house.ask(self.owner, text), [words.TOO_MANY_WATCHES])

    def test_budget(self) -> None:
        """Commands beyond the budget are dropped, with one warning."""
        for _ in range(20):
            self.house.ask(self.owner, b"hello", 1.5)
        self.assertEqual(self.owner.heard.count(words.UNKNOWN), 8)
        self.assertEqual(self.owner.heard.count(words.TOO_FAST), 1)

    def test_budget_goes_along(self) -> None:
        """Another nick is no other budget."""
        for number in range(20):
            self.house.ask(self.thief, b"hello", 3.0)
            self.world.rename(self.thief, b"m%d" % number)
        self.assertEqual(self.thief.heard.count(words.UNKNOWN), 11)
        self.assertEqual(self.thief.heard.count(words.TOO_FAST), 1)

    def test_strangers(self) -> None:
        """Many who are not in the channel, under ever new nicks, cost nobody a turn."""
        strangers = [self.world.person(b"s%d" % one, b"") for one in range(2)]
        for number in range(200):
            for index, stranger in enumerate(strangers):
                self.world.rename(stranger, b"s%d-%d" % (index, number))
                self.world.say(stranger, b".help")
            self.house.wait(1.0)
        told = [one[-1] for one in self.world.written if one[0] == b"NOTICE"]
        self.assertEqual(told, [words.NOT_HERE] * 12)
        self.assertEqual(
            self.house.ask(self.owner, b".show", 8.0), [words.NOTHING_WATCHED]
        )

    def test_a_place_or_two_each(self) -> None:
        """Who says much at once is told so; the rest of it keeps nobody out."""
        for _ in range(6):
            self.world.say(self.thief, b".help")
        self.house.wait(60.0)
        self.assertEqual(self.thief.heard.count(words.HELP[0]), 3)
        self.assertEqual(self.thief.heard.count(words.TOO_FAST), 1)

    def test_a_full_queue(self) -> None:
        """A member is heard while a few others have all the places."""
        crowd = [self.world.person(b"p%d" % one, b"") for one in range(20)]
        for person in crowd:
            self.world.join(person)
        for _ in range(3):
            for person in crowd:
                self.world.say(person, b".help")
        self.house.wait(2.0)
        self.assertEqual(len(self.house.bot._commands._waiting), 32)
        self.assertEqual(
            self.house.ask(self.owner, b".show", 300.0), [words.NOTHING_WATCHED]
        )

    def test_who_is_gone_has_no_place(self) -> None:
        """Those who left or renamed themselves make room first."""
        crowd = [self.world.person(b"p%d" % one, b"") for one in range(40)]
        for person in crowd:
            self.world.join(person)
            self.world.say(person, b".help")
        self.house.wait(2.0)
        self.world.part(crowd[30])
        self.assertEqual(
            self.house.ask(self.owner, b".show", 300.0), [words.NOTHING_WATCHED]
        )

    def test_secret_with_spaces(self) -> None:
        """One space ends the address; the rest of the line is the secret as typed."""
        self.house.claims.secrets[b"alice"] = b" pass  word "
        ask = self.house.ask
        wrong = ask(self.owner, b".register alice pass  word")
        self.assertEqual(wrong, [words.WRONG])
        right = ask(self.owner, b"  .register   alice  pass  word ")
        self.assertEqual(right[0].split()[0], b"From")
        self.assertEqual(self.house.claims.asked[-1][1], b" pass  word ")
        self.assertEqual(ask(self.owner, b".register alice "), [words.USAGE_REGISTER])

    def test_many_in_the_channel(self) -> None:
        """What is said to all by many is not answered without end."""
        for number in range(200):
            person = self.world.person(b"p%d" % number, b"p")
            self.world.join(person)
            self.world.say(person, b".help", CHANNEL)
        self.house.wait(300.0)
        told = [one for one in self.world.heard if one.nick.startswith(b"p")]
        self.assertEqual(len(told), 32)  # two at once, and those who may wait

    def test_storm_of_renames(self) -> None:
        """Answers that are nobody's any more cost no turn and no deep stack."""
        commands = self.house.bot._commands
        self.world.history = False
        people = [self.world.person(b"p%d" % one, b"p") for one in range(1_200)]
        for person in people:
            self.world.join(person)
        self.house.wait(2.0)
        with patch("postmand.biff.commands._MOST_WAITING", 5_000):
            for person in people:
                self.world.say(person, b".help", CHANNEL)
            for person in people:
                self.world.rename(person, b"x" + person.nick)
            self.world.say(self.owner, b".help", CHANNEL)
            self.house.wait(10.0)
        self.assertEqual(commands._soon, set())
        self.assertEqual(self.owner.heard, [words.in_private(BOT)])

    def test_order(self) -> None:
        """One nick's commands are answered in the order they came in."""
        self.world.say(self.owner, b".register alice alicealice")
        self.world.say(self.owner, b".show")
        self.world.say(self.owner, b".cancel alice")
        self.house.wait(30.0)
        self.assertEqual(
            [line.split()[0] for line in self.owner.heard],
            [b"From", b"alice@mail.i2p:", b"I"],
        )

    def test_link_lost(self) -> None:
        """A link lost with commands under way ends them, and the next one is new."""
        for text in (b".register alice alicealice", b".show", b".help"):
            self.world.say(self.owner, text)
        self.house.wait(0.7)
        self.world.down()
        self.house.wait(5.0)
        self.world.up()
        self.house.wait(5.0)
        self.assertEqual(self.house.ask(self.owner, b".show"), [words.NOTHING_WATCHED])

    def test_many_at_once(self) -> None:
        """A crowd is answered below the flood's limit, or not at all."""
        for number in range(100):
            person = self.world.person(b"p%d" % number, b"p")
            self.world.join(person)
            self.world.say(person, b".show")
        self.house.wait(300.0)
        answered = [one for one in self.world.people if one.heard]
        self.assertTrue(30 <= len(answered) <= 40, len(answered))
        self.assertLess(self.world.flood_most, 10.0)


def test_a_bot_that_is_let_go() -> None:
    """What waits in it ends without a word: nobody is told, nothing goes on."""
    told: list[object] = []
    globalLogPublisher.addObserver(told.append)
    try:
        for steps in range(1, 12):
            world = World({b"alice": b"alice"})
            house = House(world, "alice")
            owner = world.person(b"alice", b"alice", logged_in=True)
            house.watch(b"alice", 0)
            world.join(owner)
            world.up()
            house.wait(6.0)
            house.bot.arrived([0])
            house.wait(174.0)
            world.say(owner, b".show")
            world.say(owner, b".show")
            house.wait(0.25 * steps)
            del world, house, owner
            gc.collect()
    finally:
        globalLogPublisher.removeObserver(told.append)
    assert told == []


class TwoSpellingsTests(SynchronousTestCase):
    """A server that takes br[] and br{} for one nick; its services do not."""

    def test_what_is_registered(self) -> None:
        """It is that of one spelling: the other's owner sees nothing of it."""
        own = {b"br[]": b"br[]", b"br{}": b"br{}"}
        world = World(own, services=CaseMapping.ASCII)
        house = House(world, "alice")
        owner = world.person(b"Br[]", b"br[]", logged_in=True)
        other = world.person(b"other", b"br{}", logged_in=True)
        world.join(owner)
        world.join(other)
        world.up()
        house.wait(3.0)
        house.ask(owner, b".register alice alicealice")
        self.assertEqual(len(house.ask(owner, b".show")), 1)
        world.rename(owner, b"away")
        world.rename(other, b"BR{}")
        house.wait(3.0)
        self.assertEqual(house.ask(other, b".show"), [words.NOTHING_WATCHED])
        self.assertEqual(house.ask(other, b".cancel alice"), [words.NOT_WATCHED])
        other.heard.clear()
        house.bot.arrived([0])
        house.wait(400.0, step=0.5)
        self.assertEqual(other.heard, [])
        world.rename(other, b"other")
        world.rename(owner, b"br[]")
        house.wait(10.0)
        self.assertEqual(owner.heard[-1:], [words.NEW_MAIL])

    def test_queued_under_the_other(self) -> None:
        """Who takes the nick in the other spelling while it is queued is not told."""
        world = World({b"br[]": b"br[]", b"br{}": b"br{}"}, services=CaseMapping.ASCII)
        house = House(world, "alice")
        other = world.person(b"other", b"br{}", logged_in=True)
        world.join(other)
        world.up()
        house.wait(3.0)
        house.watch(b"br[]", 0)
        house.bot.arrived([0])
        house.wait(200.0, step=0.5)
        world.rename(other, b"br{}")
        house.wait(2.0)
        tried = house.bot._notices._try(house.watches.tag(b"br[]"), b"br{}")
        self.successResultOf(Deferred.fromCoroutine(tried))
        house.wait(20.0)
        self.assertEqual(other.heard, [])


class ChannelTests(Case):
    """In the channel."""

    def heard(self, text: bytes, target: bytes = CHANNEL) -> list[bytes]:
        """Say something there; return what is told in private."""
        self.world.say(self.owner, text, target)
        self.house.wait(5.0)
        heard, self.owner.heard = self.owner.heard, []
        return heard

    def test_commands(self) -> None:
        """They are answered in private, shortly; a password shown is told of."""
        self.assertEqual(
            self.heard(b".help"), [b"I answer in private: /msg biff .help"]
        )
        told = self.heard(b".register alice alicealice")
        self.assertEqual(told, [words.shown_to_all(BOT)])
        self.assertNotIn(b"alicealice", told[0])
        self.assertIn(b"if it was a token, use it up at once", told[0])
        self.assertLess(len(told[0]), 400)
        self.assertEqual(self.house.claims.asked, [])
        self.assertEqual(self.kept(b"alice"), [])
        self.assertEqual(len(self.heard(b" .register a b", b"@" + CHANNEL)), 1)

    def test_password_behind_what_was_typed(self) -> None:
        """Whoever meant to say it in private is told, whatever stands before it."""
        for text in (
            b"biff: .register alice alicealice",
            b"biff,.REGISTER alice alicealice",
            b"/msg biff .register alice alicealice",
            b" /query biff  .Register\talice alicealice",
            b"hey biff, please .register alice alicealice",
        ):
            self.assertEqual(self.heard(text), [words.shown_to_all(BOT)], text)
            self.house.wait(10.0)
        self.assertEqual(self.house.claims.asked, [])

    def test_talk(self) -> None:
        """What is no command is none of the bot's business."""
        for text in (
            b"biff: .register",
            b"one can say to it in private .register alice x",
            b"www.register alice",
            b"biff: .show",
        ):
            self.assertEqual(self.heard(text), [])
        self.assertEqual(self.heard(b"hello biff"), [])
        self.assertEqual(self.heard(b".joke"), [])

    def test_nothing_goes_to_the_channel(self) -> None:
        """Whatever is asked, no line has the channel for its target."""
        for text in (b".help", b".show", b".cancel alice", b".register a b"):
            self.heard(text)
        targets = {one[1] for one in self.world.written if one[0] != b"NAMES"}
        self.assertEqual(targets, {b"alice"})


class OtherProgramsTests(Case):
    """Who must not be answered."""

    def test_services_servers_and_self(self) -> None:
        """Two programs that answer one another would never end."""
        self.world.written.clear()
        for nick in (SERVICES, b"nickserv", b"irc.example", BOT, b"BIFF", b"", b"#x"):
            self.house.bot.happened(Said(Source(nick), BOT, b".help"))
        source = Source(b"alice", b"u", b"h")
        self.house.bot.happened(Noticed(source, BOT, b".help"))
        self.house.wait(10.0)
        self.assertEqual(self.world.written, [])


anything = st.binary(max_size=60)
nicks = st.one_of(
    anything, st.sampled_from([b"alice", b"mallory", BOT, SERVICES, b"", b"x y"])
)
texts = st.one_of(
    anything,
    st.builds(
        bytes.__add__,
        st.sampled_from(
            [b".register ", b".cancel ", b".show", b".help ", b".REGISTER "]
        ),
        anything,
    ),
)
sources = st.builds(Source, nicks, anything, anything)
targets = st.one_of(anything, st.sampled_from([BOT, CHANNEL]))
events = st.one_of(
    st.builds(Said, sources, targets, texts),
    st.builds(Noticed, sources, targets, texts),
    st.builds(
        Numeric,
        st.sampled_from([311, 318, 330, 353, 354, 366, 401]),
        st.lists(nicks, max_size=5).map(tuple),
    ),
    st.builds(Joined, targets, nicks, st.none() | nicks),
    st.builds(Renamed, nicks, nicks),
    st.builds(Account, nicks, nicks),
)


class HostileTests(SynchronousTestCase):
    """Whatever comes."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(events, max_size=12))
    def test_nothing_raises_or_is_logged(self, stream: list[object]) -> None:
        """No event makes a fault, a bad line (the world refuses those) or a log."""
        told: list[object] = []
        globalLogPublisher.addObserver(told.append)
        try:
            world = World(GROUPS)
            house = House(world, "alice")
            world.join(world.person(b"alice", b"alice", logged_in=True))
            world.up()
            house.wait(3.0, step=1.0)
            for event in stream:
                house.bot.happened(event)  # type: ignore[arg-type]
                house.wait(1.0, step=0.5)
            house.wait(40.0, step=5.0)
        finally:
            globalLogPublisher.removeObserver(told.append)
        self.assertEqual(told, [])


class PaceTests(SynchronousTestCase):
    """Turns in order, below the limit."""

    def setUp(self) -> None:
        """A pace on a clock."""
        self.house = House(World({}))
        self.clock = self.house.clock
        self.asked: list[float] = []
        self.round_trip: float | None = 0.5
        self.pace = Pace(self.clock, 1 / 1.1, self.ping, burst=3)
        self.turns: list[tuple[float, str]] = []

    def ping(self) -> bool:
        """Ask a server that answers after `round_trip` seconds, or never."""
        self.asked.append(self.clock.seconds())
        if self.round_trip is not None:
            self.clock.callLater(self.round_trip, self.pace.answered)
        return True

    def take(self, name: str, lines: int = 1, *, reply: bool = False) -> None:
        """Queue for a turn; write down when it comes."""

        def had(_: object) -> None:
            self.turns.append((round(self.clock.seconds(), 3), name))

        turn = self.pace.turn(lines, reply=reply)
        turn.addCallback(had)
        turn.addErrback(lambda failure: failure.trap(LinkLostError))

    def test_burst_and_rate(self) -> None:
        """Three at once, then one a second; who takes two is paid for after it.

        A PING is a line too.
        """
        for number in range(4):
            self.take(str(number))
        self.take("two", 2)
        self.take("last")
        self.house.wait(10.0)
        times = [at for at, _ in self.turns]
        self.assertEqual(times, [0.0, 0.0, 0.0, 1.0, 3.0, 5.0])
        self.assertEqual(self.asked, [1.0])

    def test_replies_first_but_not_only(self) -> None:
        """Of four turns one is left to who is not in a hurry."""
        for _ in range(3):
            self.take("gone")
        self.turns.clear()
        for _ in range(6):
            self.take("notice")
            self.take("reply", reply=True)
        self.house.wait(10.0)
        names = [name[0] for _, name in self.turns]
        self.assertEqual(names, list("rrrnrrrn"))

    def test_given_back(self) -> None:
        """What was not needed is the next one's."""
        self.take("all", 3)
        self.pace.give_back(2)
        self.take("next")
        self.take("next")
        self.assertEqual([at for at, _ in self.turns], [0.0, 0.0, 0.0])

    def test_lost(self) -> None:
        """Nobody has a turn on a lost link, and no call is left."""
        for number in range(5):
            self.take(str(number))
        self.pace.clear()
        self.house.wait(10.0)
        self.assertEqual(len(self.turns), 3)

    def test_lost_at_full_pace(self) -> None:
        """A server that ends the link while much is written gets less on the next."""
        counts = []
        for _ in range(3):
            self.turns.clear()
            for number in range(60):
                self.take(str(number))
            self.house.wait(40.0)
            counts.append(len(self.turns))
            self.pace.clear()
        self.assertLess(counts[1], 0.8 * counts[0])
        self.assertLess(counts[2], 0.8 * counts[1])
        # A link that is lost in quiet times tells nothing, and work makes up for it.
        for _ in range(5):
            self.house.wait(100.0)
            self.pace.clear()
        for number in range(2_000):
            self.take(str(number))
        self.house.wait(8_000.0, step=1.0)
        self.turns.clear()
        for number in range(60):
            self.take(str(number))
        self.house.wait(40.0)
        self.assertGreater(len(self.turns), 0.8 * counts[0])

    def test_a_link_that_stands(self) -> None:
        """What a flaky link has cost a day of the heartbeat's answers gives back."""
        for _ in range(6):
            for number in range(9):
                self.take(str(number))
            self.house.wait(5.0)
            self.pace.clear()
        for _ in range(24 * 40):
            self.house.wait(90.0, step=90.0)
            self.pace.answered()
        self.turns.clear()
        for number in range(20):
            self.take(str(number))
        self.house.wait(40.0)
        self.assertEqual(len(self.turns), 20)

    def test_cancelled(self) -> None:
        """Who does not wait any more uses nothing up."""
        for _ in range(3):
            self.take("gone")
        turn = self.pace.turn()
        self.take("next")
        turn.addErrback(lambda _: None)
        turn.cancel()
        self.house.wait(1.0)
        self.assertEqual(self.turns[-1], (1.0, "next"))

    def test_unanswered(self) -> None:
        """With nothing heard of the other end five lines are under way, no more."""
        self.round_trip = None
        for number in range(20):
            self.take(str(number))
        self.house.wait(100.0)
        self.assertEqual(len(self.turns), 5)
        self.assertEqual(len(self.asked), 1)
        # They may all have come at once, and just now: so first a long pause.
        self.pace.answered()
        self.house.wait(2.75)
        self.assertEqual(len(self.turns), 5)
        self.house.wait(20.0)
        self.assertEqual(len(self.turns), 8)

    def test_far_away(self) -> None:
        """Over a slow tunnel there is a limit on what is under way, and no more."""
        self.round_trip = 4.0
        for number in range(60):
            self.take(str(number))
        self.house.wait(100.0)
        self.assertEqual(len(self.turns), 60)

    def test_somebody_elses_question(self) -> None:
        """A PONG for an older PING says nothing of what was written since."""
        ping, self.pace._ping = self.pace._ping, lambda: False
        for number in range(6):
            self.take(str(number))
        self.house.wait(30.0)
        self.assertEqual((len(self.turns), self.asked), (5, []))
        self.pace._ping = ping
        self.pace.answered()
        self.house.wait(0.25)
        self.assertEqual(len(self.asked), 1)
        self.house.wait(30.0)
        self.assertEqual(len(self.turns), 6)

    def test_somebody_elses_question_is_no_measure(self) -> None:
        """How soon an older PING is answered does not make later answers late."""
        ping, self.pace._ping = self.pace._ping, lambda: False
        for number in range(4):
            self.take(str(number))
        self.house.wait(1.0)
        self.pace.answered()
        self.pace._ping, self.round_trip = ping, 4.0
        self.house.wait(30.0)
        self.turns.clear()
        for number in range(60):
            self.take(str(number))
        self.house.wait(100.0)
        self.assertEqual(len(self.turns), 60)


def test_budget_is_bounded() -> None:
    """The nick that asked longest ago is forgotten first; nothing else grows."""
    budget = Budget(most=1, size=2)
    assert budget.take(b"a", 0.0) is Answer.TAKEN
    assert budget.take(b"a", 0.0) is Answer.TOO_FAST
    assert budget.take(b"a", 0.0) is Answer.DROPPED
    for nick in (b"b", b"c"):
        assert budget.take(nick, 0.0) is Answer.TAKEN
    assert budget.take(b"a", 0.0) is Answer.TAKEN
    assert len(budget._nicks) == 2


def test_budget_of_two_nicks_is_one() -> None:
    """Who takes a nick has what is left of either, and the old one is as new."""
    budget = Budget(most=2)
    for nick in (b"a", b"a", b"b"):
        assert budget.take(nick, 0.0) is Answer.TAKEN
    budget.renamed(b"a", b"b", 0.0)
    assert budget.take(b"b", 0.0) is Answer.TOO_FAST
    assert budget.take(b"a", 0.0) is Answer.TAKEN
    budget.renamed(b"nobody", b"a", 0.0)
    budget.renamed(b"a", b"a", 0.0)
    assert budget.take(b"a", 0.0) is Answer.TAKEN
