"""What a mail server says: replies read from its octets, bounded and cleaned. No I/O.

A reply comes from a stranger. It may be long, cut in two, in no language at all, and
its text ends in a member's mailbox.
"""

from __future__ import annotations

import re

from attrs import frozen

from postmand.internet import Reply

# RFC 5321 4.5.3.1.5 allows 512 octets a line; many say more.
_LINE_OCTETS = 4_096
LINES = 128
_REPLY_OCTETS = 16_384
# A line of what a gateway remembers: a path (RFC 5321 4.5.3.1.3, UTF-8 and all), codes,
# and the short text of ours.
_REMEMBERED_OCTETS = 768
_TEXT = 300

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ \t-])(.*))?", re.DOTALL)
_REMEMBERED = re.compile(rb"<([^<>]+)> ([2-5][0-9][0-9]) (.*)", re.DOTALL)
_ENHANCED = re.compile(rb"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?=[ \t]|$)")
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]+")
_SPACES = re.compile(rb"\s+")
# Between mail host and gateway one end may say where the other is.
_PLACE = re.compile(
    rb"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.]*[0-9])"
    rb"|(?<![0-9A-Za-z:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])"
)
# RFC 3463 for those who give no enhanced code; what a code leaves open stays so.
_DERIVED = {
    421: "4.3.2", 451: "4.3.0", 452: "4.3.1", 454: "4.7.0", 455: "4.5.4",
    500: "5.5.2", 501: "5.5.4", 502: "5.5.1", 503: "5.5.1", 504: "5.5.4",
    530: "5.7.0", 534: "5.7.9", 535: "5.7.8", 538: "5.7.11", 551: "5.1.6",
    552: "5.2.2", 553: "5.1.3", 555: "5.5.4", 556: "5.1.10",
}  # fmt: skip


@frozen
class Answer:
    """One whole reply as it came: its code, and the text of each line."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def enhanced(self) -> str:
        """The enhanced code (RFC 3463), derived where there is none that fits."""
        found = _ENHANCED.match(self.lines[0])
        if found and int(found[1]) == self.code // 100:
            return b".".join(
                str(int(part)).encode() for part in found.groups()
            ).decode()
        return _DERIVED.get(self.code, f"{self.code // 100}.0.0")

    def reply(self) -> Reply:
        """Return what may be told of it: printable ASCII on one line, and no places."""
        spoken = (
            _ENHANCED.sub(b"", line, count=1) if _ENHANCED.match(line) else line
            for line in self.lines
        )
        text = _SPACES.sub(b" ", b" ".join(spoken))
        text = _PLACE.sub(b"[...]", _UNPRINTABLE.sub(b"?", text)).strip()
        return Reply(self.code, self.enhanced, text[:_TEXT].decode("ascii").rstrip())


class ReplyScan:
    """Octets in, whole replies out, of at most so many lines.

    `fault` names why nothing more is read: what came then is no reply, or too much.
    """

    def __init__(self, lines: int = LINES) -> None:
        self.fault = ""
        self._most = lines
        self._most_octets = _REPLY_OCTETS
        if lines > LINES:
            self._most_octets = lines * _REMEMBERED_OCTETS
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []
        self._octets = 0

    @property
    def begun(self) -> bool:
        """Whether a part of a reply came that is not whole yet."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Answer]:
        """Return the replies that `data` completes, up to the fault if there is one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        answers = []
        for line in lines:
            if self.fault:
                break
            answer = self._line(line.removesuffix(b"\r"))
            if answer is not None:
                answers.append(answer)
        if not self.fault and len(self._rest) > _LINE_OCTETS:
            self.fault = "reply-line-too-long"
        if self.fault:
            self._rest = b""
        return answers

    def _line(self, line: bytes) -> Answer | None:
        self._octets += len(line)
        match = _LINE.fullmatch(line)
        self.fault = self._fault(line, match)
        if self.fault or match is None:
            return None
        self._code = int(match[1])
        self._lines.append(match[3] or b"")
        if match[2] == b"-":
            return None
        answer = Answer(self._code, tuple(self._lines))
        self._lines, self._octets = [], 0
        return answer

    def _fault(self, line: bytes, match: re.Match[bytes] | None) -> str:
        if len(line) > _LINE_OCTETS:
            return "reply-line-too-long"
        if len(self._lines) >= self._most or self._octets > self._most_octets:
            return "reply-too-long"
        if match is None:
            return "no-reply"
        if self._lines and int(match[1]) != self._code:  # RFC 5321 4.2.1
            return "reply-of-two-codes"
        return ""


def remembered(answer: Answer) -> list[tuple[bytes, Reply]]:
    """Return what a gateway of ours remembers: lines `<recipient> code enhanced text`.

    A line that is none is passed over.
    """
    found = []
    for line in answer.lines:
        match = _REMEMBERED.fullmatch(line)
        if match is not None:
            found.append((match[1], Answer(int(match[2]), (match[3],)).reply()))
    return found


def extensions(answer: Answer) -> dict[bytes, bytes]:
    """Return what a reply to EHLO offers: keyword in upper case to its parameters.

    Its first line is the server's name (RFC 5321 4.1.1.1).
    """
    offered = {}
    for line in answer.lines[1:]:
        keyword, _space, parameters = line.strip().partition(b" ")
        offered[keyword.upper()] = parameters.strip()
    return offered
