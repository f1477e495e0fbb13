"""Questions from a thread, for code that waits for its answer."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTimeError
from typing import TYPE_CHECKING, Any, cast

import dns.exception
import dns.rdata
from attrs import frozen

from postmand.inbound import IResolver, Records

if TYPE_CHECKING:
    from dns.rdtypes.ANY.TXT import TXT


@frozen
class Blocking:
    """A resolver for threads other than the reactor's.

    A reactor that has ended answers nobody: the wait ends all the same.
    """

    resolver: IResolver
    reactor: Any

    def asked(self, name: str, kind: str, seconds: float = 20.0) -> Records:
        """Return what IResolver.ask fires with, "failed" after so many seconds."""
        told: Future[Records] = Future()
        self.reactor.callFromThread(self._ask, name, kind, told)
        try:
            return told.result(seconds)
        except OutOfTimeError:
            return Records("failed")

    def txt(self, name: str, seconds: float = 20.0) -> list[bytes]:
        """Return the TXT records of a name, each one's strings joined.

        An empty list for none; TimeoutError where DNS failed.
        """
        records = self.asked(name, "TXT", seconds)
        if records.status == "failed":
            raise TimeoutError("DNS gave no usable answer")
        return [txt_octets(text) for text in records.texts]

    def _ask(self, name: str, kind: str, told: Future[Records]) -> None:
        """Begin to ask, in the reactor's thread."""
        try:
            answer = self.resolver.ask(name, kind)
        except ValueError as error:
            told.set_exception(error)
            return
        answer.addCallbacks(
            told.set_result, lambda fault: told.set_exception(fault.value)
        )


def txt_octets(text: str) -> bytes:
    """Return the octets of a TXT record in presentation form, its strings joined.

    That is how SPF, DKIM and DMARC read it (RFC 7208 3.3, RFC 6376 3.6.2.2).
    ValueError for what is none.
    """
    try:
        record = cast("TXT", dns.rdata.from_text("IN", "TXT", text))
    except dns.exception.DNSException as error:
        raise ValueError("that is no TXT record") from error
    return b"".join(record.strings)
