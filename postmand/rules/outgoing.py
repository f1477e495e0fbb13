"""The second lock of a gateway's way out: which header blocks may leave. Pure.

The mail host has washed and signed; nothing is altered here. What is not exactly what a
mail host sends goes back to it, with the field's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from postmand.rules.verdict import Verdict

Field = tuple[bytes, bytes]
"""A field as it stands: its name as written, its body unfolded."""

NOT_OURS = Verdict(
    "sender-not-ours", 550, "5.7.1", "The sender is not of this gateway's domain"
)
_MALFORMED = Verdict(
    "malformed-header", 550, "5.6.0", "The header block holds a line that is no field"
)
_TWO_SENDERS = Verdict(
    "from-mismatch", 550, "5.7.1", "The field From is not the envelope's sender"
)
# RFC 5322 2.1.1, without the line's end.
_LINE = 998
_NAME = re.compile(rb"[!-9;-~]{1,60}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# A bounce says that it is one (RFC 3834 5), and no other mail does.
_OF_BOUNCES = b"Auto-Submitted"
_NEEDED = (b"Date", b"From", b"Message-ID")


@frozen
class Lock:
    """What a header block may hold: `names` as they are written, each once at most.

    Auto-Submitted is a bounce's, and no other mail's, whether it is among them or not.
    `domain` is the one that senders are of.
    """

    names: frozenset[bytes]
    domain: bytes

    def verdict(
        self,
        fields: Sequence[Field] | None,
        authors: Sequence[bytes],
        sender: bytes,
    ) -> Verdict | None:
        """Judge a block as `read` gave it; None lets it pass.

        `authors` are the addresses in From, `sender` is the envelope's, b"" the null
        sender of a bounce; both in canonical form.
        """
        if fields is None:
            return _MALFORMED
        bounces = frozenset({_OF_BOUNCES})
        allowed = self.names - bounces if sender else self.names | bounces
        counted = Counter(name for name, _ in fields)
        for name, times in counted.items():
            if name not in allowed:
                return _not_allowed(name)
            if times > 1:
                return _again(name)
        for name in _NEEDED:
            if name not in counted:
                return _missing(name)
        if len(authors) != 1 or sender not in (b"", authors[0]):
            return _TWO_SENDERS
        return self.sender_verdict(authors[0])

    def sender_verdict(self, sender: bytes) -> Verdict | None:
        """Judge a sender's address; the null sender passes."""
        if sender and sender.rpartition(b"@")[2] != self.domain:
            return NOT_OURS
        return None


def read(block: bytes) -> list[Field] | None:
    """Return the fields of a header block, its empty line included; None: malformed.

    Lines end with CRLF; a line that is neither a field nor folded from one, blanks
    before a colon, controls, text that is no UTF-8 and a line over 998 octets make a
    block malformed: what two readers may read in two ways does not leave.
    """
    if not block.endswith(b"\r\n\r\n"):
        return None
    fields: list[Field] = []
    for line in block[:-4].split(b"\r\n"):
        if _CONTROL.search(line) or len(line) > _LINE or not _is_utf8(line):
            return None
        if line[:1] in (b" ", b"\t"):
            if not (fields and line.strip()):
                return None
            name, body = fields[-1]
            fields[-1] = name, body + line
            continue
        name, colon, body = line.partition(b":")
        if not (colon and _NAME.fullmatch(name)):
            return None
        fields.append((name, body.strip(b" \t")))
    return fields


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _about(reason: str, name: bytes, text: str) -> Verdict:
    return Verdict(reason, 550, "5.6.0", f"The field {name.decode('ascii')} {text}")


def _not_allowed(name: bytes) -> Verdict:
    return _about("field-not-allowed", name, "may not leave")


def _again(name: bytes) -> Verdict:
    return _about("field-twice", name, "stands there more than once")


def _missing(name: bytes) -> Verdict:
    return _about("field-missing", name, "is missing")
