"""A go-between on the link that keeps what passes: for seeing what a wiretap sees."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
import threading
from pathlib import Path

from attrs import define, field, frozen

from postmand.link import pin_of
from tests.flow.program import LOCAL, PATIENCE

_PIECE = 65_536
# RFC 8446 4.1.3, 4.2.1 and 5.1.
_HANDSHAKE, _SERVER_HELLO, _SUPPORTED_VERSIONS = 22, 2, 43
_VERSIONS = {0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


@define(eq=False)
class Passage:
    """One connection: what who called has sent, and what came back."""

    sent: bytearray = field(factory=bytearray)
    answered: bytearray = field(factory=bytearray)

    @property
    def octets(self) -> int:
        """How much passed, both ways."""
        return len(self.sent) + len(self.answered)

    @property
    def protected(self) -> str:
        """What protects it, as its first octets tell: "" where nothing does."""
        return tls_version(bytes(self.answered))


@frozen
class Shown:
    """What somebody met who called with a key of his own.

    `pin` is of the key he was shown, `refusal` how it ended, "" if he was let in.
    """

    pin: str
    refusal: str


class Tap:
    """Listens at `port` of this machine, and passes all on to another port of it."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.passages: list[Passage] = []
        self._sockets: list[socket.socket] = []
        self._door = socket.create_server((LOCAL, 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def octets(self) -> int:
        """How much has passed so far, in all connections."""
        return sum(one.octets for one in self.passages)

    def holds(self, *words: bytes) -> bool:
        """Tell whether one of the words passed in the clear."""
        return any(
            word in octets
            for one in self.passages
            for octets in (bytes(one.sent), bytes(one.answered))
            for word in words
        )

    def stop(self) -> None:
        """Close everything."""
        for one in (self._door, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._pass_on(self._door.accept()[0])

    def _pass_on(self, caller: socket.socket) -> None:
        try:
            called = socket.create_connection((LOCAL, self.target), PATIENCE)
        except OSError:
            caller.close()
            return
        called.settimeout(None)
        passage = Passage()
        self.passages.append(passage)
        self._sockets += caller, called
        for source, sink, kept in (
            (caller, called, passage.sent),
            (called, caller, passage.answered),
        ):
            threading.Thread(
                target=_pump, args=(source, sink, kept), daemon=True
            ).start()


def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            kept += piece
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def tls_version(answered: bytes) -> str:
    """Return the version that a server's first octets settle on, "" for no TLS."""
    if len(answered) < 44 or (answered[0], answered[5]) != (_HANDSHAKE, _SERVER_HELLO):
        return ""
    chosen: int = struct.unpack_from("!H", answered, 9)[0]
    # Behind the random, the session's id, the cipher suite and no compression.
    at = 44 + answered[43] + 3
    end = at + 2 + struct.unpack_from("!H", answered, at)[0]
    at += 2
    while at + 4 <= min(end, len(answered)):
        kind, length = struct.unpack_from("!HH", answered, at)
        if kind == _SUPPORTED_VERSIONS:
            chosen = struct.unpack_from("!H", answered, at + 4)[0]
        at += 4 + length
    return _VERSIONS.get(chosen, f"version {chosen:#06x}")


def shown_to(identity: bytes, port: int) -> Shown:
    """Call a TLS server of this machine with a key of one's own (PEM), and look."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(identity)
        context.load_cert_chain(file.name)
    with (
        socket.create_connection((LOCAL, port), PATIENCE) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        certificate = ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(True) or b"")
        pin = pin_of(certificate.encode())
        try:
            # With TLS 1.3 a client hears only now what is thought of its own key.
            refusal = "" if wrapped.recv(1) else "the connection is closed"
        except OSError as error:
            refusal = getattr(error, "reason", "") or type(error).__name__
    return Shown(pin, refusal.lower().replace("_", " "))
