"""The node's parts as services, and ports that are tried before anything starts."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
from errno import EMFILE, EWOULDBLOCK
from io import BytesIO
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import ConfigError
from postmand.interfaces import StoreBusyError
from postmand.services import (
    Listener,
    OnStop,
    Stack,
    Threads,
    Timer,
    allow_files,
    endpoint_for,
)

PLACE = "node.toml: [pop3] listen"


class Part(Service):
    """Notes when it is stopped; stops when it is told."""

    def __init__(self, name: str, told: list[str], done: Deferred[None] | None) -> None:
        self.part = name
        self.told = told
        self.done = done

    def stopService(self) -> Any:
        """Note it."""
        self.told.append(self.part)
        return self.done


class StackTest(SynchronousTestCase):
    """The order of stopping."""

    def test_from_the_top_down(self) -> None:
        """Each waits for the one above it: no session is left without its store."""
        told: list[str] = []
        upper: Deferred[None] = Deferred()
        stack = Stack()
        for name, done in (("store", None), ("threads", None), ("server", upper)):
            Part(name, told, done).setServiceParent(stack)
        stack.startService()
        stopped = stack.stopService()
        self.assertEqual(told, ["server"])
        self.assertNoResult(stopped)
        upper.callback(None)
        self.assertEqual(told, ["server", "threads", "store"])
        self.successResultOf(stopped)
        self.assertFalse(stack.running)

    def test_on_stop(self) -> None:
        """A function is called once, at the end, and waited for."""
        done: Deferred[None] = Deferred()
        stack = Stack()
        OnStop(lambda: done).setServiceParent(stack)
        stack.startService()
        stopped = stack.stopService()
        self.assertNoResult(stopped)
        done.callback(None)
        self.successResultOf(stopped)

    def test_a_part_that_fails_to_stop(self) -> None:
        """One part that fails to stop does not leave those below it running."""
        told: list[str] = []
        stack = Stack()
        Part("store", told, None).setServiceParent(stack)
        OnStop(lambda: fail(RuntimeError("x"))).setServiceParent(stack)
        stack.startService()
        stack.stopService().addErrback(lambda _: None)
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(told, ["store"])


class TimerTest(SynchronousTestCase):
    """What is called again and again."""

    def test_a_call_that_fails_is_not_the_last(self) -> None:
        """A store that is busy once must not end the daily forgetting for good."""
        called: list[float] = []
        clock = Clock()

        def forget() -> Deferred[None]:
            called.append(clock.seconds())
            if len(called) == 1:
                raise ValueError
            return fail(StoreBusyError()) if len(called) == 2 else succeed(None)

        timer = Timer(10.0, forget)
        timer.clock = clock
        timer.startService()
        clock.pump([10] * 3)
        self.assertEqual(called, [0, 10, 20, 30])
        self.successResultOf(timer.stopService())
        clock.advance(10)
        self.assertEqual(len(called), 4)


class Endpoint:
    """An endpoint that a test answers."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    def listen(self, factory: Any) -> Deferred[Any]:
        """Ask for a port."""
        self.asked.append(Deferred())
        return self.asked[-1]


class Exhausted:
    """A listening socket of a process that has no file left but one."""

    def __init__(self) -> None:
        self._left = [EMFILE, 0, EWOULDBLOCK]

    def accept(self) -> Any:
        """As a socket's."""
        fault = self._left.pop(0)
        if fault:
            raise OSError(fault, os.strerror(fault))
        return BytesIO(), ("198.51.100.7", 31_025)


class ListenerTest(SynchronousTestCase):
    """One listening port."""

    def test_listens_while_it_runs(self) -> None:
        """It listens from its start to its stop."""
        reactor = MemoryReactorClock()
        endpoint = endpoint_for(reactor, PLACE, "unix:some-path")
        listener = Listener(endpoint, Factory())
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(len(reactor.unixServers), 1)
        listener.stopService()
        listener.stopService()

    def test_a_port_in_use_ends_the_start(self) -> None:
        """What fails at once is raised, and not swallowed by a Deferred."""

        class InUse(Endpoint):
            def listen(self, factory: Any) -> Deferred[Any]:
                return fail(CannotListenError("127.0.0.1", 2525, OSError()))

        listener = Listener(InUse(), Factory())  # type: ignore[arg-type]
        with self.assertRaises(CannotListenError):
            listener.privilegedStartService()

    def test_who_is_not_accepted_is_not_named(self) -> None:
        """Out of files, Twisted names each peer; we say it once in ten minutes."""
        clock = Clock()
        port = tcp.Port(0, Factory())
        endpoint = Endpoint()
        listener = Listener(endpoint, Factory(), clock.seconds)  # type: ignore[arg-type]
        listener.privilegedStartService()
        endpoint.asked[0].callback(port)
        full = tcp._FileDescriptorReservation(BytesIO)
        full.reserve()
        for seconds, lines in ((0, 1), (599, 0), (1, 1)):
            clock.advance(seconds)
            with (
                capturedLogs() as told,
                tcp._BuffersLogs(
                    port._logger.namespace, port._logger.observer
                ) as logger,
            ):
                left = list(tcp._accept(logger, range(9), Exhausted(), full))
            self.assertEqual(left, [])
            said = [formatEvent(event) or "" for event in told]
            self.assertEqual(len(said), lines)
            self.assertNotIn("198.51.100.7", "".join(said))


class ThreadsTest(SynchronousTestCase):
    """A pool of threads, driven without a reactor that runs."""

    def test_bounded(self) -> None:
        """No more threads than it was given, and none before they are needed."""
        threads = Threads(3, MemoryReactorClock(), "test")
        self.assertEqual((threads._pool.min, threads._pool.max), (0, 3))
        threads.startService()
        self.assertEqual(len(threads._pool.threads), 0)
        threads.stopService()


class Probe:
    """Stands for the socket that tries a port."""

    error: OSError | None = None
    bound: tuple[Any, ...] = ()

    def __init__(self, family: int, kind: int) -> None:
        self.family = family

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setsockopt(self, *_: object) -> None:
        """Take any option."""

    def bind(self, address: tuple[str, int]) -> None:
        """Note the address, or fail."""
        if not 0 <= address[1] <= 65_535:
            raise OverflowError("bind(): port must be 0-65535.")
        if Probe.error is not None:
            raise Probe.error
        Probe.bound = (self.family, *address)


class EndpointTest(SynchronousTestCase):
    """Endpoint strings of the configuration."""

    def setUp(self) -> None:
        """Try no real port."""
        self.patch(socket, "socket", Probe)
        self.patch(Probe, "error", None)

    def refused(self, text: str) -> str:
        """Return the line for an endpoint that can not be."""
        with self.assertRaises(ConfigError) as caught:
            endpoint_for(MemoryReactorClock(), PLACE, text)
        line = str(caught.exception)
        self.assertTrue(line.startswith(PLACE + ": "), line)
        self.assertNotIn("\n", line)
        return line

    def test_tried(self) -> None:
        """A port is tried where it will listen, in every way of writing it."""
        for text, bound in (
            ("tcp:2525:interface=127.0.0.1", (socket.AF_INET, "127.0.0.1", 2525)),
            ("tcp:port=2525:interface=127.0.0.1", (socket.AF_INET, "127.0.0.1", 2525)),
            ("tcp:interface=127.0.0.1:port=2525", (socket.AF_INET, "127.0.0.1", 2525)),
            ("tcp:2525", (socket.AF_INET, "", 2525)),
            ("tcp6:2525:interface=\\:\\:1", (socket.AF_INET6, "::1", 2525)),
        ):
            endpoint_for(MemoryReactorClock(), PLACE, text)
            self.assertEqual(Probe.bound, bound, text)

    def test_no_endpoint(self) -> None:
        """What is none is told with an example."""
        for text in (
            "",
            "2525",
            "tcp",
            "tcp:",
            "tcp:x",
            "nonsense:1",
            "tcp:2525:interfaces=x",
            "tcp:2525:backlog=x",
        ):
            self.assertIn('write it as "tcp:', self.refused(text))

    def test_impossible_ports(self) -> None:
        """A number that is no port is one line, too."""
        for text in ("tcp:99999", "tcp:-1", "tcp:interface=127.0.0.1"):
            self.refused(text)

    def test_words_for_the_operator(self) -> None:
        """Each reason of the system has its mend."""
        for number, words in (
            (errno.EADDRINUSE, "the port is in use"),
            (errno.EACCES, "ports below 1024 are root's; name a higher one"),
            (errno.EADDRNOTAVAIL, "name an address and a port of this machine"),
        ):
            self.patch(Probe, "error", OSError(number, os.strerror(number)))
            self.assertIn(words, self.refused("tcp:2525:interface=127.0.0.1"))


class FilesTest(SynchronousTestCase):
    """How many files may be open."""

    def limits(self, soft: int, hard: int) -> list[tuple[int, int]]:
        """Pretend limits; return what is set."""
        changed: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda _: (soft, hard))
        self.patch(resource, "setrlimit", lambda _, limits: changed.append(limits))
        allow_files(6_000)
        return changed

    def test_raised(self) -> None:
        """A shell's limit is raised to what the connections need."""
        ((soft, hard),) = self.limits(1_024, 1_048_576)
        self.assertGreater(soft, 12_000)
        self.assertEqual(hard, 1_048_576)

    def test_not_beyond_what_the_system_allows(self) -> None:
        """A hard limit below it is all there is."""
        with capturedLogs() as told:
            self.assertEqual(self.limits(1_024, 4_096), [(4_096, 4_096)])
        (line,) = map(formatEvent, told)
        self.assertIn("4096 files may be open, and 6000 connections want 12512", line)
        self.assertIn("LimitNOFILE", line)

    def test_never_lowered(self) -> None:
        """A higher limit, or none, stays."""
        self.assertEqual(self.limits(100_000, 1_048_576), [])
        self.assertEqual(self.limits(-1, -1), [])


class NicenessTest(SynchronousTestCase):
    """What is heavy runs behind the rest."""

    def test_behind(self) -> None:
        """The thread's own priority is lowered, and not the process's."""
        threads = Threads(1, None, "heavy", niceness=7)
        ran: list[int] = []
        thread = threading.Thread(
            target=threads._nicely,
            args=(lambda: ran.append(os.getpriority(os.PRIO_PROCESS, 0)),),
        )
        before = os.getpriority(os.PRIO_PROCESS, 0)
        thread.start()
        thread.join()
        self.assertEqual(ran, [max(7, before)])
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, 0), before)
