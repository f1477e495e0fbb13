"""A message on its way to one domain's servers, and what they said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from postmand.delivery.body import Body
from postmand.delivery.errand import ELSEWHERE, UNDERWAY, Errand, Stage
from postmand.interfaces import IChunks
from postmand.internet import Leg, Parcel, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from postmand.delivery.replies import Answer
    from postmand.inbound import Outward


@implementer(IChunks)
class _Nothing:
    """No more pieces than there are in memory."""

    def next(self) -> Deferred[bytes]:
        return succeed(b"")

    def close(self) -> None:
        pass


class Whole(Body):
    """A body that is in memory already, and can be read as often as needed."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__(_Nothing(), sum(map(len, pieces)))
        self._pieces = [piece for piece in pieces if piece]
        self._ended = True


class Consignment(Errand):
    """An errand to servers that are strangers, of whom any may take it.

    `last_word` is for whom no server said anything; `doubtful` means that one of them
    may have the message.
    """

    def __init__(self, outward: Outward) -> None:
        leg = Leg(
            account=0,
            name="",
            sender=outward.sender,
            domain=outward.domain,
            recipients=outward.recipients,
            header=outward.header,
            until=0,
        )
        whole = Whole(outward.body)
        super().__init__(Parcel(0, leg, sum(map(len, outward.body)), _Nothing()), 1)
        self.body = whole
        self.doubtful = False
        self.last_word: Reply | None = None
        self._later: dict[bytes, Reply] = {}

    @property
    def domain(self) -> str:
        """The domain in ASCII."""
        return self.parcel.leg.domain.decode("ascii", "replace")

    def hear(self, recipient: bytes, stage: Stage, answer: Answer) -> None:
        """Note what was said of a recipient.

        What is put off before the message was shown, another server may take; what is
        said of the message itself is said for all of them.
        """
        reply = answer.reply()
        if reply.code in (UNDERWAY, ELSEWHERE):  # they are between gateway and host
            reply = evolve(reply, code=451)
        if stage is not Stage.END and 400 <= reply.code < 500:
            self._later[recipient] = reply
        else:
            self.replies[recipient] = reply

    def told(self) -> Mapping[bytes, Reply]:
        """Return one reply for every recipient."""
        last = self.last_word or Reply(451, "4.4.0", "no server took the message")
        return {
            one: self.replies.get(one) or self._later.get(one, last)
            for one in self.parcel.leg.recipients
        }
