"""Who works for whom: a conversation for its way, the ways for the courier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from postmand.delivery.dialogue import Dialogue
    from postmand.delivery.errand import Errand
    from postmand.delivery.way import Way


class Company(Protocol):
    """Who a conversation works for: the way to one gateway."""

    def work(self) -> Errand | None:
        """Return an errand to go along with what is being sent now."""

    def asks(self, errand: Errand) -> bool:
        """Whether an errand is to be asked about here, not to be sent."""

    def finished(self, errand: Errand) -> None:
        """An errand got all the answers it gets here."""

    def doubtful(self, errand: Errand) -> None:
        """An errand was sent whole, and its answer will not come."""

    def returned(self, errand: Errand, *, stale: bool) -> None:
        """An errand comes back: what was sent of it was certainly not taken.

        `stale`: the connection had worked, and ended before anything was heard.
        """

    def failed(self, dialogue: Dialogue, reason: str) -> None:
        """The conversation went wrong; its errands come back after this."""

    def ended(self, dialogue: Dialogue) -> None:
        """The connection is gone."""


class Dispatch(Protocol):
    """Who has the errands."""

    def work(self, way: Way) -> Errand | None:
        """Return the next errand for this gateway."""

    def finished(self, way: Way, errand: Errand) -> None:
        """An errand got all the answers it gets from this gateway."""

    def doubtful(self, way: Way, errand: Errand) -> None:
        """An errand was sent whole, and its answer will not come."""

    def returned(self, way: Way, errand: Errand, *, stale: bool) -> None:
        """An errand comes back; when `stale`, this gateway may be asked again."""

    def changed(self) -> None:
        """A connection came about or went, or its time of hope is over."""
