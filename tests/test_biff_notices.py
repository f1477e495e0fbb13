"""Notices: who is told of new mail, when, and that nobody else is."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from postmand.biff import words
from postmand.biff.casemap import CaseMapping
from postmand.biff.events import Numeric
from postmand.interfaces import StoreBusyError
from tests.biff_world import BOT, House, Person, World

pytestmark = pytest.mark.long

TICK = 180.0


class Case(SynchronousTestCase):
    """Alice watches her account; the bot is up, 0.6 s away, just after a tick."""

    rich = False

    def setUp(self) -> None:
        """All are there."""
        self.world = World({b"alice": b"alice", b"mallory": b"mallory"}, rich=self.rich)
        self.house = House(self.world, "alice", "bob")
        self.owner = self.world.person(b"Alice", b"alice", logged_in=True)
        self.thief = self.world.person(b"mallory", b"mallory")
        self.house.watch(b"alice", 0)
        self.world.join(self.owner)
        self.world.join(self.thief)
        self.world.up()
        self.house.wait(5.0)

    def notices(self, person: Person) -> int:
        """Return how many notices somebody got; there must be nothing else."""
        self.assertEqual(set(person.heard) - {words.NEW_MAIL}, set())
        return len(person.heard)

    def wait_for(self, command: bytes) -> None:
        """Wait until the bot writes such a line."""
        self.world.written.clear()
        for _ in range(8_000):
            self.house.wait(0.125)
            if any(line[0] == command for line in self.world.written):
                return
        self.fail("not written")

    def tick(self, ticks: float = 1) -> None:
        """Let a tick come, and what follows from it."""
        self.house.wait(TICK * ticks)


class TickTests(Case):
    """The plain way."""

    def test_told_at_the_tick(self) -> None:
        """Mail is told of at the next tick, and once, however much of it came."""
        for _ in range(20):
            self.house.bot.arrived([0])
            self.house.wait(1.0)
        self.assertEqual(self.notices(self.owner), 0)
        self.tick()
        self.assertEqual(self.notices(self.owner), 1)
        self.assertEqual(self.owner.heard, [b"You have new mail"])
        self.tick(5)
        self.assertEqual(self.notices(self.owner), 1)
        self.assertFalse(self.house.waiting(b"alice"))

    def test_each_tick(self) -> None:
        """Mail between any two ticks is a notice."""
        for _ in range(4):
            self.house.bot.arrived([0])
            self.tick()
        self.assertEqual(self.notices(self.owner), 4)

    def test_two_accounts(self) -> None:
        """A nick that watches two accounts is told once of mail for both."""
        self.house.watch(b"alice", 1)
        self.house.bot.arrived([0, 1])
        self.tick()
        self.assertEqual(self.notices(self.owner), 1)

    def test_others_are_not_kept(self) -> None:
        """Of accounts nobody watches nothing stays in memory."""
        self.house.bot.arrived(range(1, 100_000))
        self.assertEqual(self.house.bot._notices._fresh, set())

    def test_day(self) -> None:
        """What is written down of the time is the day."""
        self.house.bot.arrived([0])
        self.tick()
        (row,) = self.house.watches.kept.values()
        self.assertEqual(row.day, 20_000)

    def test_cancelled(self) -> None:
        """After .cancel nobody is told."""
        self.house.bot.arrived([0])
        self.house.ask(self.owner, b".cancel alice")
        self.owner.heard.clear()
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 0)

    def test_account_gone_meanwhile(self) -> None:
        """Mail of an account that was disabled or removed is not told of."""
        self.world.part(self.owner)
        self.house.bot.arrived([0])
        self.tick()
        del self.house.accounts[0]
        self.world.join(self.owner)
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 0)
        self.assertEqual(self.house.bot._notices._waiting, {})

    def test_account_enabled_again(self) -> None:
        """What waits of a disabled account is told when it is open again."""
        self.house.bot.arrived([0])
        self.world.part(self.owner)
        self.tick()
        opened = self.house.accounts[0]
        self.house.accounts[0] = evolve(opened, disabled=True)
        self.world.join(self.owner)
        for bot in (self.house.bot, self.house.new_bot()):
            if bot is not self.house.bot:
                self.successResultOf(self.house.bot.stop())
                self.house.bot = bot
                bot.start()
                self.world.down()
                self.world.up()
            self.world.written.clear()
            self.tick(9)
            self.assertEqual(self.notices(self.owner), 0)
            self.assertNotIn(b"WHOIS", [line[0] for line in self.world.written])
        self.house.accounts[0] = opened
        self.tick(6)
        self.assertEqual(self.notices(self.owner), 1)


class PresenceTests(Case):
    """Who is away, or not identified."""

    def test_away(self) -> None:
        """Who is away is told when coming in, without waiting for a tick."""
        self.world.part(self.owner)
        self.house.bot.arrived([0])
        self.tick(3)
        self.assertEqual(self.notices(self.owner), 0)
        self.assertTrue(self.house.waiting(b"alice"))
        self.world.join(self.owner)
        self.house.wait(10.0)
        self.assertEqual(self.notices(self.owner), 1)

    def test_takes_the_nick(self) -> None:
        """... or when taking the nick again."""
        self.world.rename(self.owner, b"away")
        self.house.bot.arrived([0])
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 0)
        self.world.rename(self.owner, b"ALICE")
        self.house.wait(10.0)
        self.assertEqual(self.notices(self.owner), 1)

    def test_identifies(self) -> None:
        """Through a filter nothing tells of a login: a later tick finds it."""
        self.world.log_out(self.owner)
        self.house.wait(1.0)
        self.house.bot.arrived([0])
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 0)
        self.world.identify(self.owner)
        self.tick(4)
        self.assertEqual(self.notices(self.owner), 1)

    def test_ever_more_rarely(self) -> None:
        """Who stays unidentified is checked again after 3, 6, and then 10 minutes."""
        self.world.log_out(self.owner)
        self.house.bot.arrived([0])
        self.tick()
        self.world.written.clear()
        self.tick(20 * 4)
        checks = sum(line[0] == b"WHOIS" for line in self.world.written)
        self.assertTrue(18 <= checks <= 24, checks)

    def test_identifies_late(self) -> None:
        """However long somebody was not identified: found within a quarter hour."""
        self.world.log_out(self.owner)
        self.house.bot.arrived([0])
        self.tick(20 * 4)
        self.world.identify(self.owner)
        self.tick(5)
        self.assertEqual(self.notices(self.owner), 1)

    def test_in_and_out(self) -> None:
        """Who comes in again and again is not checked each time."""
        self.world.log_out(self.owner)
        self.house.bot.arrived([0])
        self.tick()
        self.world.written.clear()
        for _ in range(50):
            self.world.part(self.owner)
            self.world.join(self.owner)
            self.house.wait(1.0)
        checks = sum(line[0] == b"WHOIS" for line in self.world.written)
        self.assertTrue(2 <= checks <= 4, checks)

    def test_thief(self) -> None:
        """Who has only the nick gets nothing, at any time."""
        self.world.rename(self.owner, b"away")
        self.world.rename(self.thief, b"alice")
        self.house.bot.arrived([0])
        self.tick(3)
        self.assertEqual(self.notices(self.thief), 0)

    def test_thief_between_check_and_answer(self) -> None:
        """The nick changes hands while the WHOIS is under way: nothing is written."""
        for wait in (0.0, 0.25, 0.5):
            self.world.rename(self.thief, b"mallory")
            self.world.rename(self.owner, b"alice")
            self.house.wait(20.0)
            self.owner.heard.clear()
            self.house.bot.arrived([0])
            self.wait_for(b"WHOIS")
            self.house.wait(wait)
            self.world.rename(self.owner, b"away")
            self.world.rename(self.thief, b"alice")
            self.tick()
            self.assertEqual(self.notices(self.thief), 0)
            self.assertTrue(self.house.waiting(b"alice"))

    def test_leaves_before_the_notice_comes(self) -> None:
        """A notice that met a nick just left was none: it comes when they are back."""
        self.house.bot.arrived([0])
        self.wait_for(b"NOTICE")
        self.world.rename(self.owner, b"away")
        self.house.wait(60.0)
        self.assertEqual(self.notices(self.owner), 0)
        self.world.rename(self.owner, b"alice")
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 1)
        self.tick(5)
        self.assertEqual(self.notices(self.owner), 1)

    def test_refused_by_the_server(self) -> None:
        """What the server did not pass on was not told: it is tried again."""
        for code in (439, 477, 486, 531, 707, 716):
            self.world.refuses = code
            self.house.bot.arrived([0])
            self.tick(3)
            self.assertEqual(self.notices(self.owner), 0)
            self.assertTrue(self.house.waiting(b"alice"))
            self.world.refuses = 0
            self.tick(6)
            self.assertEqual(self.notices(self.owner), 1)
            self.assertFalse(self.house.waiting(b"alice"))
            self.owner.heard.clear()

    def test_refused_to_another(self) -> None:
        """A refusal that is about somebody else, or says of nobody, changes nothing."""
        self.house.bot.arrived([0])
        self.tick()
        self.house.wait(5.0)
        for params in ((BOT, b"mallory", b"no"), (BOT,), ()):
            self.house.bot.happened(Numeric(477, params))
        self.tick(4)
        self.assertEqual(self.notices(self.owner), 1)


class RichTests(Case):
    """An unfiltered link that tells of logins."""

    rich = True

    def test_identifies(self) -> None:
        """The login itself is the moment; nothing is asked of the server."""
        self.world.log_out(self.owner)
        self.house.bot.arrived([0])
        self.tick(3)
        self.assertEqual(self.notices(self.owner), 0)
        self.world.written.clear()
        self.world.identify(self.owner)
        self.house.wait(5.0)
        self.assertEqual(self.notices(self.owner), 1)
        self.assertEqual([one[0] for one in self.world.written], [b"NOTICE"])


class LinkTests(Case):
    """A link that is lost, and a bot that is stopped."""

    def test_lost_after_the_notice(self) -> None:
        """Whether it arrived nobody knows: the nick is told again, and then no more."""
        self.house.bot.arrived([0])
        self.wait_for(b"NOTICE")
        self.world.down()
        self.assertEqual(self.notices(self.owner), 0)
        self.house.wait(20.0)
        self.world.up()
        self.house.wait(20.0)
        self.assertEqual(self.notices(self.owner), 1)
        self.tick(5)
        self.world.down()
        self.world.up()
        self.tick()
        self.assertEqual(self.notices(self.owner), 1)

    def test_down_all_the_time(self) -> None:
        """Without a link mail is noted all the same, and told of afterwards."""
        self.world.down()
        self.house.bot.arrived([0])
        self.tick(3)
        self.assertTrue(self.house.waiting(b"alice"))
        self.world.up()
        self.house.wait(10.0)
        self.assertEqual(self.notices(self.owner), 1)

    def test_stop_writes_down(self) -> None:
        """What came since the last tick survives a stop, who was told does, too."""
        self.house.bot.arrived([0])
        self.tick()
        self.assertTrue(self.house.waiting(b"alice"))
        self.successResultOf(self.house.bot.stop())
        self.assertFalse(self.house.waiting(b"alice"))
        self.house.bot = self.house.new_bot()
        self.house.bot.start()
        self.house.bot.arrived([0])
        self.successResultOf(self.house.bot.stop())
        self.assertTrue(self.house.waiting(b"alice"))
        before = self.notices(self.owner)
        self.world.down()
        self.house.bot = self.house.new_bot()
        self.house.bot.start()
        self.world.up()
        self.house.wait(10.0)
        self.assertEqual(self.notices(self.owner), before + 1)
        self.successResultOf(self.house.bot.stop())
        self.house.wait(60.0)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_store_is_busy(self) -> None:
        """While the store can not, nothing is told and nothing lost; also at start."""
        self.house.watches.error = StoreBusyError()
        self.house.bot = self.house.new_bot()
        self.house.bot.start()
        self.house.bot.arrived([0, 1])
        self.world.down()
        self.world.up()
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 0)
        self.house.watches.error = None
        self.tick(2)
        self.assertEqual(self.notices(self.owner), 1)


class FloodTests(SynchronousTestCase):
    """Five hundred nicks with mail in one tick."""

    def crowd(self, *, rich: bool) -> None:
        """Register 500 nicks, every fifth of whom is not there as its owner."""
        nicks = [b"n%d" % number for number in range(500)]
        self.world = World(
            {nick: nick for nick in nicks}, mapping=CaseMapping.ASCII, rich=rich
        )
        self.house = House(self.world, *(f"a{number}" for number in range(500)))
        random = Random(3)
        for number, nick in enumerate(nicks):
            self.house.watch(nick, number)
            person = self.world.person(nick, nick, logged_in=number % 5 > 0)
            self.world.join(person)
        self.world.up()
        self.house.wait(5.0)
        self.house.bot.arrived(range(500))
        for minute in range(60):
            self.house.wait(60.0, step=0.25)
            if minute > 3:
                one, other = random.sample(self.world.people[:500], 2)
                first, second = one.nick, other.nick
                self.world.rename(one, b"x%d" % minute)
                self.world.rename(other, first)
                self.world.rename(one, second)
        told = {heard.nick for heard in self.world.heard}
        self.assertTrue(all(heard.owner for heard in self.world.heard))
        self.assertGreater(len(told), 370)
        self.assertEqual(len(self.world.heard), len(told))
        self.assertLess(self.world.flood_most, 10.0)

    def test_by_whois(self) -> None:
        """The server's limit is kept; owners only are told, each once."""
        self.crowd(rich=False)

    def test_by_state(self) -> None:
        """... also where nothing has to be asked."""
        self.crowd(rich=True)
        commands = {line[0] for line in self.world.written}
        # ACC for who is logged in to another account than the nick.
        self.assertEqual(commands, {b"NAMES", b"WHO", b"NOTICE", b"PRIVMSG"})


class StallTests(Case):
    """A tunnel that stands still for a while."""

    def crowd(self) -> None:
        """Forty more have mail."""
        for number in range(40):
            nick = b"n%d" % number
            self.world.groups[nick] = nick
            self.house.accounts[number + 2] = self.house.accounts[0]
            self.house.watch(nick, number + 2)
            self.world.join(self.world.person(nick, nick, logged_in=True))
        self.house.bot.arrived(range(42))
        self.tick()

    def test_not_taken_for_a_flood(self) -> None:
        """What comes out of it at once is still below the server's limit."""
        self.crowd()
        self.house.wait(10.0)
        self.world.stall(25.0, self.house.wait)
        self.house.wait(300.0)
        self.assertLess(self.world.flood_most, 10.0)
        self.assertEqual(len({one.nick for one in self.world.heard}), 41)

    def test_so_many_nicks_a_while(self) -> None:
        """A server lets us speak to ten, and to a new one every 15 seconds, no more."""
        deliver, clock = self.world._deliver, self.house.clock
        known: set[bytes] = set()
        refused: list[float] = []
        free_at = clock.seconds() - 150.0

        def limited(nick: bytes, text: bytes) -> None:
            nonlocal free_at
            now = clock.seconds()
            if nick not in known and now < free_at:
                # Who goes on has to wait for longer.
                free_at += 2.0
                refused.append(now)
                self.world._numeric(439, nick, b"Message target change too fast.")
                return
            if nick not in known:
                free_at = max(free_at, now - 150.0) + 15.0
                known.add(nick)
            deliver(nick, text)

        with patch.object(self.world, "_deliver", limited):
            self.crowd()
            self.tick(5)
        told = [one.nick for one in self.world.heard]
        self.assertEqual(len(set(told)), 41)
        self.assertEqual(len(told), 41)
        self.assertLess(len(refused), 15)

    def test_a_busy_server(self) -> None:
        """... also when that happens all the time, and one is forgiven each time."""
        self.crowd()
        for asleep, awake, times in ((1.0, 1.0, 90), (9.0, 20.0, 20), (30.0, 60.0, 9)):
            for _ in range(times):
                self.world.stall(asleep, self.house.wait)
                self.house.wait(awake)
            self.house.bot.arrived(range(42))
        self.house.wait(600.0)
        self.assertLess(self.world.flood_most, 10.0)
        self.assertEqual(len({one.nick for one in self.world.heard}), 41)
