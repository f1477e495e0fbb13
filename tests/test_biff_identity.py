"""Who is identified: races of nicks, services and pipes, and who is not believed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from postmand.biff.casemap import CaseMapping
from postmand.biff.events import (
    Down,
    Event,
    Joined,
    Kicked,
    Noticed,
    Numeric,
    Parted,
    Renamed,
    Said,
    Source,
    Up,
)
from postmand.biff.identity import Check, Checks, Terms
from postmand.biff.oracle import Answer, Oracle, read_acc, read_status
from postmand.biff.roll import Identity, Roll
from tests.biff_world import BOT, CHANNEL, PIPES, SERVICES, SERVICES_HOST, Person, World

pytestmark = pytest.mark.long

GROUPS = {b"alice": b"alice", b"alice2": b"alice", b"mallory": b"mallory"}
NICKS = (b"alice", b"alice2", b"mallory", b"guest", SERVICES)
EVERY = ("tags", "state", "whois", "acc", "status")


class Bot:
    """The roll and the checks on a world's lines; it judges each yes it is given."""

    def __init__(
        self,
        world: World,
        methods: tuple[str, ...] = EVERY,
        *,
        host: bytes = SERVICES_HOST,
    ) -> None:
        self.world = world
        self.now = 0.0
        self.roll = Roll([CHANNEL], 100, filtered=not world.rich)
        terms = Terms(methods, SERVICES, host, check_seconds=30.0, most=4)
        self.checks = Checks(terms, self.roll, Random(7))
        self.open: list[tuple[Check, Person, int]] = []
        self.verdicts: list[bool] = []
        self.wrong: list[str] = []
        world.tell = self.happened

    def happened(self, event: Event) -> None:
        """Take the next event, as the bot's parts do."""
        self.roll.happened(event)
        self.checks.happened(event, self.now)
        self.judge()
        if isinstance(event, Said):
            self.begin(event.source.nick, event)

    def begin(self, nick: bytes, said: Said | None = None) -> Check | None:
        """Check who has this nick now, for a command or for a notice."""
        identity = self.roll.identity(nick)
        if identity is None:
            return None
        check = self.checks.begin(identity, self.now, said)
        holder = self.world.holders[self.world.seen][self.world.fold(nick)]
        self.open.append((check, holder, self.world.seen))
        self.judge()
        return check

    def ask(self) -> None:
        """Write what the open checks ask."""
        for check, _, _ in self.open:
            for command, *params in self.checks.ask(check, self.now):
                self.world.send(command, *params)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.checks.expired(self.now)
        self.judge()

    def judge(self) -> None:
        """Compare each yes with what the world knows."""
        for check, holder, since in self.open:
            if check.verdict is None:
                continue
            self.verdicts.append(check.verdict)
            nick = check.identity.nick
            if check.verdict and not self.world.was_owner(holder, nick, since):
                self.wrong.append("yes for one who was not the owner meanwhile")
            now = self.world.holders[self.world.seen].get(nick)
            if check.verdict and now is not holder:
                self.wrong.append("yes, and the nick is another's by now")
        self.open = [one for one in self.open if one[0].verdict is None]


class Network(RuleBasedStateMachine):
    """Owner, thief and bystander, services that come and go, pipes out of step."""

    @initialize(
        rich=st.booleans(),
        anope=st.booleans(),
        mapping=st.sampled_from(list(CaseMapping)),
        methods=st.permutations(EVERY),
        seen=st.booleans(),
    )
    def begin(
        self,
        *,
        rich: bool,
        anope: bool,
        mapping: CaseMapping,
        methods: list[str],
        seen: bool,
    ) -> None:
        """Lay out a network."""
        self.world = World(GROUPS, mapping=mapping, rich=rich, anope=anope)
        self.owner = self.world.person(b"alice", b"alice", logged_in=True)
        self.thief = self.world.person(b"mallory", b"mallory")
        self.bot = Bot(self.world, tuple(methods))
        if seen:
            self.world.join(self.owner)
        self.world.join(self.thief)
        self.world.up()
        self.world.send(b"NAMES", CHANNEL)
        if rich:
            self.world.send(b"WHO", CHANNEL, b"%tna,77")
        if seen:
            self.world.settle()

    def who(self, number: int) -> Person:
        """Return one of those there are."""
        return self.world.people[number % len(self.world.people)]

    people = st.sampled_from([0, 1, 1, 2])

    @rule(pipe=st.sampled_from(PIPES), times=st.integers(1, 4))
    def pump(self, pipe: str, times: int) -> None:
        """Something arrives."""
        for _ in range(times):
            self.world.pump(pipe)

    @rule()
    def all_arrives(self) -> None:
        """Nothing is on its way any more."""
        self.world.settle()

    @rule()
    def near_arrives(self) -> None:
        """What is between bot and server; the services are slow."""
        while self.world.pipes["from_bot"] or self.world.pipes["to_bot"]:
            self.world.pump("from_bot")
            self.world.pump("to_bot")

    @rule(who=people)
    def slow_question(self, who: int) -> None:
        """Say something; the services have not answered the check of it."""
        self.world.say(self.who(who), b".show")
        self.near_arrives()
        self.bot.ask()
        self.near_arrives()

    @rule(who=people, nick=st.sampled_from(NICKS))
    def rename(self, who: int, nick: bytes) -> None:
        """Take a nick, the services' too."""
        self.world.rename(self.who(who), nick)

    @rule(who=people, nick=st.sampled_from(NICKS[:2]))
    def steal_and_say(self, who: int, nick: bytes) -> None:
        """Take a nick and use it."""
        self.world.rename(self.who(who), nick)
        self.world.say(self.who(who), b".show")

    @rule()
    def swap(self) -> None:
        """Owner and thief change nicks in no time."""
        one, other = self.who(0), self.who(1)
        first, second = one.nick, other.nick
        self.world.rename(one, b"nobody")
        self.world.rename(other, first)
        self.world.rename(one, second)

    @rule(who=people, how=st.sampled_from(["join"] * 4 + ["part", "kick", "quit"]))
    def move(self, who: int, how: str) -> None:
        """Come or go."""
        person = self.who(who)
        if how == "join":
            self.world.join(person)
        elif how == "quit":
            self.world.quit(person)
        else:
            self.world.part(person, kicked=how == "kick")

    @rule(nick=st.sampled_from(NICKS), owns=st.sampled_from([b"alice", b"mallory"]))
    def connect(self, nick: bytes, owns: bytes) -> None:
        """Another connection of one or the other."""
        if len(self.world.people) < 6:
            person = self.world.person(b"new%d" % len(self.world.people), owns)
            self.world.rename(person, nick)
            self.world.join(person)

    @rule(who=people)
    def identify(self, who: int) -> None:
        """Show the services a password."""
        self.world.identify(self.who(who))

    @rule(who=people)
    def log_out(self, who: int) -> None:
        """Log out."""
        self.world.log_out(self.who(who))

    @rule(who=people)
    def say(self, who: int) -> None:
        """Say something to the bot."""
        self.world.say(self.who(who), b".show")

    @rule(who=people, text=st.sampled_from([b"alice ACC 3 ", b"STATUS alice2 3 alice"]))
    def pretend(self, who: int, text: bytes) -> None:
        """Speak as the services do."""
        self.world.notice(self.who(who), text)

    @rule(nick=st.sampled_from(NICKS))
    def notice(self, nick: bytes) -> None:
        """Check somebody who has said nothing."""
        self.bot.begin(nick)

    @rule(who=people)
    def question(self, who: int) -> None:
        """Say something; the check of it is on its way."""
        self.world.say(self.who(who), b".show")
        self.world.settle()
        self.bot.ask()

    @rule()
    def ask(self) -> None:
        """Write what is asked."""
        self.bot.ask()

    @rule(seconds=st.sampled_from([1.0, 31.0, 601.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.bot.wait(seconds)

    @rule(forgetful=st.booleans(), stop=st.integers(0, 3))
    def outage(self, *, forgetful: bool, stop: int) -> None:
        """The services are back, or, more seldom, stop."""
        self.world.start_services(forgetful=forgetful)
        if not stop:
            self.world.stop_services()

    @rule(who=people)
    def impostor(self, who: int) -> None:
        """Somebody speaks for services that are away, to who is waited for."""
        self.world.stop_services()
        self.world.rename(self.who(who), SERVICES)
        for line in self.world.written[-3:]:
            nick = line[-1].split()[-1]
            self.world.notice(self.who(who), nick + b" ACC 3 ")
            self.world.notice(self.who(who), b"STATUS %b 3 alice" % nick)

    @rule(really=st.integers(0, 5))
    def lost(self, really: int) -> None:
        """The bot's link is lost, and there again; not too often."""
        if really:
            return
        self.world.down()
        self.world.up()
        self.world.send(b"NAMES", CHANNEL)

    @invariant()
    def no_yes_is_wrong(self) -> None:
        """What it is all about; and it is bounded."""
        if hasattr(self, "bot"):
            assert not self.bot.wrong, self.bot.wrong
            assert len(self.bot.checks) <= 4

    def teardown(self) -> None:
        """No check is left without an end."""
        if hasattr(self, "bot"):
            for _ in EVERY:
                self.bot.ask()
                self.bot.wait(31.0)
            assert not self.bot.open


def walk(examples: int, steps: int = 40) -> None:
    """Let hypothesis play, always in the same way."""
    run_state_machine_as_test(
        Network,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def nick_only(roll: Roll, identity: Identity) -> bool:
    """Check as one does who takes a nick for a person."""
    return True


def no_fence(oracle: Oracle) -> tuple[bytes, bool]:
    """Take any answer for the answer to one's question."""
    return b"", False


def test_no_race_makes_a_wrong_yes() -> None:
    """Whatever comes in whatever order: yes is said for owners only."""
    walk(150)


def test_without_the_epoch_a_race_makes_a_wrong_yes() -> None:
    """The walk above finds what it is there to find."""
    with patch.object(Roll, "holds", nick_only), pytest.raises(AssertionError):
        walk(600)


class Case(SynchronousTestCase):
    """An owner and a thief in the channel; all has arrived."""

    rich = False
    anope = False
    methods: tuple[str, ...] = ("whois", "acc", "status")

    def setUp(self) -> None:
        """All are there."""
        self.world = World(GROUPS, rich=self.rich, anope=self.anope)
        self.owner = self.world.person(b"Alice", b"alice", logged_in=True)
        self.thief = self.world.person(b"mallory", b"mallory")
        self.bot = Bot(self.world, self.methods)
        self.world.join(self.owner)
        self.world.join(self.thief)
        self.world.up()
        self.world.send(b"NAMES", CHANNEL)
        if self.rich:
            self.world.send(b"WHO", CHANNEL, b"%tna,77")
        self.world.settle()
        self.world.written.clear()

    def verdict(self, person: Person) -> bool:
        """Have somebody say something; return what comes out in the end."""
        self.world.say(person, b".show")
        for _ in range(4):
            self.world.settle()
            self.bot.ask()
        self.world.settle()
        if self.bot.open:
            self.bot.wait(31.0)
            self.bot.ask()
            self.world.settle()
        assert not self.bot.wrong, self.bot.wrong
        return self.bot.verdicts.pop()


class DeafTests(Case):
    """Services that did not answer in time, for the owner of a grouped nick."""

    methods = ("whois", "acc")

    def setUp(self) -> None:
        """The owner uses the nick that has to be asked for."""
        super().setUp()
        self.world.rename(self.owner, b"alice2")
        self.world.settle()

    def unanswered(self) -> None:
        """Ask; what is asked stays before the services until the time is over."""
        self.world.say(self.owner, b".show")
        for _ in range(6):
            self.bot.ask()
            self.world.pump("from_bot")
            for _ in range(4):
                self.world.pump("to_bot")
        self.assertTrue(self.world.pipes["to_services"])
        self.bot.wait(31.0)
        self.assertEqual(self.bot.verdicts.pop(), False)

    def asked(self) -> int:
        """Return how often services were asked."""
        return sum(line[0] == b"PRIVMSG" for line in self.world.written)

    def test_silent(self) -> None:
        """They are left alone for ten minutes."""
        self.unanswered()
        self.world.pipes["to_services"].clear()
        before = self.asked()
        self.assertFalse(self.verdict(self.owner))
        self.assertEqual(self.asked(), before)
        self.bot.wait(600.0)
        self.assertTrue(self.verdict(self.owner))

    def test_late_answer(self) -> None:
        """An answer that comes too late shows that they are there."""
        self.unanswered()
        self.world.settle()
        self.assertTrue(self.verdict(self.owner))

    def test_any_word_of_theirs(self) -> None:
        """So does whatever they say, by whatever nick of theirs; no other's does."""
        self.unanswered()
        self.world.pipes["to_services"].clear()
        for host, right in ((b"h.example", False), (SERVICES_HOST.upper(), True)):
            source = Source(b"Global", b"g", host)
            self.bot.happened(Noticed(source, b"$*", b"Services are back."))
            self.assertEqual(self.verdict(self.owner), right)


class UnknownWordTests(Case):
    """Anope, which does not know ACC."""

    anope = True
    methods = ("acc",)

    def test_not_asked_all_the_time(self) -> None:
        """Whatever else services say, the word is left for ten minutes."""
        source = Source(SERVICES, b"s", SERVICES_HOST)
        for _ in range(3):
            self.assertFalse(self.verdict(self.owner))
            self.bot.happened(Noticed(source, BOT, b"Welcome."))
        # The fence, and the nick.
        self.assertEqual([line[0] for line in self.world.written], [b"PRIVMSG"] * 2)


class TwoSpellingsTests(SynchronousTestCase):
    """A server that takes br[] and br{} for one nick; its services do not."""

    def verdicts(self, person: str, *methods: str, **world: bool) -> list[bool]:
        """Return what comes out for br[]'s owner, or br{}'s, under the nick br[]."""
        own = {b"br[]": b"br[]", b"br{}": b"br{}"}
        self.world = World(own, services=CaseMapping.ASCII, **world)
        self.bot = Bot(self.world, methods)
        holder = self.world.person(person.encode(), person.encode(), logged_in=True)
        self.world.join(holder)
        self.world.up()
        self.world.send(b"NAMES", CHANNEL)
        self.world.send(b"WHO", CHANNEL, b"%tna,77")
        self.world.rename(holder, b"br[]")
        self.world.settle()
        self.world.say(holder, b".show")
        for _ in range(4):
            self.world.settle()
            self.bot.ask()
        self.assertEqual(self.bot.wrong, [])
        return self.bot.verdicts

    def test_each_method(self) -> None:
        """By each of them the owner of the other account is nobody here."""
        for methods, world in (
            (("tags",), {"rich": True}),
            (("state",), {"rich": True}),
            (("whois",), {}),
            (("acc",), {}),
            (("status",), {"anope": True}),
        ):
            for person, right in (("br[]", True), ("br{}", False)):
                verdicts = self.verdicts(person, *methods, **world)
                self.assertEqual(verdicts, [right], (methods, person))

    def test_answer_about_the_other(self) -> None:
        """What services say of br{} is not said of br[]."""
        roll = Roll([CHANNEL], 9, filtered=True)
        terms = Terms(("acc",), SERVICES, SERVICES_HOST)
        checks = Checks(terms, roll, Random(1))
        source = Source(SERVICES, b"s", SERVICES_HOST)
        for event in Up(BOT, CaseMapping.RFC1459), Joined(CHANNEL, b"br[]"):
            roll.happened(event)
        identity = roll.identity(b"br{}")
        assert identity is not None
        self.assertEqual((identity.nick, identity.name), (b"br{}", b"br[]"))
        check = checks.begin(identity, 0.0)
        (_, _, fence), question = checks.ask(check, 0.0)
        self.assertEqual(question[-1], b"ACC br[]")
        for text in fence.split()[1] + b" ACC 0 (offline)", b"br{} ACC 3":
            checks.happened(Noticed(source, BOT, text), 0.0)
        self.assertIsNone(check.verdict)
        checks.happened(Noticed(source, BOT, b"BR[] ACC 3 "), 0.0)
        self.assertTrue(check.verdict)


class WhoisTests(Case):
    """A filtered link: WHOIS, and the services for what it leaves open."""

    def test_owner(self) -> None:
        """The owner's account is the nick, in whatever case."""
        self.assertTrue(self.verdict(self.owner))
        self.assertEqual(self.world.written, [(b"WHOIS", b"Alice")])

    def test_logged_out(self) -> None:
        """Where the server tells accounts, none told means none."""
        self.verdict(self.owner)
        self.world.log_out(self.owner)
        self.world.settle()
        self.world.written.clear()
        self.assertFalse(self.verdict(self.owner))
        self.assertEqual(self.world.written, [(b"WHOIS", b"Alice")])

    def test_owner_of_another_nick(self) -> None:
        """Being identified is not enough: it has to be this nick's owner."""
        self.world.rename(self.owner, b"guest")
        self.world.rename(self.thief, b"alice")
        self.world.identify(self.thief)
        self.assertFalse(self.verdict(self.thief))

    def test_left_over_307(self) -> None:
        """A nick said to be registered proves nothing: services are away."""
        self.world.stop_services()
        self.world.identify(self.thief)
        self.thief.registered = True
        self.world.rename(self.owner, b"guest")
        self.world.rename(self.thief, b"alice")
        self.assertFalse(self.verdict(self.thief))

    def test_grouped_nick(self) -> None:
        """An account of another name: the services tell that the nick belongs to it."""
        self.world.rename(self.owner, b"alice2")
        self.assertTrue(self.verdict(self.owner))
        words = [line[-1].split()[0] for line in self.world.written]
        self.assertEqual(words, [b"alice2", b"ACC", b"ACC"])

    def test_grouped_nick_again(self) -> None:
        """The fence is asked once, not each time."""
        self.world.rename(self.owner, b"alice2")
        self.verdict(self.owner)
        self.world.written.clear()
        self.assertTrue(self.verdict(self.owner))
        self.assertEqual(len(self.world.written), 2)

    def test_grouped_nick_without_services(self) -> None:
        """Services that are away say nothing: no."""
        self.world.rename(self.owner, b"alice2")
        self.world.settle()
        self.world.stop_services()
        self.assertFalse(self.verdict(self.owner))

    def test_not_here(self) -> None:
        """Who is in no channel of ours can not be known."""
        self.world.part(self.owner)
        self.world.settle()
        self.assertIsNone(self.bot.begin(b"alice"))

    def steal_and_give_back(self) -> None:
        """The thief asks with the nick, and the owner is back before the WHOIS."""
        self.world.rename(self.owner, b"guest")
        self.world.rename(self.thief, b"alice")
        self.world.say(self.thief, b".cancel alice")
        self.world.settle()
        self.bot.ask()
        self.world.rename(self.thief, b"mallory")
        self.world.rename(self.owner, b"alice")
        self.world.settle()

    def test_thief_between_question_and_answer(self) -> None:
        """No for the thief, whatever is said of the owner."""
        self.steal_and_give_back()
        self.assertEqual(self.bot.verdicts, [False])
        self.assertEqual(self.bot.wrong, [])

    def test_thief_without_the_epoch(self) -> None:
        """... and yes where a nick is taken for a person."""
        with patch.object(Roll, "holds", nick_only):
            self.steal_and_give_back()
        self.assertTrue(self.bot.wrong)

    def test_leaving_ends_it(self) -> None:
        """Part, kick, quit and a lost link end what is under way with a no."""
        ends: list[Callable[[], Any]] = [
            lambda: self.world.part(self.owner),
            lambda: self.world.part(self.owner, kicked=True),
            self.world.down,
            lambda: self.world.quit(self.owner),
        ]
        for end in ends:
            if not self.world.is_up:
                self.world.up()
            self.world.join(self.owner)
            self.world.send(b"NAMES", CHANNEL)
            self.world.settle()
            check = self.bot.begin(b"alice")
            assert check is not None
            end()
            self.world.settle()
            self.assertIs(check.verdict, False)

    def test_no_answer(self) -> None:
        """A WHOIS without an answer is a no, when its time is over and not before."""
        check = self.bot.begin(b"alice")
        assert check is not None
        self.bot.ask()
        self.bot.wait(29.0)
        self.assertIsNone(check.verdict)
        self.bot.wait(1.0)
        self.assertIs(check.verdict, False)

    def test_joined_checks(self) -> None:
        """Two who want to know the same ask once."""
        first, second = self.bot.begin(b"alice"), self.bot.begin(b"ALICE")
        self.assertIs(first, second)
        self.bot.ask()
        self.assertEqual(len(self.world.written), 1)

    def test_too_many(self) -> None:
        """Checks beyond the bound are a no at once."""
        for number in range(5):
            self.world.join(self.world.person(b"p%d" % number, b"p"))
        self.world.settle()
        checks = [self.bot.begin(b"p%d" % number) for number in range(5)]
        self.assertEqual(
            [one and one.verdict for one in checks], [None, None, None, None, False]
        )


class AnopeTests(Case):
    """Services that do not know ACC."""

    anope = True

    def test_grouped_nick(self) -> None:
        """ACC is not answered in time, STATUS is; the next check passes ACC over."""
        self.world.rename(self.owner, b"alice2")
        self.assertTrue(self.verdict(self.owner))
        self.world.written.clear()
        self.assertTrue(self.verdict(self.owner))
        words = [line[-1].split()[0] for line in self.world.written]
        self.assertEqual(words, [b"alice2", b"STATUS"])


class ServicesTests(Case):
    """Whose word counts, and which."""

    methods = ("acc",)

    def open_check(self, person: Person) -> Check:
        """Have a check of somebody asked and not answered."""
        self.world.settle()
        check = self.bot.begin(person.nick)
        assert check is not None
        self.bot.ask()
        return check

    def test_impostor(self) -> None:
        """Services are away, the thief has their nick: its word is not theirs."""
        other = self.world.person(b"other", b"mallory")
        self.world.rename(self.owner, b"guest")
        self.world.rename(other, b"alice")
        self.world.join(other)
        self.verdict(self.owner)
        self.world.stop_services()
        self.world.rename(self.thief, SERVICES)
        check = self.open_check(other)
        self.world.notice(self.thief, b"alice ACC 3 ")
        self.world.settle()
        self.assertIsNone(check.verdict)
        self.bot.wait(31.0)
        self.assertIs(check.verdict, False)

    def test_impostor_where_the_host_is_not_asked(self) -> None:
        """... it would be, without the host: the test above can fail."""
        host = b"host%d.example" % self.thief.number
        self.bot = Bot(self.world, self.methods, host=host)
        self.world.up()
        self.world.send(b"NAMES", CHANNEL)
        self.world.settle()
        self.world.stop_services()
        self.world.log_out(self.owner)
        self.owner.account = self.owner.login = b""
        self.world.rename(self.thief, SERVICES)
        self.open_check(self.owner)
        for name in (self.world.written[-2][-1], b"X alice"):
            self.world.notice(self.thief, name.split()[1] + b" ACC 3 ")
        self.world.settle()
        self.assertTrue(self.bot.wrong)

    def late_answer(self) -> None:
        """An answer about the owner is on its way when the thief takes the nick."""
        self.assertTrue(self.verdict(self.owner))
        self.open_check(self.owner)
        self.world.pump("from_bot")
        self.world.pump("to_services")
        self.world.rename(self.owner, b"guest")
        self.world.rename(self.thief, b"alice")
        self.world.say(self.thief, b".cancel alice")
        while self.world.pipes["to_bot"]:
            self.world.pump("to_bot")
        self.bot.ask()
        self.world.settle()

    def test_late_answer(self) -> None:
        """It answers another question: no for the thief."""
        self.late_answer()
        self.assertEqual(self.bot.wrong, [])
        self.assertEqual(self.bot.verdicts, [False, False])

    def test_late_answer_without_a_fence(self) -> None:
        """... and yes where any answer is taken for one's own."""
        with patch.object(Oracle, "raise_fence", no_fence):
            self.late_answer()
        self.assertTrue(self.bot.wrong)

    def test_fence_heals(self) -> None:
        """After a question that was lost the owner is known again."""
        self.verdict(self.owner)
        self.open_check(self.owner)
        self.world.stop_services()
        self.world.pipes["from_bot"].clear()
        self.bot.wait(31.0)
        self.world.start_services()
        self.assertTrue(self.verdict(self.owner))

    def test_services_gone(self) -> None:
        """401 for the services ends the question at once."""
        self.world.stop_services()
        check = self.open_check(self.owner)
        self.world.settle()
        self.assertIs(check.verdict, False)

    def test_another_case_mapping(self) -> None:
        """Services that fold more than the server does may mean somebody else."""
        world = World({}, mapping=CaseMapping.ASCII)
        thief = world.person(b"br{}|", b"mallory")
        bot = Bot(world, self.methods)
        world.join(thief)
        world.up()
        world.send(b"NAMES", CHANNEL)
        world.settle()
        check = bot.begin(b"br{}|")
        assert check is not None
        bot.ask()
        world.settle()
        source = Source(SERVICES, b"s", SERVICES_HOST)
        self.assertIs(check.verdict, False)
        check = bot.begin(b"br{}|")
        assert check is not None
        bot.ask()
        bot.happened(Noticed(source, BOT, b"br[]\\ ACC 3 "))
        self.assertIsNone(check.verdict)


class TagsTests(Case):
    """An unfiltered link of a server with all capabilities."""

    rich = True
    methods = EVERY

    def test_owner_and_thief(self) -> None:
        """The line's own tag decides; nothing is asked."""
        self.assertTrue(self.verdict(self.owner))
        self.assertFalse(self.verdict(self.thief))
        self.assertEqual(self.world.written, [])

    def test_grouped_nick(self) -> None:
        """A tag with another account leaves it to the services, not to WHOIS."""
        self.world.rename(self.owner, b"alice2")
        self.assertTrue(self.verdict(self.owner))
        commands = [line[0] for line in self.world.written]
        self.assertEqual(commands, [b"PRIVMSG", b"PRIVMSG"])

    def test_notice_by_state(self) -> None:
        """Accounts are known without a question, and follow what the server tells."""
        check = self.bot.begin(b"alice")
        assert check is not None
        self.assertIs(check.verdict, True)
        self.world.log_out(self.owner)
        self.world.settle()
        check = self.bot.begin(b"alice")
        assert check is not None
        self.assertIs(check.verdict, False)
        self.assertEqual(self.world.written, [])


class RollTests(Case):
    """Who is there."""

    def test_bounded(self) -> None:
        """No more than the configured number, and the others are nobody."""
        roll = Roll([CHANNEL], 2, filtered=True)
        self.world.tell = roll.happened
        self.world.down()
        self.world.up()
        for number in range(4):
            self.world.join(self.world.person(b"p%d" % number, b"p"))
        self.world.settle()
        self.assertEqual([one.nick for one in roll], [b"p0", b"p1"])

    def test_other_channels_and_odd_nicks(self) -> None:
        """Neither is on the roll: nothing could be proved or asked of them."""
        before = len(self.bot.roll)
        for nick in (b"", b"a b", b"#x", b":x", b"a,b", b"irc.example", b"x\r\nQUIT"):
            self.bot.happened(Joined(CHANNEL, nick))
        self.bot.happened(Joined(b"#elsewhere", b"bob"))
        self.bot.happened(Numeric(353, (BOT, b"=", b"#elsewhere", b"bob @carl")))
        self.bot.happened(Numeric(353, (BOT,)))
        self.bot.happened(Numeric(354, (BOT, b"12", b"alice", b"x")))
        self.assertEqual(len(self.bot.roll), before)

    def test_two_channels(self) -> None:
        """Who leaves one of two is still seen; who leaves the last is another."""
        roll = Roll([CHANNEL, b"#two"], 100, filtered=True)
        roll.happened(Up(BOT, CaseMapping.RFC1459, channels=(CHANNEL, b"#two")))
        roll.happened(Joined(CHANNEL, b"alice"))
        first = roll.identity(b"alice")
        assert first is not None
        roll.happened(Joined(b"#TWO", b"Alice"))
        roll.happened(Parted(CHANNEL, b"alice"))
        self.assertTrue(roll.holds(first))
        roll.happened(Joined(CHANNEL, b"alice"))
        roll.happened(Kicked(b"#two", BOT))
        self.assertTrue(roll.holds(first))
        roll.happened(Kicked(CHANNEL, BOT))
        self.assertFalse(roll.holds(first))
        self.assertIsNone(roll.identity(b"alice"))
        roll.happened(Joined(CHANNEL, b"alice"))
        self.assertFalse(roll.holds(first))

    def test_in_twice(self) -> None:
        """Who comes in again without having left is not the one who was there."""
        before = self.bot.roll.identity(b"alice")
        assert before is not None
        self.bot.happened(Joined(CHANNEL, b"ALICE"))
        self.assertFalse(self.bot.roll.holds(before))
        self.assertIsNotNone(self.bot.roll.identity(b"alice"))

    def test_another_case_mapping_meanwhile(self) -> None:
        """What is folded another way from now on is nobody that was known."""
        check = self.bot.begin(b"alice")
        assert check is not None
        self.bot.ask()
        for event in Down(), Up(BOT, CaseMapping.ASCII, channels=(CHANNEL,)):
            self.bot.happened(event)
        self.assertIs(check.verdict, False)
        self.bot.happened(Numeric(330, (BOT, b"alice", b"alice", b"is")))
        self.bot.happened(Numeric(318, (BOT, b"alice", b"End")))
        self.assertEqual(self.bot.verdicts, [False])

    def test_own_nick(self) -> None:
        """A new one is believed, what is no nick is not."""
        self.bot.happened(Renamed(BOT, b"#mail.i2p"))
        self.assertTrue(self.bot.roll.is_own(BOT))
        self.bot.happened(Renamed(BOT, b"biff2"))
        self.assertTrue(self.bot.roll.is_own(b"BIFF2"))
        self.assertFalse(self.bot.roll.is_own(BOT))

    def test_netsplit(self) -> None:
        """All who go at once are gone, and who is back is checked anew."""
        people = [self.world.person(b"p%d" % one, b"p") for one in range(90)]
        for person in people:
            self.world.join(person)
        self.world.settle()
        before = list(self.bot.roll)
        check = self.bot.begin(b"alice")
        assert check is not None
        self.bot.ask()
        for person in (*people, self.owner):
            self.world.quit(person)
        for person in (*people, self.owner):
            person.online, person.present = True, False
            self.world.join(person)
        self.world.settle()
        self.assertIs(check.verdict, False)
        held = [one.nick for one in before if self.bot.roll.holds(one)]
        self.assertEqual(held, [b"mallory"])
        self.assertEqual(len(self.bot.roll), len(before))
        self.assertTrue(self.verdict(self.owner))

    def test_own_part(self) -> None:
        """Thrown out of the channel, the bot sees nobody any more."""
        self.bot.happened(Joined(CHANNEL, BOT))
        self.assertEqual(len(self.bot.roll), 2)
        self.world.part(self.world.person(BOT, b"", logged_in=False))
        person = self.world.people[-1]
        person.present = True
        self.world.part(person, kicked=True)
        self.world.settle()
        self.assertEqual(len(self.bot.roll), 0)


def test_answers_of_services() -> None:
    """Level 3 of a plain question, and nothing that only looks like it."""
    yes = Answer(b"alice", identified=True)
    no = Answer(b"alice", identified=False)
    assert read_acc(b"alice ACC 3 ") == yes
    assert read_acc(b"alice ACC 0 (not registered)") == no
    assert read_acc(b"alice ACC 2 ") == no
    assert read_acc(b"alice -> mallory ACC 3 ") is None
    assert read_acc(b"Unknown command ACC alice.") is None
    assert read_acc(b"") is None
    assert read_status(b"STATUS alice 3 alice") == yes
    assert read_status(b"STATUS alice 1 mallory") == no
    assert read_status(b"STATUS alice 0 ") == no
    assert read_status(b"You are logged in as biff.") is None
    assert read_status(b"STATUS alice three") is None
