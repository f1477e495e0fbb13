"""The gateways as their mail host knows them: each by its key, and what it may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.logger import Logger

from postmand.faults import log_fault
from postmand.rules.cap import Cap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from postmand.config import Gateway, Inbound
    from postmand.servers.dialogue import Dialogue

_HOUR = 3_600.0
# While sessions are open, who was shut out meanwhile is looked up this often: seconds.
_LOOK = 1.0


@define(eq=False)
class Neighbour:
    """A gateway: its number in the configuration, its caps, and its open sessions.

    Here and nowhere else is counted what it brings and asks, over all its sessions.
    """

    number: int
    pin: str
    questions: Cap
    crates: Cap
    octets: Cap
    sessions: list[Dialogue] = field(factory=list)

    def may_ask(self, recipients: int, now: float) -> bool:
        """Tell whether it may ask for so many more this hour; then they are counted."""
        return self.questions.take(recipients, now)

    def may_bring(self, octets: int, now: float) -> bool:
        """Tell whether it may bring a crate of this size; then it is counted."""
        return self.crates.take(1, now) and self.octets.take(octets, now)


class Neighbours:
    """All gateways, numbered from 1.

    `retired` tells of a pin whether it was shut out. It is asked at every handshake and
    every command, and each second while sessions are open: it has to be quick.
    `open_door` is who comes in without a key, where nobody has one.
    """

    log = Logger()

    def __init__(
        self,
        gateways: Sequence[Gateway],
        inbound: Inbound,
        reactor: IReactorTime,
        retired: Callable[[str], bool],
    ) -> None:
        self._reactor = reactor
        self._retired = retired
        self._looking: IDelayedCall | None = None
        all_of_them = [
            Neighbour(
                number,
                gateway.pin,
                Cap(inbound.questions_per_hour, _HOUR),
                Cap(inbound.messages_per_hour, _HOUR),
                Cap(inbound.bytes_per_hour, _HOUR),
            )
            for number, gateway in enumerate(gateways, 1)
        ]
        self._pinned = {one.pin: one for one in all_of_them if one.pin}
        self.open_door = None if self._pinned else next(iter(all_of_them), None)

    def by_pin(self, pin: str) -> Neighbour | None:
        """Return the gateway with this key, None for a stranger."""
        return self._pinned.get(pin)

    def knows(self, pin: str) -> bool:
        """Tell whether who has this key may come in. Never raises."""
        neighbour = self._pinned.get(pin)
        return neighbour is not None and self.admits(neighbour)

    def admits(self, neighbour: Neighbour) -> bool:
        """Tell whether a gateway may stay. Never raises."""
        if not neighbour.pin:
            return True
        try:
            return not self._retired(neighbour.pin)
        except Exception as error:
            # Who is not known to be welcome is not: until it can be told again.
            log_fault(self.log, "who was shut out can not be told", error)
            return False

    def enter(self, neighbour: Neighbour, session: Dialogue) -> None:
        """Note a session: it is cut soon after its gateway was shut out."""
        neighbour.sessions.append(session)
        if neighbour.pin and self._looking is None:
            self._looking = self._reactor.callLater(_LOOK, self._look)

    def leave(self, neighbour: Neighbour, session: Dialogue) -> None:
        """Note the end of a session; of one that never entered nothing is known."""
        if session in neighbour.sessions:
            neighbour.sessions.remove(session)
        looking = self._looking
        if looking is not None and not any(n.sessions for n in self._pinned.values()):
            self._looking = None
            looking.cancel()

    def _look(self) -> None:
        self._looking = self._reactor.callLater(_LOOK, self._look)
        for neighbour in self._pinned.values():
            if neighbour.sessions and not self.admits(neighbour):
                for session in list(neighbour.sessions):
                    session.close(abort=True)
