"""HTTP as the pages speak it: bounded, and without a word about us or the visitor.

What Twisted's classes do by themselves and these do not: write a log of requests, tell
the clock (Date) and the software (Server), keep a long body in an unsealed file, wait
for ever on one that drips, read multipart forms.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from postmand.web.secrecy import ALWAYS

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

    from postmand.config import Web

_METHODS = frozenset({b"GET", b"HEAD", b"POST"})
_FORM = b"application/x-www-form-urlencoded"
# What the I2P HTTP tunnel tells of the visitor: dropped before anything sees it.
_TELLTALE = (b"x-i2p-", b"x-forwarded-", b"forwarded", b"via")
_HEADER_BYTES = 16_384
_HEADERS = 100
_WORDS = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    421: b"Misdirected Request",
}


class PageRequest(Request):
    """One request. Its body is in memory, and never longer than a form may be."""

    site: PageSite
    channel: Any
    content: Any
    defaultContentType = b"text/html; charset=utf-8"

    def gotLength(self, length: int | None) -> None:
        """Look at the header before any of the body: refuse here, at no cost."""
        self.content = BytesIO()
        refused = self._refusal(length)
        if refused:
            self.channel.refuse(refused)

    def _refusal(self, length: int | None) -> int:
        """Return the status that refuses this request, or 0."""
        headers = self.requestHeaders
        for name, _ in list(headers.getAllRawHeaders()):
            if name.lower().startswith(_TELLTALE):
                headers.removeHeader(name)
        settings = self.channel.site.settings
        if self.channel.method not in _METHODS:
            return 405
        if not _is_ours(headers.getRawHeaders(b"host", ()), settings.hosts):
            return 421
        if length is not None and length > settings.max_form_bytes:
            return 413
        kind = headers.getRawHeaders(b"content-type", (b"",))[0]
        posted = self.channel.method == b"POST" and length != 0
        if posted and kind.partition(b";")[0].strip().lower() != _FORM:
            return 415
        return 0

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what comes, if it is not too much: a chunked body names no length."""
        if self.content.tell() + len(data) > self.channel.site.settings.max_form_bytes:
            self.channel.refuse(413)
            return
        self.content.write(data)

    def write(self, data: bytes) -> None:
        """Write; before the first octet the header is made ours."""
        if not self.startedWriting:
            headers = self.responseHeaders
            for name in (b"server", b"date"):
                headers.removeHeader(name)
            for name, value in ALWAYS:
                headers.setRawHeaders(name, [value])
            if not headers.hasHeader(b"cache-control"):
                headers.setRawHeaders(b"cache-control", [b"no-store"])
        super().write(data)  # type: ignore[no-untyped-call]


class PageChannel(HTTPChannel):
    """A connection. All of a request has to be here within one time."""

    totalHeadersSize = _HEADER_BYTES
    maxHeaders = _HEADERS
    site: PageSite
    transport: Any
    on_end: Any = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._late: IDelayedCall | None = None
        self._refused = False

    @property
    def method(self) -> bytes:
        """The method of the request that is coming in."""
        return bytes(self._command)

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._wait()

    def dataReceived(self, data: bytes) -> None:
        """Take what comes, unless the request is refused already."""
        if not self._refused:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def allContentReceived(self) -> None:
        """Answer; how long that takes is ours."""
        self._stop_waiting()
        if not self._refused:
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """Wait for the next one."""
        super().requestDone(request)  # type: ignore[no-untyped-call]
        if self.persistent:
            self._wait()

    def refuse(self, code: int) -> None:
        """Say why nothing more is read, and close."""
        if self._refused:
            return
        self._refused = True
        text = b"%d %b\n" % (code, _WORDS[code])
        head = b"HTTP/1.1 %d %b\r\n" % (code, _WORDS[code])
        fields = [
            *ALWAYS,
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(text)),
            (b"Connection", b"close"),
            *([(b"Allow", b"GET, HEAD, POST")] if code == 405 else []),
        ]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in fields)
        self.transport.write(head + lines + b"\r\n" + text)
        self.loseConnection()  # type: ignore[no-untyped-call]

    def timeoutConnection(self) -> None:
        """End it; Twisted's own would tell the log who it was."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Make room for another."""
        self._stop_waiting()
        if self.on_end is not None:
            self.on_end()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _wait(self) -> None:
        # The idle timeout alone begins anew with each octet: a slow body holds it.
        self._stop_waiting()
        seconds = self.site.settings.request_seconds
        late: Any = self.callLater(  # type: ignore[no-untyped-call]
            seconds, self.timeoutConnection
        )
        self._late = late

    def _stop_waiting(self) -> None:
        late, self._late = self._late, None
        if late is not None and late.active():
            late.cancel()


class PageSite(Site):
    """The pages' factory: so many connections in all, so many for one peer."""

    noisy = False
    protocol = PageChannel  # type: ignore[assignment]
    requestFactory = PageRequest

    def __init__(self, root: IResource, settings: Web, reactor: Any) -> None:
        super().__init__(root, timeout=settings.request_seconds, reactor=reactor)
        self.settings = settings
        self._open = 0
        self._peers: Counter[str] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection, or none: then it is closed at once."""
        peer = peer_of(addr)
        if (
            self._open >= self.settings.connections
            or self._peers[peer] >= self.settings.connections_per_peer
        ):
            return None
        self._open += 1
        self._peers[peer] += 1
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        # Twisted wraps the channel in one that could turn to HTTP/2.
        getattr(channel, "_channel", channel).on_end = partial(self._ended, peer)
        return channel

    def _ended(self, peer: str) -> None:
        self._open -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]

    def startFactory(self) -> None:
        """Open no log, and keep no clock for one."""

    def stopFactory(self) -> None:
        """There is nothing to close."""

    def log(self, request: Any) -> None:
        """Write nothing."""


def peer_of(address: IAddress | None) -> str:
    """Return what tells one peer from another: kept in memory, never written."""
    return str(getattr(address, "destination", None) or getattr(address, "host", ""))


def _is_ours(hosts: Any, ours: tuple[str, ...]) -> bool:
    """Tell whether a request is for us: one Host, of a name that we have.

    A page elsewhere whose name was made to lead here (DNS rebinding) has another.
    """
    if len(hosts) != 1:
        return False
    name, _, port = hosts[0].decode("latin-1").lower().partition(":")
    return name.rstrip(".") in ours and (not port or port.isdecimal())
