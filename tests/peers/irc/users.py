"""Users of IRC that do as they are told: octets on a socket, and nothing hidden."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Self

from tests.peers.irc.background import call, loop, wait_for

__all__ = ["CHANNEL", "User"]

LOCAL = "127.0.0.1"
QUICK = "127.1.0.1"
CHANNEL = b"#mail.i2p"
_PATIENCE = 60.0


class User(asyncio.Protocol):
    """One connection to an IRC server at `port`, welcomed there as `nick`.

    `lines` is what it heard, in order; PING is answered by itself. Methods are called
    from the test's thread; `welcome` false does not wait for the server's welcome.
    """

    def __init__(
        self, port: int, nick: str, *, source: str = QUICK, welcome: bool = True
    ) -> None:
        self.nick = nick
        self.lines: list[bytes] = []
        self._news = threading.Condition()
        self._kept = b""
        self._transport: asyncio.Transport | None = None
        wait_for(self._connect(port, source))
        self.say(b"NICK " + nick.encode(), b"USER user 0 * :somebody")
        if welcome:
            self.hear(rb":\S+ (422|376) ")

    async def _connect(self, port: int, source: str) -> None:
        await loop().create_connection(
            lambda: self, LOCAL, port, local_addr=(source, 0)
        )

    # Lines.

    def say(self, *lines: bytes) -> None:
        """Send lines in one burst."""
        call(self._write, b"".join(line + b"\r\n" for line in lines))

    def mark(self) -> int:
        """Return a place in `lines`: what is heard from now on is behind it."""
        return len(self.lines)

    def hear(self, pattern: bytes, since: int = 0, *, seconds: float = 30.0) -> bytes:
        """Return the first line that the pattern is found in, waiting for it.

        An AssertionError says what was heard instead. `since` is a mark.
        """
        until = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.lines[since:]:
                    if re.search(pattern, line, re.IGNORECASE):
                        return line
                if (left := until - time.monotonic()) <= 0:
                    break
                self._news.wait(left)
        told = b"\n".join(self.lines[since:][-40:]).decode("utf-8", "replace")
        raise AssertionError(f"{self.nick} never heard {pattern!r}, but:\n{told}")

    def has_heard(self, pattern: bytes, since: int = 0) -> bool:
        """Tell whether the pattern is found in a line heard so far."""
        return any(
            re.search(pattern, line, re.IGNORECASE) for line in self.lines[since:]
        )

    def heard(self, pattern: bytes, since: int = 0) -> list[bytes]:
        """Return all lines heard so far that the pattern is found in."""
        return [
            line
            for line in self.lines[since:]
            if re.search(pattern, line, re.IGNORECASE)
        ]

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        time.sleep(seconds)

    def round_trip(self) -> None:
        """Return when the server has done all that was said."""
        mark, token = self.mark(), b"%d" % time.monotonic_ns()
        self.say(b"PING " + token)
        self.hear(rb" PONG .*" + token, mark)

    # What users do.

    def join(self, channel: bytes = CHANNEL) -> Self:
        """Join and wait until it is so."""
        mark = self.mark()
        self.say(b"JOIN " + channel)
        self.hear(rb" 366 \S+ " + re.escape(channel), mark)
        return self

    def rename(self, nick: str) -> None:
        """Take another nick and wait until it is so."""
        mark = self.mark()
        self.say(b"NICK " + nick.encode())
        self.hear(rb"^:\S+ NICK :?" + re.escape(nick.encode()) + b"$", mark)
        self.nick = nick

    def tell(self, nick: str, text: str | bytes) -> int:
        """Say something in private; return the mark before any answer."""
        mark = self.mark()
        octets = text.encode() if isinstance(text, str) else text
        self.say(b"PRIVMSG " + nick.encode() + b" :" + octets)
        return mark

    def quit(self) -> None:
        """Hang up."""
        self.say(b"QUIT :done")
        call(self._close)

    # NickServ: Atheme and Anope take the same words and answer in their own.

    def register(self, password: str) -> Self:
        """Make the own nick an account of one's own; one is logged in then."""
        mail = re.sub(r"[^a-z0-9]", "-", self.nick) + "@irc.test"
        return self._ask(f"REGISTER {password} {mail}", rb"registered")

    def identify(self, password: str, account: str = "") -> Self:
        """Log in, to the own nick or to an account."""
        words = f"IDENTIFY {account} {password}" if account else f"IDENTIFY {password}"
        return self._ask(words, rb"(now|already) (identified|recognized|logged)")

    def group(self, account: str, password: str) -> Self:
        """Add the own nick to those of the account that one is logged in to."""
        # Atheme takes the account one is logged in to, and ignores the words.
        return self._ask(
            f"GROUP {account} {password}", rb"(now|successfully).*(group|registered)"
        )

    def log_out(self) -> Self:
        """Be nobody's any more."""
        return self._ask("LOGOUT", rb"(logged out)")

    def _ask(self, words: str, answer: bytes) -> Self:
        mark = self.tell("NickServ", words)
        self.hear(rb"^:NickServ!\S* NOTICE \S+ :.*" + answer, mark)
        return self

    # On the loop's thread.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep lines, answer PING (asyncio)."""
        *lines, self._kept = (self._kept + data).split(b"\n")
        for line in lines:
            if line.startswith(b"PING"):
                self._write(b"PONG" + line[4:].rstrip(b"\r") + b"\r\n")
        with self._news:
            self.lines.extend(line.rstrip(b"\r") for line in lines)
            self._news.notify_all()

    def connection_lost(self, reason: Exception | None) -> None:
        """Tell who waits (asyncio)."""
        with self._news:
            self.lines.append(b"(connection lost)")
            self._news.notify_all()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
