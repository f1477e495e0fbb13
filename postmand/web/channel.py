"""HTTP as the pages speak it: bounded, and without a word about us or the visitor.

What Twisted's classes do by themselves and these do not: write a log of requests, tell
the clock (Date) and the software (Server), keep a long body in an unsealed file, wait
for ever on one that drips, read multipart forms, answer what they refuse with a bare
line.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.web.server import Request, Site

from postmand.rules.peers import peer_key
from postmand.web.pacing import PacedChannel, Turns
from postmand.web.places import Places
from postmand.web.secrecy import ALWAYS
from postmand.web.targets import is_ours, origin_form

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

    from postmand.config import Web

_METHODS = frozenset({b"GET", b"HEAD", b"POST"})
_FORM = b"application/x-www-form-urlencoded"
# All that is looked at. What else a browser or a tunnel tells (User-Agent,
# Accept-Language, X-I2P-DestHash) is dropped before anything sees it.
_WANTED = frozenset(
    {
        b"accept-encoding",
        b"authorization",
        b"connection",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"sec-fetch-site",
        b"transfer-encoding",
    }
)
_HEADER_BYTES = 16_384
_HEADERS = 100
# A length of more digits is no form's; int() itself refuses thousands of them.
_LENGTH_DIGITS = 15
# So long a refused visitor may go on sending: a connection that is closed with octets
# unread is reset, and the words with it (RFC 9112 9.6).
_LINGER_SECONDS = 5.0


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
            if name.lower() not in _WANTED:
                headers.removeHeader(name)
        channel, settings = self.channel, self.channel.site.settings
        hosts = headers.getRawHeaders(b"host", ())
        if channel.method not in _METHODS:
            return 405
        if len(hosts) != 1 or not is_ours(hosts[0], settings.hosts):
            return 421
        if not channel.take_path(settings.hosts):
            return 400
        # Twisted drops "identity", which nobody in our way may read in another way.
        codings = headers.getRawHeaders(b"transfer-encoding", ())
        if [one.lower() for one in codings] not in ([], [b"chunked"]):
            return 400
        if length is not None and length > settings.max_form_bytes:
            return 413
        return 0 if length == 0 or self._is_form() else 415

    def _is_form(self) -> bool:
        kinds = self.requestHeaders.getRawHeaders(b"content-type", ())
        kind = kinds[0].partition(b";")[0].strip().lower() if len(kinds) == 1 else b""
        return bool(self.channel.method == b"POST" and kind == _FORM)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what comes, if it is not too much: a chunked body names no length."""
        if self.channel.refused:
            return
        if self.content.tell() + len(data) > self.channel.site.settings.max_form_bytes:
            self.channel.refuse(413)
            return
        self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, when it is this request's turn."""
        self.channel.answer(partial(super().requestReceived, command, path, version))

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


class PageChannel(PacedChannel):
    """A connection. All of a request has to be here within one time."""

    totalHeadersSize = _HEADER_BYTES
    maxHeaders = _HEADERS
    site: PageSite
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._late: IDelayedCall | None = None
        self.refused = False

    @property
    def method(self) -> bytes:
        """The method of the request that is coming in, b"" before it is known."""
        return bytes(getattr(self, "_command", b""))

    def take_path(self, hosts: tuple[str, ...]) -> bool:
        """Bring the target of the request to a path and query, if it is one of ours."""
        found = origin_form(self._path, hosts)
        if found is not None:
            self._path = found
        return found is not None

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._wait(self.site.settings.request_seconds)

    # What comes after a refusal is read and dropped, here and in the two below.
    def dataReceived(self, data: bytes) -> None:
        """Take what comes, unless the request is refused already."""
        if not self.refused:
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the header."""
        if not self.refused:
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        """Take a piece of the body."""
        if not self.refused:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002 (Twisted's)
        """Refuse a line that is longer than a whole header may be."""
        self.refuse(431)

    def headerReceived(self, line: bytes) -> bool:
        """Take a field of the header; Twisted's own reads any number of digits."""
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value) > _LENGTH_DIGITS:
            self.refuse(413)
            return False
        return bool(super().headerReceived(line))  # type: ignore[no-untyped-call]

    def allContentReceived(self) -> None:
        """Answer, unless the request is refused already."""
        if not self.refused:
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def answering(self) -> None:
        """Wait no longer: how long an answer takes is ours."""
        self._stop_waiting()
        self.site.places.serve(self)

    def requestDone(self, request: Any) -> None:
        """Wait for the next one, or for the visitor to take the answer and go."""
        # Before what follows: the next request may be here already, and be answered.
        self._wait(self.site.settings.request_seconds)
        super().requestDone(request)

    def refuse(self, code: int) -> None:
        """Say why nothing more is read, and end."""
        if self.refused:
            return
        self.refused = True
        said = self.site.refusal(code, b"" if self.method == b"HEAD" else None)
        self.transport.write(said)
        self._networkProducer.unregisterProducer()  # type: ignore[attr-defined]
        self.transport.loseWriteConnection()
        self._wait(_LINGER_SECONDS)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(400)

    def _send100Continue(self) -> None:
        if not self.refused:
            super()._send100Continue()  # type: ignore[no-untyped-call]

    def timeoutConnection(self) -> None:
        """End it; Twisted's own would tell the log who it was."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Make room for another."""
        self._stop_waiting()
        self.site.places.leave(self)
        super().connectionLost(reason)

    def _wait(self, seconds: float) -> None:
        # One time for all of it: Twisted's own begins anew with each octet.
        self._stop_waiting()
        self.site.places.wait(self)
        late: Any = self.callLater(  # type: ignore[no-untyped-call]
            seconds, self.timeoutConnection
        )
        self._late = late

    def _stop_waiting(self) -> None:
        late, self._late = self._late, None
        if late is not None and late.active():
            late.cancel()


class PageSite(Site):
    """The pages' factory: so many connections in all, so many for one peer (`places`).

    `refusals` are whole pages by status, for what is refused before any page is asked.
    """

    noisy = False
    displayTracebacks = False
    protocol = PageChannel  # type: ignore[assignment]
    requestFactory = PageRequest

    def __init__(
        self,
        root: IResource,
        refusals: Mapping[int, bytes],
        settings: Web,
        reactor: Any,
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            root, timeout=None, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.settings = settings
        self._refusals = refusals
        self._turns = Turns(reactor)
        self.places: Places[PageChannel] = Places(
            settings.connections,
            settings.connections_per_peer,
            PageChannel.timeoutConnection,
        )

    def refusal(self, code: int, text: bytes | None = None) -> bytes:
        """Return a whole answer that refuses; with another text than the page's."""
        page = self._refusals[code]
        fields = [
            *ALWAYS,
            (b"Cache-Control", b"no-store"),
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Content-Length", b"%d" % len(page)),
            (b"Connection", b"close"),
            *([(b"Allow", b"GET, HEAD, POST")] if code == 405 else []),
        ]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in fields)
        head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (code, REFUSED[code], lines)
        return head + (page if text is None else text)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection, or none: then it is closed at once."""
        peer = peer_key(addr)
        if not self.places.take(peer):
            return None
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        channel.turns = self._turns
        self.places.sit(channel, peer)
        return channel

    def startFactory(self) -> None:
        """Open no log, and keep no clock for one."""

    def stopFactory(self) -> None:
        """There is nothing to close."""

    def log(self, request: Any) -> None:
        """Write nothing."""


REFUSED: Mapping[int, bytes] = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    421: b"Misdirected Request",
    431: b"Request Header Fields Too Large",
}
"""What a request is refused with before any page is asked, and its words (RFC 9110)."""
