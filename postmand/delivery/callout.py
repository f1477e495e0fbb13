"""A callout: the sender's own server is asked whether it knows the address.

Null sender, one RCPT, no DATA (guide 7.6, step 4). Called for named domains only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from postmand.delivery.connection import Connection, Gone

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.delivery.dialling import Dial

# Seconds for a connection, and for each reply.
_PATIENCE = 10.0


class _Quiet(Factory):
    """A factory that does not tell the log whom we ask."""

    noisy = False


class Caller:
    """Asks servers. `name` is our own; `port` that of the Internet's mail servers."""

    def __init__(self, name: str, dial: Dial, port: int, reactor: IReactorTime) -> None:
        self._hello = f"EHLO {name}\r\n".encode()
        self._dial = dial
        self._port = port
        self._reactor = reactor

    def call(self, address: bytes, places: Sequence[str]) -> Deferred[str]:
        """Fire with "accepted", "refused" or "failed" (see servers.callout.Call)."""
        return Deferred.fromCoroutine(self._call(address, places))

    async def _call(self, address: bytes, places: Sequence[str]) -> str:
        for place in places:
            connection = await self._connected(place)
            if connection is None:
                continue
            word = "failed"
            try:
                with suppress(Gone):
                    word = await self._asked(connection, address)
            finally:
                connection.over = connection.over or "parted"
                await connection.close()
            if word != "failed":
                return word
        return "failed"

    async def _connected(self, place: str) -> Connection | None:
        factory = _Quiet.forProtocol(lambda: Connection(self._reactor))
        connecting: Deferred[Any] = self._dial(place, self._port).connect(factory)
        timer = self._reactor.callLater(_PATIENCE, connecting.cancel)
        # Whatever it fails with: there is no connection.
        connection: Connection | None = await connecting.addErrback(lambda _: None)
        if timer.active():
            timer.cancel()
        return connection

    async def _asked(self, connection: Connection, address: bytes) -> str:
        connection.owe(1)
        greeting = await connection.answer(_PATIENCE)
        if greeting.code != 220:
            return "failed"
        for line in (self._hello, b"MAIL FROM:<>\r\n"):
            connection.say(line, 1)
            if (await connection.answer(_PATIENCE)).code != 250:
                return "failed"
        connection.say(b"RCPT TO:<%s>\r\n" % address, 1)
        code = (await connection.answer(_PATIENCE)).code
        connection.say(b"QUIT\r\n", 1)
        if 200 <= code < 300:
            return "accepted"
        return "refused" if code >= 500 else "failed"
