"""What a session says, gathered and sent past the reactor's turn (decision 0005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What was said is sent when it is more than this.
_GATHER = 65_536


class Outbox:
    """Gathers what is said and sends it together.

    At once, without waiting until the reactor finds the socket writable, which costs as
    much as answering: until a first time the peer's window is full. From then on the
    transport's own buffer keeps the order.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._said: list[bytes] = []
        self._octets = 0
        self._write_now = _direct_write(transport)

    def __bool__(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._said)

    def say(self, octets: bytes) -> None:
        """Gather; what is much is sent."""
        self._said.append(octets)
        self._octets += len(octets)
        if self._octets > _GATHER:
            self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        octets = b"".join(self._said)
        self.clear()
        if self._write_now is not None and octets:
            sent = self._write_now(octets)
            if sent == len(octets):
                return
            self._write_now = None
            if isinstance(sent, int):
                octets = octets[sent:]
        if octets:
            self._transport.write(octets)

    def clear(self) -> None:
        """Forget what was gathered: there is nobody to hear it."""
        self._said = []
        self._octets = 0


def _direct_write(transport: Any) -> Callable[[bytes], int | Exception] | None:
    """Return what writes to the socket at once, None where that would go around TLS.

    It has to be the transport's own: what a wrapper passes through is the socket below
    its encryption.
    """
    own = getattr(type(transport), "writeSomeData", None)
    if own is None or getattr(transport, "TLS", False):
        return None
    write: Callable[[bytes], int | Exception] = transport.writeSomeData
    return write
