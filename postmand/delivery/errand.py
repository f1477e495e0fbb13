"""A parcel and what was heard of it so far, from one gateway or from several."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred

from postmand.delivery.body import Body
from postmand.internet import Reply, Report

if TYPE_CHECKING:
    from postmand.delivery.replies import Answer
    from postmand.internet import Parcel

# What a gateway of ours says when it has no verdict yet. No other server may say it.
UNDERWAY = 459
# What it says when it can not reach a domain from where it is, and another may.
ELSEWHERE = 458

# Who may not send at all: RFC 4954 6.
_ACCESS = frozenset({530, 534, 535, 538})
# Commands a gateway does not understand (RFC 5321 4.2.2).
_NOT_UNDERSTOOD = frozenset({500, 502, 503, 504})
_NOWHERE = Reply(451, "4.4.1", "no gateway could be reached", ours=True)
_NO_MAILBOX = Reply(553, "5.1.3", "this is not an address", ours=True)
_NO_UTF8_ADDRESS = Reply(
    553, "5.6.7", "the way there takes no address beyond ASCII", ours=True
)
_NO_UTF8_HEADER = Reply(
    554, "5.6.9", "the way there takes no header beyond ASCII", ours=True
)


class Stage(Enum):
    """Which command is answered."""

    MAIL = 1
    RCPT = 2
    DATA = 3
    END = 4


def gateways_own(stage: Stage, answer: Answer) -> bool:
    """Tell whether a refusal is about us or the gateway, not about the message.

    Its own are: every temporary refusal before a recipient is looked at (MAIL) or
    after (DATA), trouble of its system (4.3.x), whatever it says of access (x.7.x at
    MAIL, RCPT and DATA: "relay access denied" is 454 4.7.1 or 554 5.7.1), and commands
    it does not understand. What is said after the dot is about the message, or comes
    from where the gateway took it: nothing there is the gateway's own.
    """
    if stage is Stage.END:
        return False
    if answer.code in _ACCESS or answer.enhanced[1:4] == ".7.":
        return True
    if answer.code < 500:
        return stage is not Stage.RCPT or answer.enhanced.startswith("4.3.")
    return stage is Stage.MAIL and answer.code in _NOT_UNDERSTOOD


class Errand:
    """One parcel. `remaining` are the recipients without a final reply.

    `tried` are the numbers of gateways it need not be shown again; `asks` those that
    may have it from an earlier try, and are asked before it is shown to anybody.
    `underway` says that one has it, and has no verdict yet.
    """

    def __init__(self, parcel: Parcel, gateways: int) -> None:
        self.parcel = parcel
        self.body = Body(parcel.body, parcel.body_bytes)
        self.done: Deferred[Report] = Deferred()
        self.replies: dict[bytes, Reply] = {}
        self.tried: set[int] = set()
        self.asks: set[int] = set()
        self.underway = False
        self._gateways = gateways
        self._words: dict[bytes, list[Reply]] = {}
        for recipient in parcel.leg.recipients:
            if any(octet < 0x20 or octet == 0x7F for octet in recipient):
                self.replies[recipient] = _NO_MAILBOX

    @property
    def transaction(self) -> bytes:
        """The name of the leg on every try: its item, a random number of the queue's.

        It was given at release and joins nothing else.
        """
        return b"%016x" % self.parcel.item

    @property
    def octets(self) -> int:
        """The message's size as SIZE= counts it (RFC 1870 4)."""
        return len(self.parcel.leg.header) + self.parcel.body_bytes

    @property
    def remaining(self) -> list[bytes]:
        """The recipients without a final reply, in the leg's order."""
        return [one for one in self.parcel.leg.recipients if one not in self.replies]

    @property
    def beyond_ascii(self) -> bool:
        """Whether SMTPUTF8 is needed for what remains (RFC 6531 3.4)."""
        leg = self.parcel.leg
        return not all(map(bytes.isascii, (leg.header, leg.sender, *self.remaining)))

    def wants(self, gateway: int) -> bool:
        """Whether this gateway is to be asked or shown it next."""
        return gateway in self.asks if self.asks else gateway not in self.tried

    def keep_to_ascii(self) -> None:
        """Settle what a gateway without SMTPUTF8 can not be given."""
        leg = self.parcel.leg
        whole = leg.header.isascii() and leg.sender.isascii()
        for recipient in self.remaining:
            if not recipient.isascii():
                self.replies[recipient] = _NO_UTF8_ADDRESS
            elif not whole:
                self.replies[recipient] = _NO_UTF8_HEADER

    def hear(self, recipient: bytes, stage: Stage, answer: Answer) -> None:
        """Note what was said of a recipient."""
        if stage is Stage.END and answer.code == UNDERWAY:
            self.underway = True
        elif stage is Stage.END and answer.code == ELSEWHERE:
            word = evolve(answer.reply(), code=451)
            self._words.setdefault(recipient, []).append(word)
        elif answer.code >= 400 and gateways_own(stage, answer):
            self._words.setdefault(recipient, []).append(answer.reply())
        else:
            self.replies[recipient] = answer.reply()

    def recall(self, recipient: bytes, reply: Reply) -> None:
        """Note what a gateway remembers of an earlier try.

        What was put off then is tried again now.
        """
        if recipient not in self.remaining:
            return
        if reply.code == UNDERWAY:
            self.underway = True
        elif reply.delivered or reply.permanent:
            self.replies[recipient] = reply

    def conclude(self, *, doubtful: bool = False) -> None:
        """Close the body and fire with what came of it; once is enough."""
        if self.done.called:
            return
        self.body.close()
        self.done.callback(Report(self._told(doubtful), doubtful))

    def fail(self, fault: BaseException) -> None:
        """Close the body and fail: the fault is ours."""
        if not self.done.called:
            self.body.close()
            self.done.errback(fault)

    def _told(self, doubtful: bool) -> dict[bytes, Reply]:
        told = dict(self.replies)
        if not doubtful:
            for recipient in self.remaining:
                words = self._words.get(recipient)
                if words:
                    told[recipient] = self._weighed(words)
            if told:
                return {one: told.get(one, _NOWHERE) for one in self._recipients}
        return told

    @property
    def _recipients(self) -> tuple[bytes, ...]:
        return self.parcel.leg.recipients

    def _weighed(self, words: list[Reply]) -> Reply:
        """Return the gateways' own refusals as one reply.

        One gateway that does not know us, or is set up badly, must not send back
        everybody's mail: the refusal is final when there are several, and all say so.
        """
        last = words[-1]
        agreed = all(word.permanent for word in words) and len(words) == self._gateways
        if not last.permanent or (agreed and self._gateways > 1):
            return last
        return evolve(last, code=last.code - 100, enhanced=f"4{last.enhanced[1:]}")
