"""What a rule answers: a value with a named reason, on wire, log and metric alike."""

from __future__ import annotations

from attrs import frozen


@frozen
class Verdict:
    """A refusal, ready to be spoken.

    `reason` is a short kebab-case name; `code` and `enhanced` are RFC 5321 and
    RFC 3463 codes; `text` tells the peer what to do. A rule that has nothing against
    its input returns None instead.
    """

    reason: str
    code: int
    enhanced: str
    text: str

    @property
    def permanent(self) -> bool:
        """Whether trying the same again is useless."""
        return self.code >= 500

    def line(self) -> bytes:
        """Return the SMTP reply line without its CRLF."""
        return f"{self.code} {self.enhanced} {self.text}".encode()
