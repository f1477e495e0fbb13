"""One mail transaction: what is asked of the gateway for an errand (RFC 5321 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from postmand.delivery.errand import Stage, gateways_own
from postmand.delivery.replies import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postmand.delivery.errand import Errand
    from postmand.delivery.replies import Answer

DATA = b"DATA\r\n"


@define(eq=False)
class Transaction:
    """An errand in hand.

    `asked` are the recipients of this transaction and `accepted` those of them the
    gateway took; `sent` says that all commands left in one burst, `heard` that it was
    answered at all, `dotted` that the end of data left. `refused` is a gateway that
    will not have us; `last` ends the connection.
    """

    errand: Errand
    mail: bytes
    asked: list[bytes]
    accepted: list[bytes] = field(factory=list)
    sent: bool = False
    heard: bool = False
    dotted: bool = False
    refused: bool = False
    last: bool = False

    @property
    def recipients(self) -> list[bytes]:
        """The RCPT commands, in the order of `asked`."""
        return [b"RCPT TO:<%s>\r\n" % one for one in self.asked]

    @property
    def burst(self) -> bytes:
        """All commands of the envelope (RFC 2920 3.1)."""
        return b"".join([self.mail, *self.recipients, DATA])

    @property
    def replies(self) -> int:
        """How many replies the burst gets."""
        return len(self.asked) + 2

    def hear_mail(self, answer: Answer) -> bool:
        """Take the reply to MAIL; tell whether the sender was accepted."""
        self.heard = True
        if answer.code < 300:
            return True
        self.hear(self.asked, Stage.MAIL, answer)
        self.refused = answer.code >= 500 and gateways_own(Stage.MAIL, answer)
        return False

    def hear_recipient(self, recipient: bytes, answer: Answer) -> None:
        """Take the reply to a RCPT."""
        if answer.code < 300:
            self.accepted.append(recipient)
        else:
            self.errand.hear(recipient, Stage.RCPT, answer)

    def hear(self, recipients: list[bytes], stage: Stage, answer: Answer) -> None:
        """Take a reply that is meant for several recipients."""
        for recipient in recipients:
            self.errand.hear(recipient, stage, answer)


class Inquiry(Transaction):
    """What became of an errand at an earlier try: no transaction, but one's place."""

    @property
    def burst(self) -> bytes:
        """The question."""
        return self.mail

    @property
    def replies(self) -> int:
        """How many replies it gets."""
        return 1

    def hear_memory(self, answer: Answer) -> None:
        """Take the answer; one that is no 250 knows nothing."""
        self.heard = True
        if answer.code == 250:
            for recipient, reply in remembered(answer):
                self.errand.recall(recipient, reply)


def inquire(errand: Errand, offered: Mapping[bytes, bytes]) -> Inquiry | None:
    """Return the question for an errand; None where it can not be asked."""
    if b"XASK" not in offered:
        return None
    return Inquiry(errand, b"XASK %s\r\n" % errand.transaction, [])


def begin(errand: Errand, offered: Mapping[bytes, bytes]) -> Transaction | None:
    """Return the transaction for what remains of an errand; None if nothing does.

    A recipient who can not be reached without SMTPUTF8 is settled here when the
    gateway does not offer it. Octets above 127 in the body go to a gateway without
    8BITMIME as they are: there is none left that can not take them, and to send the
    mail back would serve nobody.
    """
    if errand.beyond_ascii and b"SMTPUTF8" not in offered:
        errand.keep_to_ascii()
    asked = errand.remaining
    if not asked:
        return None
    leg = errand.parcel.leg
    mail = b"MAIL FROM:<%s>" % leg.sender
    if b"SIZE" in offered:  # RFC 1870
        mail += b" SIZE=%d" % errand.octets
    eight_bit = errand.body.eight_bit or not leg.header.isascii()
    if eight_bit and b"8BITMIME" in offered:  # RFC 6152
        mail += b" BODY=8BITMIME"
    if errand.beyond_ascii and b"SMTPUTF8" in offered:  # RFC 6531
        mail += b" SMTPUTF8"
    if b"XASK" in offered:  # a gateway of ours, which remembers the name
        mail += b" ENVID=%s" % errand.transaction
    return Transaction(errand, mail + b"\r\n", asked)
