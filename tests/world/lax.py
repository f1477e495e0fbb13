"""Mail servers as lenient as some were until 2024: what each takes for an end of data.

See "SMTP Smuggling" (Longin, 2023): CVE-2023-51764 (Postfix), -51765 (sendmail), -51766
(Exim), and those that were found after them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

from attrs import Factory, define, frozen

from tests.world.listening import Listening

STRICT = rb"\r\n\.\r\n"
LENIENT: Mapping[str, bytes] = {
    "lf-dot-lf": rb"\n\.\n",
    "lf-dot-crlf": rb"\n\.\r\n",
    "crlf-dot-lf": rb"\r\n\.\n",
    "cr-dot-cr": rb"\r\.\r",
    "cr-dot-crlf": rb"\r\.\r\n",
    "crlf-dot-cr": rb"\r\n\.\r(?!\n)",
    "cr-crlf": rb"\r+\n\.\r+\n",
    "nul": rb"\r\n\x00?\.\x00?\r\n",
    "blanks": rb"\r\n\.[ \t]*\r\n",
    "anything": rb"[\r\n]\x00*\.[\x00 \t]*[\r\n]",
}
_LINE = re.compile(rb"\r\n|\n|\r")


@frozen
class Taken:
    """One message as a server understood it."""

    sender: bytes
    recipients: tuple[bytes, ...]
    data: bytes


@define
class _Transaction:
    sender: bytes = b""
    recipients: list[bytes] = Factory(list)


class LaxServer(Listening):
    """Takes every message there is, and ends each where `ends`, a pattern, is found.

    It takes commands in any form, too, one after the other, asked for or not.
    """

    def __init__(self, address: str, port: int, ends: bytes = STRICT) -> None:
        self.taken: list[Taken] = []
        self.calls = 0
        self._end = re.compile(STRICT + b"|" + ends)
        super().__init__(address, port)

    def serve(self, link: socket.socket) -> None:
        """Speak SMTP."""
        self.calls += 1
        link.sendall(b"220 lax ESMTP\r\n")
        transaction = _Transaction()
        came = b""
        while data := link.recv(65_536):
            came += data
            while found := _LINE.search(came):
                line, came = came[: found.start()], came[found.end() :]
                verb = line[:4].upper()
                if verb == b"DATA" and transaction.recipients:
                    link.sendall(b"354 Go on\r\n")
                    came = self._message(link, transaction, came)
                    transaction = _Transaction()
                    continue
                if verb == b"MAIL":
                    transaction = _Transaction(_path(line))
                elif verb == b"RCPT":
                    transaction.recipients.append(_path(line))
                link.sendall(_answer(verb))
                if verb == b"QUIT":
                    return

    def _message(
        self, link: socket.socket, transaction: _Transaction, came: bytes
    ) -> bytes:
        """Take a message up to its end; return what follows that."""
        # DATA's own line end may be the one before the dot.
        window = b"\r\n" + came
        since = 0
        while not (found := self._end.search(window, since)):
            since = max(0, len(window) - 16)
            data = link.recv(65_536)
            if not data:
                return b""
            window += data
        data = window[2 : found.start()] + b"\r\n"
        data = data.replace(b"\r\n.", b"\r\n").removeprefix(b".")
        recipients = tuple(transaction.recipients)
        self.taken.append(Taken(transaction.sender, recipients, data))
        link.sendall(b"250 2.0.0 Taken\r\n")
        return window[found.end() :]


def _path(line: bytes) -> bytes:
    return line.partition(b"<")[2].partition(b">")[0]


def _answer(verb: bytes) -> bytes:
    if verb == b"EHLO":
        return b"250-lax\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
    return b"221 Bye\r\n" if verb == b"QUIT" else b"250 2.0.0 Ok\r\n"
