"""What a server's line means to the bot: a line in, an event or nothing out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmand.biff import events

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from postmand.biff.events import Event, Source
    from postmand.biff.lines import Line

_CTCP = b"\x01"


def event(line: Line, granted: Set[bytes]) -> Event | None:
    """Return the event that a line is, under the granted capabilities.

    A line without what it must have, and CTCP in any form, is nothing.
    """
    if line.code:
        return events.Numeric(line.code, line.params)
    read, parameters = _READERS.get(line.command, (_nothing, 0))
    if line.source is None or len(line.params) < parameters:
        return None
    return read(line, line.source, granted)


def _nothing(_line: Line, _source: Source, _granted: Set[bytes]) -> None:
    return None


def _joined(line: Line, source: Source, granted: Set[bytes]) -> Event:
    account = None
    if b"extended-join" in granted and len(line.params) > 1:
        account = _account(line.params[1])
    return events.Joined(line.params[0], source.nick, account)


def _account(word: bytes) -> bytes:
    return b"" if word == b"*" else word


def _parted(line: Line, source: Source, _granted: Set[bytes]) -> Event:
    return events.Parted(line.params[0], source.nick)


def _kicked(line: Line, _source: Source, _granted: Set[bytes]) -> Event:
    return events.Kicked(line.params[0], line.params[1])


def _quit(_line: Line, source: Source, _granted: Set[bytes]) -> Event:
    return events.Quit(source.nick)


def _renamed(line: Line, source: Source, _granted: Set[bytes]) -> Event:
    return events.Renamed(source.nick, line.params[0])


def _logged(line: Line, source: Source, _granted: Set[bytes]) -> Event:
    return events.Account(source.nick, _account(line.params[0]))


def _said(line: Line, source: Source, granted: Set[bytes]) -> Event | None:
    target, text = line.params[0], line.params[-1]
    if _CTCP in text:
        return None
    if b"account-tag" not in granted:
        return events.Said(source, target, text)
    # No tag: the sender is not logged in (IRCv3 account-tag).
    return events.Said(source, target, text, line.tags.get(b"account", b""), True)


def _noticed(line: Line, source: Source, _granted: Set[bytes]) -> Event | None:
    target, text = line.params[0], line.params[-1]
    return None if _CTCP in text else events.Noticed(source, target, text)


_READERS: dict[
    bytes, tuple[Callable[[Line, Source, Set[bytes]], Event | None], int]
] = {
    b"JOIN": (_joined, 1),
    b"PART": (_parted, 1),
    b"KICK": (_kicked, 2),
    b"QUIT": (_quit, 0),
    b"NICK": (_renamed, 1),
    b"ACCOUNT": (_logged, 1),
    b"PRIVMSG": (_said, 2),
    b"NOTICE": (_noticed, 2),
}
