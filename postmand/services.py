"""The node's parts as Twisted services: started in order, stopped in reverse."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.application.internet import TimerService
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from postmand.config import ConfigError
from postmand.faults import log_fault

if TYPE_CHECKING:
    from twisted.internet.interfaces import (
        IListeningPort,
        IProtocolFactory,
        IStreamServerEndpoint,
    )
    from twisted.logger import LogEvent

log = Logger()

# What a server may listen on.
_KINDS = ("tcp", "tcp6", "unix")
# `limits.connections` holds for each of the two servers.
_SERVERS = 2
# Files the node has open beside its connections: bodies, spools, database, log.
_OTHER_FILES = 512
# While connections can not be taken, that is told every so many seconds.
_TOLD_AGAIN = 600.0


class Stack(MultiService):
    """Services of which each stands on those before it.

    Stopping goes from the top down, each waiting for the one above: no session is left
    without the store under it.
    """

    def stopService(self) -> Deferred[None]:
        """Stop all, the last one first; fires when the first has stopped."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in reversed(list(self)):
            try:
                await maybeDeferred(service.stopService)
            except Exception as error:
                # What is below is to be put away all the same.
                log_fault(log, "a part did not stop", error)


class Threads(Service):
    """A bounded pool of threads, called like a function: `threads(f, *arguments)`."""

    def __init__(self, size: int, reactor: Any, name: str, niceness: int = 0) -> None:
        self._pool = ThreadPool(0, size, name)
        self._reactor = reactor
        self._niceness = niceness

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run `function` in a thread; fire with what it returns."""
        if self._niceness:
            return deferToThreadPool(
                self._reactor, self._pool, self._nicely, function, *arguments
            )
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    def _nicely(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run behind all others: what is heavy must not make the reactor wait."""
        with suppress(OSError):  # a sandbox may not let us
            thread = threading.get_native_id()
            # Root may raise it, too, where all of the node was started with less.
            lower = max(self._niceness, os.getpriority(os.PRIO_PROCESS, thread))
            os.setpriority(os.PRIO_PROCESS, thread, lower)
        return function(*arguments)

    def startService(self) -> None:
        """Start the pool; a thread is made when it is needed."""
        super().startService()  # type: ignore[no-untyped-call]
        self._pool.start()

    def stopService(self) -> None:
        """Let what runs finish, then end the threads."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._pool.stop()


class OnStop(Service):
    """Calls a function (which may return a Deferred) when it is stopped."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def stopService(self) -> Any:
        """Call it."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._function()


class Timer(TimerService):
    """Calls a function at the start and every so many seconds from then on.

    A call that fails is logged, and the next is made all the same: Twisted's own would
    end with it.
    """

    def __init__(self, seconds: float, function: Callable[[], Any]) -> None:
        super().__init__(seconds, self._call, function)  # type: ignore[no-untyped-call]

    def _call(self, function: Callable[[], Any]) -> Deferred[Any]:
        called = maybeDeferred(function)
        return called.addErrback(partial(log_fault, log, "a timer's call failed"))


@frozen
class StoreReactor:
    """What the store needs of a reactor, and the time of day."""

    callFromThread: Callable[..., Any]
    seconds: Callable[[], float]


@implementer(ILogObserver)
class _Unaccepted:
    """Tells that connections can not be taken: seldom, and of nobody in particular.

    Twisted's own words are three lines for each of them, one with the peer's address.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._silent_until = float("-inf")

    def __call__(self, event: LogEvent) -> None:  # noqa: ARG002 (its words are none)
        """Take the place of a line of Twisted's (ILogObserver)."""
        now = self._seconds()
        if now >= self._silent_until:
            self._silent_until = now + _TOLD_AGAIN
            log.warn(  # noqa: G010 (Twisted's logger has no other)
                "connections can not be taken, for want of files or of memory: raise "
                "the limit (LimitNOFILE, ulimit -n), or lower `connections`"
            )


class Listener(Service):
    """Listens on one endpoint while it runs."""

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._seconds = seconds
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Listen; a failure that is known at once is raised and ends the start."""
        failed: list[Any] = []
        self._endpoint.listen(self._factory).addCallbacks(
            self._listening, failed.append
        )
        if failed:
            failed[0].raiseException()

    def _listening(self, port: Any) -> None:
        # All that it has to tell is what it could not accept, and from whom.
        port._logger = Logger(observer=_Unaccepted(self._seconds))
        self._port = port

    def stopService(self) -> Any:
        """Take no more connections."""
        super().stopService()  # type: ignore[no-untyped-call]
        port, self._port = self._port, None
        return None if port is None else port.stopListening()


def allow_files(connections: int) -> None:
    """Raise the process's own limit of open files to what the connections need.

    A shell's usual 1,024 would be the end long before `limits.connections` is. What the
    system does not allow is not forced, but told: a connection too many is then refused
    by it. The other half is for the second server, or for the bodies on a gateway's
    disk.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * _SERVERS + _OTHER_FILES
    if resource.RLIM_INFINITY != hard < wanted:
        log.warn(  # noqa: G010 (Twisted's logger has no other)
            "{hard} files may be open, and {connections} connections want {wanted}: "
            "raise the limit (LimitNOFILE, ulimit -Hn), or lower `connections`",
            hard=hard,
            connections=connections,
            wanted=wanted,
        )
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def endpoint_for(reactor: Any, place: str, text: str) -> IStreamServerEndpoint:
    """Return the endpoint that `text` names, having tried that its port is free.

    Raises ConfigError that begins with `place` (file, section and key).
    """
    kind, _, rest = text.partition(":")
    try:
        if kind not in _KINDS:
            raise ValueError(kind)
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except (ValueError, TypeError, LookupError):
        raise ConfigError(
            f'{place}: "{text}" is no endpoint; write it as '
            '"tcp:2525:interface=127.0.0.1" or "unix:/run/postmand/smtp"'
        ) from None
    if kind == "unix":
        _try_directory(place, text, Path(rest.partition(":")[0]).parent)
    else:
        _try_port(place, text, kind, rest)
    return endpoint


def _try_directory(place: str, text: str, directory: Path) -> None:
    if not (directory.is_dir() and os.access(directory, os.W_OK)):
        raise ConfigError(
            f"{place}: {text}: {directory} must be a directory that this user may "
            "write to"
        )


def _try_port(place: str, text: str, kind: str, rest: str) -> None:
    """Bind for a moment: a port in use is to be told before anything is started."""
    options: dict[str, str] = {}
    for number, part in enumerate(rest.replace("\\:", "\0").split(":")):
        name, equals, value = part.partition("=")
        options[name if equals else ("port", "interface")[min(number, 1)]] = (
            value if equals else part
        )
    host = options.get("interface", "").replace("\0", ":")
    family = socket.AF_INET6 if kind == "tcp6" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(options.get("port", ""))))
        except (ValueError, OverflowError):
            raise ConfigError(
                f"{place}: {text}: the port must be a number up to 65535"
            ) from None
        except OSError as error:
            raise ConfigError(f"{place}: {text}: {_told(error)}") from None


def _told(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "the port is in use; is another postmand running? "
            "Stop it, or name another port"
        )
    if error.errno == errno.EACCES:
        return "ports below 1024 are root's; name a higher one"
    return f"{error.strerror}; name an address and a port of this machine"
