"""What a member's client says of itself, kept for as long as its session lasts.

It is for the member's own eyes: check@ tells them. It is never written or logged.
"""

from __future__ import annotations

from attrs import define, field

from postmand.message.disclosure import Spoken


@define
class Overheard:
    """One session's lines that tell of its client; the last of each kind counts."""

    authzid: bytes = field(default=b"", repr=False)
    _hello: bytes = field(default=b"", repr=False)
    _mail: bytes = field(default=b"", repr=False)
    _mechanism: bytes = b""
    _pipelined: bool = False

    def command(self, line: bytes, *, more: bool) -> None:
        """Note a command line as it was sent; `more` says that others wait behind."""
        verb = line[:5].upper()
        if verb in (b"EHLO ", b"HELO "):
            self._hello = line
        elif verb == b"MAIL ":
            self._mail = line
            self._pipelined = self._pipelined or more
        elif verb == b"AUTH ":
            self._mechanism = line[5:].strip().partition(b" ")[0]

    def spoken(self) -> Spoken:
        """Return what was noted so far."""
        return Spoken(
            self._hello, self._mail, self._mechanism, self.authzid, self._pipelined
        )
