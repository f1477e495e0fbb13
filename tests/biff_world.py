"""A small IRC network with services: pipes that take their time, and the truth.

There are four pipes, each in order and none in step with another: from the bot to its
server and back, from the server to the services and back. What stands in a pipe moves
when a test says so (`pump`), or after the pipe's latency on a Clock (`run_on`). The
world knows what no client can: which connection was its nick's owner at what moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from postmand.biff.bot import Bot
from postmand.biff.casemap import CaseMapping, fold
from postmand.biff.events import (
    Account,
    Answered,
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
from postmand.config import Biff
from postmand.notice import Claim, IClaims
from tests.contracts.memory_watches import MemoryWatches, Seen

CHANNEL = b"#mail.i2p"
SERVICES = b"NickServ"
SERVICES_HOST = b"services.example"
BOT = b"biff"
PIPES = ("from_bot", "to_bot", "to_services", "from_services")


@define(eq=False)
class Person:
    """One connection. `account` is what the server believes it logged in to."""

    number: int
    nick: bytes
    # What this person knows the password of.
    owns: bytes
    account: bytes = b""
    # ngircd's +R: set by services, and taken away by them only.
    registered: bool = False
    present: bool = False
    online: bool = True
    # What the services believe.
    login: bytes = b""
    view: bytes = b""
    heard: list[bytes] = field(factory=list)

    @property
    def source(self) -> Source:
        """What its lines begin with."""
        return Source(self.nick, b"u", b"host%d.example" % self.number)


@frozen
class Line:
    """An event on its way to the bot, and the moment at which the server wrote it."""

    event: Event
    moment: int


@frozen
class Heard:
    """A line of the bot's that a person got, and whether it was the owner by then."""

    person: Person
    nick: bytes
    text: bytes
    owner: bool


@implementer(ILine)
class World:
    """The network. `groups` tells the account that owns a nick."""

    def __init__(
        self,
        groups: dict[bytes, bytes],
        *,
        mapping: CaseMapping = CaseMapping.RFC1459,
        services: CaseMapping | None = None,
        rich: bool = False,
        anope: bool = False,
    ) -> None:
        self.groups = groups
        self.mapping = mapping
        # How the services compare; None: as the server does.
        self.services = services or mapping
        # extended-join, account-notify, account-tag and WHOX, and no filter.
        self.rich = rich
        self.anope = anope
        self.people: list[Person] = []
        self.pipes: dict[str, deque[Any]] = {pipe: deque() for pipe in PIPES}
        self.services_up = True
        # The numeric with which a NOTICE is refused; 0: it is passed on.
        self.refuses = 0
        self.is_up = self._is_asked = False
        self.nick = BOT
        self.tell: Callable[[Event], None] = lambda _: None
        self.queued: Callable[[str], None] = lambda _: None
        # Whether every moment is written down: for few people and few moments.
        self.history = True
        self.moment = 0
        # The moment of the last line that the bot has seen.
        self.seen = 0
        # By moment: who held which nick, and who of them was its owner.
        self.holders: list[dict[bytes, Person]] = []
        self.owners: list[set[tuple[Person, bytes]]] = []
        self.heard: list[Heard] = []
        self.written: list[tuple[bytes, ...]] = []
        # What the server counts against a flood: so much, at that time.
        self.flood = 0.0
        self.flood_since = 0.0
        # Seconds since then in which the server was too busy to forgive anything.
        self.asleep = 0.0
        self.flood_most = 0.0
        self.clock = Clock()
        self.remember()

    def run_on(self, clock: Clock, **latencies: float) -> None:
        """Let what is in the pipes move by itself, after each pipe's seconds."""
        self.clock = clock
        self.queued = lambda pipe: void(
            clock.callLater(latencies.get(pipe, 0.01), self.pump, pipe)
        )

    # The truth.

    def remember(self) -> None:
        """Write down how things are at this moment."""
        if not self.history:
            return
        here = [one for one in self.people if one.online]
        self.holders.append({self.fold(one.nick): one for one in here})
        self.owners.append(
            {(one, self.fold(one.nick)) for one in here if self.is_owner(one)}
        )
        self.moment = len(self.holders) - 1

    def fold(self, nick: bytes) -> bytes:
        """Return the spelling that is compared."""
        return fold(nick, self.mapping)

    def _owner(self, nick: bytes) -> bytes | None:
        """Return the account that the services have the nick for."""
        return self.groups.get(fold(nick, self.services))

    def is_owner(self, person: Person) -> bool:
        """Whether it holds a nick whose owner's password it has shown."""
        owner = self._owner(person.nick)
        return owner is not None and owner in (person.account, person.login)

    def was_owner(self, person: Person, nick: bytes, since: int) -> bool:
        """Whether it was the nick's owner at any moment since that one."""
        return any((person, nick) in owners for owners in self.owners[since:])

    # The bot's end.

    def up(self) -> None:
        """The bot's session is complete."""
        self.is_up, self._is_asked = True, False
        self.tell(
            Up(
                BOT,
                self.mapping,
                account_tag=self.rich,
                extended_join=self.rich,
                account_notify=self.rich,
                whox=self.rich,
                channels=(CHANNEL,),
            )
        )
        self.remember()

    def down(self) -> None:
        """The bot's link is lost, with all that is on it."""
        self.is_up = False
        self.pipes["from_bot"].clear()
        self.pipes["to_bot"].clear()
        self.tell(Down())

    def send(self, command: bytes, *params: bytes) -> None:
        """Take a line of the bot's."""
        assert all(params), (command, params)
        assert not any(set(one) & set(b"\r\n\0") for one in params)
        assert not any(b" " in one or one[:1] == b":" for one in params[:-1])
        if self.is_up:
            self.written.append((command, *params))
            self._put("from_bot", (command, *params))

    def room(self, command: bytes, target: bytes) -> int:
        """Return how much text a line has room for."""
        return 400

    def ping(self) -> bool:
        """Take the bot's PING, if none is on its way."""
        if not self.is_up or self._is_asked:
            return False
        self._is_asked = True
        self._put("from_bot", (b"PING",))
        return True

    def stall(self, seconds: float, wait: Callable[[float], None]) -> None:
        """Let the server be busy for so long; then it does all that has come.

        It forgives a line when it comes to.
        """
        move, self.queued = self.queued, lambda _: None
        wait(seconds)
        self.queued = move
        self.asleep += max(0.0, seconds - 1.0)
        self.settle()

    def pump(self, pipe: str) -> None:
        """Let the next thing in this pipe arrive."""
        if not self.pipes[pipe]:
            return
        one = self.pipes[pipe].popleft()
        getattr(self, f"_{pipe}")(one)
        self.remember()

    def settle(self) -> None:
        """Let everything arrive."""
        while any(self.pipes.values()):
            for pipe in PIPES:
                self.pump(pipe)

    def _put(self, pipe: str, one: Any) -> None:
        self.pipes[pipe].append(one)
        self.queued(pipe)

    def _emit(self, event: Event) -> None:
        """Write an event to the bot, as the server sees things now."""
        if self.is_up:
            self.remember()
            self._put("to_bot", Line(event, self.moment))

    def _to_bot(self, line: Line) -> None:
        self.seen = line.moment
        if isinstance(line.event, Answered):
            self._is_asked = False
        self.tell(line.event)

    # What people do.

    def person(self, nick: bytes, owns: bytes, *, logged_in: bool = False) -> Person:
        """Somebody connects."""
        one = Person(len(self.people), nick, owns, view=nick)
        self.people.append(one)
        if logged_in:
            one.account = one.login = owns
            one.registered = True
        self.remember()
        return one

    def join(self, person: Person) -> None:
        """Come into the channel."""
        if person.online and not person.present:
            person.present = True
            account = person.account if self.rich else None
            self._emit(Joined(CHANNEL, person.nick, account))

    def part(self, person: Person, *, kicked: bool = False) -> None:
        """Leave the channel."""
        if person.present:
            person.present = False
            kind = Kicked if kicked else Parted
            self._emit(kind(CHANNEL, person.nick))

    def quit(self, person: Person) -> None:
        """The connection ends; the same person comes back as another."""
        if person.online:
            present, person.present, person.online = person.present, False, False
            self._ask_services(("quit", person))
            if present:
                self._emit(Quit(person.nick))

    def rename(self, person: Person, nick: bytes) -> bool:
        """Take another nick, if it is free."""
        taken = {self.fold(one.nick) for one in self.people if one.online}
        taken.discard(self.fold(person.nick))
        taken.add(BOT)
        if self.services_up:
            taken.add(self.fold(SERVICES))
        if not person.online or self.fold(nick) in taken or nick == person.nick:
            return False
        old, person.nick = person.nick, nick
        self._ask_services(("nick", person, nick))
        if person.present:
            self._emit(Renamed(old, nick))
        return True

    def identify(self, person: Person) -> None:
        """Show the services the password one knows."""
        self._ask_services(("login", person, person.owns))

    def log_out(self, person: Person) -> None:
        """Be nobody's any more."""
        self._ask_services(("login", person, b""))

    def say(self, person: Person, text: bytes, target: bytes = BOT) -> None:
        """Say something to the bot, or to the channel."""
        if person.online:
            account = person.account if self.rich else None
            said = Said(person.source, target, text, account, self.rich)
            self._emit(said)

    def notice(self, person: Person, text: bytes) -> None:
        """Send the bot a NOTICE, as services answer."""
        if person.online:
            self._emit(Noticed(person.source, BOT, text))

    # The services.

    def stop_services(self) -> None:
        """They are gone, and what was on its way to them or from them."""
        self.services_up = False
        self.pipes["to_services"].clear()
        self.pipes["from_services"].clear()

    def start_services(self, *, forgetful: bool = False) -> None:
        """They are back, and learn from the server who is there."""
        if self.services_up:
            return
        self.services_up = True
        for one in self.people:
            if one.online and self.fold(one.nick) == self.fold(SERVICES):
                self.quit(one)  # killed for the nick
            one.view = one.nick if one.online else b""
            one.login = b"" if forgetful else one.account
            if forgetful:
                one.account, one.registered = b"", False
                if self.rich and one.present:
                    self._emit(Account(one.nick, b""))

    def _ask_services(self, what: tuple[Any, ...]) -> None:
        if self.services_up:
            self._put("to_services", what)

    def _to_services(self, what: tuple[Any, ...]) -> None:
        match what:
            case ("nick", person, nick):
                person.view = nick
                owned = self._owner(nick) == person.login != b""
                self._put("from_services", ("registered", person, owned))
            case ("quit", person):
                person.view = b""
            case ("login", person, account):
                person.login = account
                self._put("from_services", ("login", person, account))
            case ("asked", text):
                answer = self._nickserv(text)
                if answer:
                    self._put("from_services", ("notice", answer))

    def _nickserv(self, text: bytes) -> bytes:
        word, _, nick = text.partition(b" ")
        holder = None
        for one in self.people:
            if one.view and fold(one.view, self.services) == fold(nick, self.services):
                holder = one
        owner = self._owner(nick)
        level = b"0" if holder is None else b"1"
        if holder is not None and holder.login and holder.login == owner:
            level = b"3"
        if self.anope and word == b"STATUS":
            login = b"" if holder is None else holder.login
            return b"STATUS %b %b %b" % (nick, level, login)
        if self.anope:
            return b'Unknown command ACC. "/msg NickServ HELP" for help.'
        if word == b"STATUS":
            return b"You are logged in as biff."
        return b"%b ACC %b %b" % (nick, level, b"(offline)" if level == b"0" else b"")

    def _from_services(self, what: tuple[Any, ...]) -> None:
        match what:
            case ("registered", person, owned):
                person.registered = owned
            case ("login", person, account):
                person.account = account
                owner = self._owner(person.nick)
                person.registered = bool(account) and owner == account
                if self.rich and person.present:
                    self._emit(Account(person.nick, account))
            case ("notice", text):
                source = Source(SERVICES, b"services", SERVICES_HOST)
                self._emit(Noticed(source, BOT, text))

    # The server.

    def _count(self, command: bytes) -> None:
        """Count as InspIRCd does: a second a line, two for WHOIS, one forgiven each."""
        now = self.clock.seconds()
        forgiven = now - self.flood_since - self.asleep
        self.asleep = 0.0
        self.flood = max(0.0, self.flood - max(0.0, forgiven))
        self.flood += {b"WHOIS": 2.0, b"WHO": 2.0}.get(command, 1.0)
        self.flood_since = now
        self.flood_most = max(self.flood_most, self.flood)

    def _from_bot(self, line: tuple[bytes, ...]) -> None:
        self._count(line[0])
        match line:
            case (b"PING",):
                self._emit(Answered())
            case (b"NAMES", channel):
                names = [one.nick for one in self.people if one.present]
                text = b" ".join([BOT, *(b"@" + one for one in names)])
                self._numeric(353, b"=", channel, text)
                self._numeric(366, channel, b"End of /NAMES list.")
            case (b"WHO", channel, b"%tna,77"):
                for one in self.people:
                    if one.present:
                        self._numeric(354, b"77", one.nick, one.account or b"0")
                self._numeric(315, channel, b"End of /WHO list.")
            case (b"WHOIS", nick):
                self._whois(nick)
            case (b"NOTICE", nick, text):
                self._deliver(nick, text)
            case (b"PRIVMSG", nick, text):
                if self.services_up and self.fold(nick) == self.fold(SERVICES):
                    self._ask_services(("asked", text))
                else:
                    self._deliver(nick, text)
            case _:
                raise AssertionError(line)

    def _find(self, nick: bytes) -> Person | None:
        for one in self.people:
            if one.online and self.fold(one.nick) == self.fold(nick):
                return one
        return None

    def _deliver(self, nick: bytes, text: bytes) -> None:
        person = self._find(nick)
        if person is None:
            self._numeric(401, nick, b"No such nick")
            return
        if self.refuses:
            self._numeric(self.refuses, person.nick, b"not from you")
            return
        person.heard.append(text)
        self.heard.append(Heard(person, person.nick, text, self.is_owner(person)))

    def _whois(self, nick: bytes) -> None:
        person = self._find(nick)
        if person is None:
            self._numeric(401, nick, b"No such nick")
        else:
            self._numeric(311, person.nick, b"u", person.source.host, b"*", b"name")
            if person.registered:
                self._numeric(307, person.nick, b"is a registered nick")
            if person.account:
                self._numeric(330, person.nick, person.account, b"is logged in as")
        self._numeric(318, nick, b"End of /WHOIS list.")

    def _numeric(self, code: int, *params: bytes) -> None:
        self._emit(Numeric(code, (BOT, *params)))


def void(_: object) -> None:
    """Return nothing."""


@implementer(IClaims)
class Claims:
    """Passwords in clear, for accounts numbered as they come; each asked takes time."""

    def __init__(
        self, clock: Clock, secrets: dict[bytes, bytes], watches: MemoryWatches
    ) -> None:
        self.clock = clock
        self.secrets = secrets
        self.watches = watches
        self.seconds = 1.0
        self.asked: list[tuple[bytes, bytes, str]] = []
        self.error: Exception | None = None

    def watch(
        self, address: bytes, secret: bytes, peer: str, tag: bytes
    ) -> Deferred[Claim | None]:
        """Fire after a while."""
        self.asked.append((address, secret, peer))
        if self.error is not None:
            return fail(self.error)
        return Deferred.fromCoroutine(self._watch(address, secret, tag))

    async def _watch(self, address: bytes, secret: bytes, tag: bytes) -> Claim | None:
        await deferLater(self.clock, self.seconds)
        if self.secrets.get(address) != secret:
            return None
        account = list(self.secrets).index(address)
        return Claim(account, address.decode(), await self.watches.add(tag, account))


class House:
    """The whole bot on a world, with a Clock, watches in memory, and claims.

    `accounts` are names; each one's password is its name twice.
    """

    def __init__(
        self,
        world: World,
        *accounts: str,
        latency: float = 0.6,
        **settings: Any,
    ) -> None:
        self.world = world
        self.clock = Clock()
        world.history = False
        world.run_on(self.clock, from_bot=latency, to_bot=latency)
        self.accounts = {
            number: Seen(name, used=4_096) for number, name in enumerate(accounts)
        }
        self.watches = MemoryWatches(self.accounts.get, nicks_per_account=50)
        secrets = {name.encode(): name.encode() * 2 for name in accounts}
        self.claims = Claims(self.clock, secrets, self.watches)
        settings = {"services_host": SERVICES_HOST.decode(), **settings}
        self.settings = Biff(filtered=not world.rich, **settings)
        self.bot = self.new_bot()
        self.bot.start()

    def new_bot(self) -> Bot:
        """Return a bot on what the store has, and let the world tell it."""
        bot = Bot(
            self.settings,
            self.watches,
            self.claims,
            self.world,
            domains=frozenset([b"mail.i2p", b"i2pmail.org"]),
            mail_domain=b"mail.i2p",
            reactor=self.clock,
            random=Random(1),
            wall=lambda: 20_000 * 86_400.0 + self.clock.seconds(),
        )
        self.world.tell = bot.happened
        return bot

    def wait(self, seconds: float, step: float = 0.125) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def ask(self, person: Person, text: bytes, seconds: float = 15.0) -> list[bytes]:
        """Say something in private; return what is heard until so much later."""
        before = len(person.heard)
        self.world.say(person, text)
        self.wait(seconds)
        return person.heard[before:]

    def watch(self, nick: bytes, account: int) -> None:
        """Register a nick without a word on IRC; before the bot starts to matter."""
        self.watches.add(self.watches.tag(nick), account)
        self.bot._notices.watched(self.watches.tag(nick), account)

    def waiting(self, nick: bytes) -> bool:
        """Tell whether the store has something for this nick."""
        rows = self.watches.kept.items()
        tag = self.watches.tag(nick)
        return any(row.waiting for (one, _), row in rows if one == tag)
