"""A resolver without a network: it says what a test has written down."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from postmand.inbound import IResolver, Records

NOTHING = Records("none")
NO_NAME = Records("none", exists=False)
FAILED = Records("failed")


def found(*texts: str, secure: bool = False) -> Records:
    return Records("found", texts, secure)


@implementer(IResolver)
class Names:
    """Records by name and kind; of a name it does not know nothing is there.

    With `signed` all is vouched for, also that there is nothing.
    """

    def __init__(self, *, signed: bool = False) -> None:
        self.signed = signed
        self.asked: list[tuple[str, str]] = []
        self._records: dict[tuple[str, str], Records] = {}

    def put(self, name: str, kind: str, *texts: str) -> None:
        """Write down what is found."""
        self._records[name, kind] = Records("found", texts, self.signed)

    def set(self, name: str, kind: str, records: Records) -> None:
        """Write down any answer."""
        self._records[name, kind] = records

    def server(
        self, domain: str, host: str, address: str, preference: int = 10
    ) -> None:
        """Add an MX with an address."""
        before = self._records.get((domain, "MX"), NOTHING).texts
        self.put(domain, "MX", *before, f"{preference} {host}.")
        self.put(host, "AAAA" if ":" in address else "A", address)

    def ask(self, name: str, kind: str) -> Deferred[Records]:
        """Answer."""
        self.asked.append((name, kind))
        default = Records("none", (), self.signed)
        return succeed(self._records.get((name, kind), default))
