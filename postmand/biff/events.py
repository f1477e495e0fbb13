"""What the IRC connection tells the bot, and the two seams between them.

Every value is the server's, as it spelled it: nicks and channels are not folded
(`casemap.fold` does that), texts are octets without CR, LF and NUL and may hold
anything else. Events come in the order of the server's lines; nothing is left out
between `Up` and `Down`. A host is there to be compared, never stored or logged.
"""

from __future__ import annotations

from attrs import field, frozen
from zope.interface import Attribute, Interface

from postmand.biff.casemap import CaseMapping

# zope.interface's idiom leaves out `self`.


@frozen
class Source:
    """Who a line comes from: nick!user@host, or a server (`nick` its name)."""

    nick: bytes
    user: bytes = field(default=b"", repr=False)
    host: bytes = field(default=b"", repr=False)


@frozen
class Up:
    """The session is complete: registered, logged in as far as may be, joined.

    `nick` is our own, `channels` those we are in by now (others follow as `Joined` with
    our own nick). The flags say what the server has granted; an `account` of a later
    event means something only where they are true.
    """

    nick: bytes
    casemapping: CaseMapping
    account_tag: bool = False
    extended_join: bool = False
    account_notify: bool = False
    whox: bool = False
    channels: tuple[bytes, ...] = ()


@frozen
class Down:
    """The link is lost: nothing known of anybody holds any longer."""


@frozen
class Joined:
    """`nick` came into a channel; it may be our own.

    `account` is None without extended-join, b"" for somebody not logged in.
    """

    channel: bytes
    nick: bytes
    account: bytes | None = None


@frozen
class Parted:
    """`nick` left a channel of its own will; it may be our own."""

    channel: bytes
    nick: bytes


@frozen
class Kicked:
    """`nick` was thrown out of a channel; it may be our own."""

    channel: bytes
    nick: bytes


@frozen
class Quit:
    """`nick` has left the network."""

    nick: bytes


@frozen
class Renamed:
    """`old` is called `new` from now on; either may be our own."""

    old: bytes
    new: bytes


@frozen
class Account:
    """`nick` has logged in to `account`, or out: b""."""

    nick: bytes
    account: bytes


@frozen
class Said:
    """A PRIVMSG that is no CTCP. `target` is our own nick, or a channel.

    `tagged` is true where account-tag was granted; then `account` is that of this very
    line's sender, b"" for none. Otherwise it is None.
    """

    source: Source
    target: bytes
    text: bytes = field(repr=False)
    account: bytes | None = None
    tagged: bool = False


@frozen
class Noticed:
    """A NOTICE that is no CTCP, to us or to a channel; services answer so."""

    source: Source
    target: bytes
    text: bytes = field(repr=False)


@frozen
class Numeric:
    """A numeric reply of our server. `params[0]` is our own nick, usually."""

    code: int
    params: tuple[bytes, ...] = field(repr=False)


@frozen
class Answered:
    """The server has answered a PING: it has taken every line before that."""


Event = (
    Up
    | Down
    | Joined
    | Parted
    | Kicked
    | Quit
    | Renamed
    | Account
    | Said
    | Noticed
    | Numeric
    | Answered
)


class IBot(Interface):
    """What the connection tells its events to."""

    def happened(event: Event) -> None:
        """Take the next event. Returns at once and never raises.

        The first is `Up`, the last `Down`; then an `Up` may follow again.
        """


class ILine(Interface):
    """What the bot speaks through. One lives as long as the service does."""

    is_up = Attribute("True between `Up` and `Down`.")
    nick = Attribute("Our own nick as the server spells it; b'' while not up.")

    def send(command: bytes, *params: bytes) -> None:
        """Write one line at once: nothing is queued in front of it.

        Does nothing unless up. The last parameter may hold spaces; a PRIVMSG's or
        NOTICE's text is cut at a character's end so that what the server passes on
        stays within 512 octets (`room` tells where). Another line that is too long is
        not written. Raises `lines.LineError` (a ValueError) for a CR, LF or NUL
        anywhere, and for a space or an empty word before the last parameter.
        """

    def ping() -> bool:
        """Ask the server for a sign of life; `Answered` follows, or the link is lost.

        Does nothing unless up, nor while an answer is still awaited; tells whether it
        did.
        """

    def room(command: bytes, target: bytes) -> int:
        """How many octets of text a `command` to `target` has room for."""
