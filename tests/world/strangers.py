"""Strangers' servers: mail with STARTTLS, policies over HTTPS, and who sits between."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.authority import Issued
from tests.world.listening import Listening

_READ = 65_536


def context(issued: Issued, *above: Issued) -> ssl.SSLContext:
    """Return a server's TLS that shows a certificate, and those above it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        chain = b"".join(one.pem for one in above)
        file.write(issued.key_pem + issued.pem + chain)
        file.flush()
        made.load_cert_chain(file.name)
    return made


@frozen
class Taken:
    """A message that came to a server: to whom, and whether over TLS."""

    recipient: str
    tls: bool


class MailServer(Listening):
    """Takes all mail. With `tls` it offers STARTTLS; `asked` are the names of SNI."""

    def __init__(
        self, address: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self.taken: list[Taken] = []
        self.asked: list[str | None] = []
        self._tls = tls
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.asked.append(name)
        super().__init__(address, port)

    def serve(self, link: socket.socket) -> None:
        """Speak SMTP (RFC 5321), first in the clear."""
        link.sendall(b"220 a stranger\r\n")
        if self._speak(link, tls=False) and self._tls is not None:
            with self._tls.wrap_socket(link, server_side=True) as safe:
                self._speak(safe, tls=True)

    def _speak(self, link: socket.socket, *, tls: bool) -> bool:
        """Speak until it ends; True where TLS is to begin."""
        recipient = ""
        lines = _lines(link)
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO":
                offers = self._tls is not None and not tls
                starttls = b"250-STARTTLS\r\n" if offers else b""
                link.sendall(b"250-a stranger\r\n%s250 8BITMIME\r\n" % starttls)
            elif verb == b"STAR" and self._tls is not None:
                link.sendall(b"220 Go ahead\r\n")
                return True
            elif verb == b"DATA":
                link.sendall(b"354 Go ahead\r\n")
                while next(lines) != b".":
                    pass
                self.taken.append(Taken(recipient, tls))
                link.sendall(b"250 2.0.0 Taken\r\n")
            elif verb == b"QUIT":
                link.sendall(b"221 Bye\r\n")
                return False
            else:
                if verb == b"RCPT":
                    recipient = line.decode().partition("<")[2].partition(">")[0]
                link.sendall(b"250 Ok\r\n")
        return False


class Between(Listening):
    """Sits on the way to a server, and sees to it that no TLS comes about.

    `how`: "hidden" takes STARTTLS out of what EHLO is told, and refuses it by 502;
    "454" and "502" refuse it alone; "garbled" changes what the server says in the
    handshake; "cut" hangs up in it; "injected" adds a reply in the clear to the
    server's 220, and touches nothing else. `heard` is what the client said that could
    be read.
    """

    def __init__(self, address: str, port: int, server: str, how: str) -> None:
        self.heard = b""
        self._lock = threading.Lock()
        self._server = (server, port)
        self._how = how
        super().__init__(address, port)

    def serve(self, link: socket.socket) -> None:
        """Pass on what is said, changed."""
        with socket.create_connection(self._server, 60, (self.address, 0)) as further:
            replies = _lines(further)
            _answer(link, replies)
            for line in _lines(link):
                with self._lock:
                    self.heard += line + b"\r\n"
                verb = line[:4].upper()
                if verb == b"STAR" and self._how in ("hidden", "454", "502"):
                    code = 454 if self._how == "454" else 502
                    link.sendall(b"%d 5.5.1 What is that?\r\n" % code)
                    continue
                further.sendall(line + b"\r\n")
                if verb == b"STAR":
                    self._handshake(link, further, replies)
                    return
                _answer(link, replies, without=self._hidden)
                if verb == b"DATA":
                    self._body(link, further)
                    _answer(link, replies)

    @property
    def _hidden(self) -> bytes:
        return b"STARTTLS" if self._how == "hidden" else b""

    def _body(self, link: socket.socket, further: socket.socket) -> None:
        # The client waits for the reply: all that comes ends with the dot.
        octets = b""
        while not octets.endswith(b"\r\n.\r\n"):
            octets += link.recv(_READ)
        further.sendall(octets)

    def _handshake(
        self, link: socket.socket, further: socket.socket, replies: Iterator[bytes]
    ) -> None:
        more = b"250 8BITMIME\r\n" if self._how == "injected" else b""
        link.sendall(next(replies) + b"\r\n" + more)
        if self._how == "injected":
            back = threading.Thread(target=_pass_on, args=(further, link), daemon=True)
            back.start()
            _pass_on(link, further)
            back.join()
            return
        hello = link.recv(_READ)
        if self._how == "cut" or not hello:
            return
        further.sendall(hello)
        said = further.recv(_READ)
        # The record stays a record: what is in it is no ServerHello any more.
        link.sendall(said[:9] + bytes(octet ^ 0x55 for octet in said[9:]))
        with contextlib.suppress(OSError):
            while link.recv(_READ):
                pass


class PolicyServer(Listening):
    """Serves `files` by host name at /.well-known/mta-sts.txt (RFC 8461 3.3)."""

    def __init__(self, address: str, tls: ssl.SSLContext, port: int = 443) -> None:
        self.files: dict[str, str] = {}
        self.asked: list[str] = []
        self._tls = tls
        super().__init__(address, port)

    def serve(self, link: socket.socket) -> None:
        """Answer one request."""
        with self._tls.wrap_socket(link, server_side=True) as safe:
            lines = _lines(safe)
            target = next(lines).split()[1]
            fields = {}
            while line := next(lines):
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip().decode()
            host = fields.get(b"host", "")
            self.asked.append(host)
            file = self.files.get(host)
            if target != b"/.well-known/mta-sts.txt" or file is None:
                safe.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
                return
            head = "HTTP/1.1 200 Ok\r\nContent-Type: text/plain\r\n"
            length = f"Content-Length: {len(file)}\r\nConnection: close\r\n\r\n"
            safe.sendall((head + length + file).encode())


def policy(mode: str, *patterns: str) -> str:
    """Return a policy's text (RFC 8461 3.2)."""
    names = "".join(f"mx: {one}\r\n" for one in patterns)
    return f"version: STSv1\r\nmode: {mode}\r\n{names}max_age: 604800\r\n"


def _lines(link: socket.socket) -> Iterator[bytes]:
    """Yield lines without their ends, and what may follow them not before it is asked.

    Nothing is read beyond a line's end: what follows STARTTLS is TLS's.
    """
    while True:
        line = bytearray()
        while not line.endswith(b"\n"):
            octet = link.recv(1)
            if not octet:
                return
            line += octet
        yield bytes(line.rstrip(b"\r\n"))


def _answer(link: Any, replies: Iterator[bytes], without: bytes = b"") -> None:
    """Pass on one reply, but for the lines that hold `without`."""
    lines = [next(replies)]
    while lines[-1][3:4] == b"-":
        lines.append(next(replies))
    kept = [one for one in lines if not (without and without in one)]
    link.sendall(b"".join(one + b"\r\n" for one in kept))


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    """Pass octets on until there are no more."""
    with contextlib.suppress(OSError):
        while octets := source.recv(_READ):
            to.sendall(octets)
        to.shutdown(socket.SHUT_WR)


def write_anchor(directory: Path, root: Issued) -> Path:
    """Write an authority's certificate where OpenSSL may be told to find it."""
    path = directory / "authorities.pem"
    path.write_bytes(root.pem)
    return path
