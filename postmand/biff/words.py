"""What biff says: short, plain ASCII, and the same to everybody.

No answer tells an unknown address from a wrong password, a notice names nothing, and
nothing of what somebody said is ever repeated.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmand.notice import Watch

NEW_MAIL = b"You have new mail"

HELP = (
    b"I tell you here when mail has come. Say to me, in private:",
    b".register ADDRESS PASSWORD - tell this nick of new mail; a one-time token does "
    b"in the password's place",
    b".cancel ADDRESS - tell it no more (with the same nick)",
    b".show - what this nick watches, last change and size",
    b"Your nick has to be identified with NickServ.",
)
USAGE_REGISTER = b"Say .register ADDRESS PASSWORD, with an address of ours."
USAGE_CANCEL = b"Say .cancel ADDRESS, with an address of ours."
UNKNOWN = b"I know .help, .register, .cancel and .show."

NOT_HERE = b"Join the channel first: I can not see who you are."
NOT_IDENTIFIED = b"I can not see that this nick is identified with NickServ."
WRONG = b"No account with that address and password, or the token is over."
TOO_MANY_WRONG = b"Too many wrong tries: wait an hour."
TOO_MANY_WATCHES = b"No more can be registered for this nick or this account."
TOO_FAST = b"Too many commands: wait a minute."
LATER = b"That can not be done now: try again later."
NOT_WATCHED = b"This nick does not watch that address."
NOTHING_WATCHED = b"This nick watches no account."

_FIRST_DAY = date(1970, 1, 1)


def in_private(own_nick: bytes) -> bytes:
    """Answer a command that was given in a channel."""
    return b"I answer in private: /msg %b .help" % own_nick


def shown_to_all(own_nick: bytes) -> bytes:
    """Answer who gave a password away in a channel."""
    # A second token does not end the first: its use does, and so does a new password.
    return (
        b"All in the channel have seen what you said. If it was a password, change it "
        b"at once; if it was a token, use it up at once, or change the password. Then "
        b"say it in private only: /msg %b .help" % own_nick
    )


def registered(address: bytes, *, added: bool) -> bytes:
    """Answer a `.register` that was right."""
    if not added:
        return b"This nick watches %b already." % address
    return b"From now on I tell this nick of new mail for %b." % address


def cancelled(address: bytes) -> bytes:
    """Answer a `.cancel` that found something."""
    return b"I tell this nick of mail for %b no more." % address


def shown(watch: Watch, address: bytes) -> bytes:
    """Return a line of `.show`: the day is all that is kept of the last change."""
    changed = b"no mail since it was registered"
    if watch.changed_day is not None:
        day = _FIRST_DAY + timedelta(days=watch.changed_day)
        changed = b"last changed " + day.isoformat().encode()
    return b"%b: %b, %d bytes" % (address, changed, watch.used_bytes)
