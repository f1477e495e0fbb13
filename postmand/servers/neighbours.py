"""The gateways as their mail host knows them: each by its key, and what it may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.logger import Logger

from postmand.faults import log_fault
from postmand.rules.cap import Cap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmand.config import Gateway, Inbound
    from postmand.servers.dialogue import Dialogue

_HOUR = 3_600.0
# Whether a gateway was shut out by another process is looked up this often, in seconds.
_LOOK = 10.0


@define(eq=False)
class Neighbour:
    """A gateway: its number in the configuration, its caps, and its open sessions."""

    number: int
    pin: str
    questions: Cap
    crates: Cap
    octets: Cap
    sessions: list[Dialogue] = field(factory=list)
    looked: float = float("-inf")


class Neighbours:
    """All gateways, numbered from 1.

    `retired` tells of a pin whether it was shut out, and is asked every few seconds at
    most. `open_door` is who comes in without a key, where nobody has one.
    """

    log = Logger()

    def __init__(
        self,
        gateways: Sequence[Gateway],
        inbound: Inbound,
        seconds: Callable[[], float],
        retired: Callable[[str], bool],
    ) -> None:
        self._seconds = seconds
        self._retired = retired
        self._out: set[str] = set()
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
        """Tell whether a gateway may stay; one that was shut out has no sessions."""
        now = self._seconds()
        if neighbour.pin and now - neighbour.looked >= _LOOK:
            try:
                gone = self._retired(neighbour.pin)
            except Exception as error:
                # Who is not known to be welcome is not: until it can be told again.
                log_fault(self.log, "who was shut out can not be told", error)
                return False
            neighbour.looked = now
            if gone:
                self.shut_out(neighbour.pin)
        return neighbour.pin not in self._out

    def shut_out(self, pin: str) -> None:
        """Let the gateway with this key in no more; its connections are cut."""
        self._out.add(pin)
        neighbour = self._pinned.get(pin)
        for session in list(neighbour.sessions if neighbour else ()):
            session.close(abort=True)
