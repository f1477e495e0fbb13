"""What a message may cost, and the refusal it gets when it would cost more."""

from __future__ import annotations

from attrs import frozen


@frozen
class Limits:
    """Bounds of one message; each has its own named refusal.

    `header_bytes` and `fields` hold for every header block in it, `parts` for all its
    parts together, `depth` for parts within parts, `parameters` for one MIME field.
    `line_bytes` is the longest line of a part that has to stay byte-exact; all other
    lines are rewritten to fit (RFC 5321 4.5.3.1.6).
    """

    header_bytes: int = 262_144
    fields: int = 1_000
    parts: int = 1_000
    depth: int = 20
    parameters: int = 100
    line_bytes: int = 65_536


class MessageError(Exception):
    """The message is refused: the sender has to change it.

    `reason` names the refusal, `code` and `enhanced` are its reply (RFC 3463 3.7), and
    `text` says what to do.
    """

    code = 554
    enhanced = "5.6.0"

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
