"""How we stand on one connection: what its server granted, and where we are in.

Pure: lines go in, and nothing is said here.
"""

from __future__ import annotations

from attrs import evolve

from postmand.biff import capabilities
from postmand.biff.capabilities import Capabilities
from postmand.biff.casemap import CaseMapping, fold, is_nick
from postmand.biff.events import Up
from postmand.biff.lines import Line
from postmand.biff.settings import Settings

# NickServ may end the connection of who guesses too often.
_GUESSES = 3


class Standing:
    """Begins with nothing at each connection, and learns from every line.

    `nick` is ours since the welcome; `inside` holds the channels of the config that we
    are in, folded, with their spelling; `guesses` counts what NickServ did not like.
    """

    def __init__(self, settings: Settings) -> None:
        wanted = capabilities.FILTERED if settings.filtered else capabilities.UNFILTERED
        if settings.login == "sasl":
            wanted = (*wanted, b"sasl")
        self.capabilities = Capabilities(wanted)
        self.mapping = CaseMapping.RFC1459
        self.nick = b""
        self.is_logged_in = False
        self.inside: dict[bytes, bytes] = {}
        self.guesses = 0
        self._settings = settings
        self._has_whox = False

    def note(self, line: Line) -> tuple[bytes, ...]:
        """Learn from a line; return the capabilities to be asked for now."""
        if line.command == b"CAP":
            return self.capabilities.heard(line.params)
        if line.code == 1:
            # What we asked for may have been cut, or changed.
            self._note_nick(self.nick or line.param(0))
        elif line.code == 5:
            self._note_features(line.params[1:-1])
        elif line.code in (900, 901):
            self.is_logged_in = line.code == 900
        elif line.source is not None:
            self._note_move(line, line.source.nick)
        return ()

    def _note_nick(self, nick: bytes) -> None:
        # With a name of any length or look our own lines could not be written.
        if is_nick(nick):
            self.nick = nick

    def _note_features(self, features: tuple[bytes, ...]) -> None:
        for feature in features:
            name, _, value = feature.partition(b"=")
            if name == b"CASEMAPPING":
                self.mapping = CaseMapping.named(value)
                inside = self.inside.values()
                self.inside = {fold(name, self.mapping): name for name in inside}
            elif name in (b"WHOX", b"-WHOX"):
                self._has_whox = name == b"WHOX"

    def _note_move(self, line: Line, nick: bytes) -> None:
        channel = line.param(0)
        folded = fold(channel, self.mapping)
        if line.command == b"KICK" and self.is_me(line.param(1)):
            self.inside.pop(folded, None)
        elif not self.is_me(nick):
            return
        elif line.command == b"NICK":
            self._note_nick(line.param(0))
        elif line.command == b"PART":
            self.inside.pop(folded, None)
        elif line.command == b"JOIN" and folded in self._wanted():
            self.inside[folded] = channel

    def _wanted(self) -> dict[bytes, bytes]:
        return {fold(name, self.mapping): name for name in self._settings.channels}

    def missing(self) -> list[bytes]:
        """Return the channels that we are to be in and are not."""
        return [
            name for folded, name in self._wanted().items() if folded not in self.inside
        ]

    def server(self) -> Up:
        """Return what the bot relies on between Up and Down, without names."""
        granted = self.capabilities.granted
        return Up(
            nick=b"",
            casemapping=self.mapping,
            account_tag=b"account-tag" in granted,
            extended_join=b"extended-join" in granted,
            account_notify=b"account-notify" in granted,
            whox=self._has_whox,
        )

    def up(self) -> Up:
        """Return all that the bot is told when the session is complete."""
        channels = tuple(self.inside.values())
        return evolve(self.server(), nick=self.nick, channels=channels)

    def is_me(self, nick: bytes) -> bool:
        """Tell whether this is our own nick, in any case."""
        return self.nick != b"" and self._same(nick, self.nick)

    def _same(self, one: bytes, other: bytes) -> bool:
        return fold(one, self.mapping) == fold(other, self.mapping)

    @property
    def has_its_nick(self) -> bool:
        """Whether we are called what we are to be called."""
        return self.is_me(self._settings.nick)

    @property
    def may_authenticate(self) -> bool:
        """Whether SASL PLAIN is granted, and wanted."""
        return self._settings.login == "sasl" and self.capabilities.can_plain

    @property
    def may_identify(self) -> bool:
        """Whether a login is wanted, has not happened, and may yet."""
        wanted = self._settings.login != "none"
        return wanted and not self.is_logged_in and self.guesses < _GUESSES

    @property
    def is_lacking(self) -> bool:
        """Whether something is missing that may come: channel, nick or login."""
        return bool(self.missing()) or not self.has_its_nick or self.may_identify

    def frees_nick(self, line: Line) -> bool:
        """Whether somebody else gives up our nick with this line."""
        return (
            line.command in (b"QUIT", b"NICK")
            and line.source is not None
            and not self.has_its_nick
            and self._same(line.source.nick, self._settings.nick)
            and not (line.command == b"NICK" and self.is_me(line.param(0)))
        )

    def is_setback(self, line: Line) -> bool:
        """Whether this line took something from us: a channel, the nick, the login.

        For services that come back, which may log us in now, it is the same.
        """
        if line.command == b"KICK":
            return self.is_me(line.param(1))
        if line.command == b"PART":
            return line.source is not None and self.is_me(line.source.nick)
        if line.command == b"NICK":
            return self.is_me(line.param(0)) and not self.has_its_nick
        is_offer = line.command == b"CAP" and line.param(1).upper() == b"NEW"
        return (is_offer or line.code == 901) and self.may_identify
