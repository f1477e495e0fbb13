"""A mail host with its biff on a network of its own, seen by users who are quick.

The bot's line is slow; those of the users are not. So they can do a thing and undo it
while the bot still waits for an answer.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.flow.house import House, password
from tests.flow.program import free_port
from tests.peers.irc.delay import SECONDS, delayed
from tests.peers.irc.evidence import undue
from tests.peers.irc.filter import filtered
from tests.peers.irc.registry import add_members
from tests.peers.irc.servers import Network
from tests.peers.irc.users import CHANNEL, User

__all__ = ["BOT", "MEMBERS", "NEWS", "Stage", "irc_password", "template"]

BOT = "biff"
NEWS_SAID = b":You have new mail"
NEWS = rb"(?<=:)You have new mail$"
_BOT_PASSWORD = "bots-own-93kfQx"
MEMBERS = tuple(f"member{number:02}" for number in range(20))
_TICK = 1.5
_LINES = {"plain": delayed, "filtered": filtered}


def irc_password(nick: str) -> str:
    """Return the password that a nick is registered with at NickServ."""
    return f"nickserv-of-{nick}"


def template(base: Path, *members: str) -> House:
    """Return a mail host with members that never runs: stages begin as its copy."""
    base.mkdir()
    house = House(base, biff={"endpoint": "tcp:127.0.0.1:9"})
    add_members(house, "jondoe", *(members or ("witness", "alice", *MEMBERS)))
    return house


class Stage:
    """Everything on it runs when this returns, and the bot is in its channel.

    `line` is "plain" or "filtered", as the bot's way to the server is; `like` is the
    template. `settings` are keys of [biff] on top of quick ones.
    """

    def __init__(
        self,
        base: Path,
        pair: str,
        line: str,
        like: House,
        *,
        limits: str = "none",
        services_fold: str = "rfc1459",
        **settings: object,
    ) -> None:
        self.pair, self.line = pair, line
        self.network = Network(pair, limits, services_fold).start()
        self.users: list[User] = []
        self._witnesses: list[User] = []
        self._members = iter(MEMBERS)
        try:
            self.relay = _LINES[line](self.network.port)
            shutil.copytree(like.base, base)
            self._biff = self._settings(base) | settings
            self.house = House(base, biff=self._biff)
            self.watcher = self.user("watcher", account=False)
            self._register_bot(base)
        except BaseException:
            self.network.stop()
            raise

    @property
    def has_services(self) -> bool:
        """Whether anybody can be identified here."""
        return bool(self.network.services)

    @property
    def can_log_in(self) -> bool:
        """Whether the bot can own its nick here.

        It says its password to services of a known host only. ngIRCd takes SQUERY for
        that, which the tunnel drops, and does not know NickServ@host.
        """
        deaf = self.network.server == "ngircd" and self.line == "filtered"
        return self.has_services and not deaf

    @property
    def is_pushed(self) -> bool:
        """Whether the server tells the bot of each login; ngIRCd does not."""
        return self.line == "plain" and self.network.server == "inspircd"

    @property
    def tick(self) -> float:
        """How many seconds a tick of the notices is."""
        return _TICK

    def start_bot(self) -> None:
        """Start the mail host, and wait for its bot."""
        mark = self.watcher.mark()
        try:
            self.house.start()
        except AssertionError as error:
            # With so many at once a port may be taken between choice and use.
            if "Address already in use" not in str(error):
                raise
            self.house.smtp_port, self.house.pop_port = free_port(), free_port()
            self.house.configure(biff=self._biff)
            self.house.start()
        self.await_bot(mark)

    def start(self) -> None:
        """Start the mail host, and have the bot told of a witness."""
        self.start_bot()
        if self.has_services and not self._witnesses:
            self._witnesses.append(self.user("witness"))
            self.register(self.witness, "witness")

    def await_bot(self, since: int) -> None:
        """Wait until the bot comes into the channel, under its own nick."""
        self.watcher.hear(rb"^:biff!\S+ JOIN :?" + re.escape(CHANNEL), since)

    def stop(self) -> None:
        """End everything."""
        try:
            self.house.stop()
        finally:
            self.relay.stop()
            for user in self.users:
                user.quit()
            self.network.stop()

    # The mail.

    @property
    def witness(self) -> User:
        """Somebody who is told of mail for the member of that name."""
        return self._witnesses[0]

    def member(self) -> str:
        """Return a member whom no other scene knows."""
        return next(self._members)

    def mail(self, *members: str) -> None:
        """Hand in a message for members, as jondoe."""
        to = [f"{member}@mail.i2p" for member in members]
        text = b"From: jondoe@mail.i2p\r\nSubject: private matter\r\n\r\nwords\r\n"
        self.house.submit("jondoe", to, text)

    # The users.

    def user(self, nick: str, *, account: bool = True, join: bool = True) -> User:
        """Return a new user; by default identified with NickServ, and in the channel.

        With `account` its nick is registered here and now.
        """
        user = User(self.network.port, nick)
        self.users.append(user)
        if account:
            user.register(irc_password(nick))
        return user.join() if join else user

    def ask(self, user: User, words: str, answer: bytes = b"") -> bytes:
        """Say something to the bot; return its next line in private with `answer`."""
        mark = user.tell(BOT, words)
        return self.hear(user, answer, mark)

    def hear(self, user: User, answer: bytes, since: int) -> bytes:
        """Return the bot's first line in private with `answer` in its text."""
        to = re.escape(user.nick.encode())
        return user.hear(
            rb"^:biff!\S+ (NOTICE|PRIVMSG) " + to + b" :.*" + answer, since
        )

    def register(self, user: User, member: str) -> None:
        """Register the user's nick for a member's mail."""
        address = f"{member}@mail.i2p"
        self.ask(user, f".register {address} {password(member)}", REGISTERED)

    def from_bot(self, user: User, since: int = 0) -> list[bytes]:
        """Return what the bot said to the user in private so far."""
        return user.heard(rb"^:biff!\S+ (NOTICE|PRIVMSG) [^#]", since)

    def lie(self, false: User, since: int) -> int:
        """Have somebody answer in NickServ's stead what the bot asked since then.

        Returns how often he did.
        """
        time.sleep(0.5)
        lies = 0
        for _, line in self.relay.said[since:]:
            found = re.search(rb" :(ACC|STATUS) (\S+)", line)
            lies += found is not None
            if found and found[1] == b"ACC":
                false.say(b"NOTICE biff :%s ACC 3 " % found[2])
            elif found:
                false.say(b"NOTICE biff :STATUS %s 3 %s" % (found[2], found[2]))
        return lies

    def pass_on(self) -> None:
        """Return when the bot has heard and said what it must by now."""
        # Through the line, through the bot, and back, and a little.
        time.sleep(2 * SECONDS + 0.5)

    def await_said(self, pattern: bytes, since: int) -> float:
        """Wait until the bot writes such a line; return when."""
        return _await(lambda: self.relay.said, pattern, since)

    def await_heard(self, pattern: bytes, since: int) -> float:
        """Wait until such a line reaches the bot; return when."""
        return _await(lambda: self.relay.heard, pattern, since)

    def undue(self) -> list[bytes]:
        """Return the nicks that were told of mail so far and should not have been."""
        return undue(self.relay.said, self.relay.heard, pushed=self.is_pushed)

    def check_notices(self) -> None:
        """See that of all notices so far every one was to somebody identified."""
        assert (
            any(NEWS_SAID in line for _, line in self.relay.said) == self.has_services
        )
        nicks = self.undue()
        assert not nicks, nicks

    # Set-up.

    def _settings(self, base: Path) -> dict[str, object]:
        found: dict[str, object] = {
            "endpoint": f"tcp:127.0.0.1:{self.relay.port}",
            "filtered": self.line == "filtered",
            "notice_seconds": _TICK,
            "line_seconds": 0.2,
            "check_seconds": 4.0,
            "silence_seconds": 20.0,
            "nicks_per_account": 100,
        }
        if self.can_log_in:
            sasl = self.network.server == "inspircd"
            found["login"] = "sasl" if sasl else "nickserv"
            found["password"] = f"file:{base}/irc-password"
        if self.has_services:
            found["services_host"] = "services.test"
        return found

    def _register_bot(self, base: Path) -> None:
        if self.can_log_in:
            (base / "irc-password").write_text(_BOT_PASSWORD + "\n")
            (base / "irc-password").chmod(0o600)
            bot = User(self.network.port, BOT).register(_BOT_PASSWORD)
            bot.quit()
            self.watcher.round_trip()

    def bot_password(self) -> bytes:
        """Return the password of the bot's nick, which nobody may see."""
        return _BOT_PASSWORD.encode()


def _await(
    lines: Callable[[], list[tuple[float, bytes]]], pattern: bytes, since: int
) -> float:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for when, line in lines()[since:]:
            if re.search(pattern, line, re.IGNORECASE):
                return when
        time.sleep(0.005)
    raise AssertionError(
        f"never seen on the line: {pattern!r}: {lines()[since:][-20:]}"
    )


# The bot's words.
REGISTERED = rb"From now on I tell this nick"
CANCELLED = rb"I tell this nick of mail for \S+ no more"
GRANTED = rb"From now on|of mail for|bytes"
WRONG = rb"No account with that address and password"
