"""The wiring of biff: with [biff] it is there and is told of mail; without, nothing."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from postmand import mailhost
from postmand.biff import service as biff_service
from postmand.biff.service import BiffService
from postmand.config import ConfigError, from_table
from postmand.interfaces import Copy
from postmand.node import node
from postmand.postoffice import PostOffice
from postmand.postoffice.noticing import Noticing
from postmand.rules.routing import Internet
from postmand.services import Stack
from postmand.store.opening import Store
from tests.contracts.stores import PATIENCE

pytestmark = pytest.mark.long

GATEWAY = {"endpoint": "unix:gateway"}


class Reactor(MemoryReactorClock):
    """A reactor that runs what threads send when the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: queue.Queue[Callable[[], None]] = queue.Queue()

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        """Keep it."""
        self.sent.put(lambda: function(*args, **kwargs))

    def get(self, deferred: Any) -> Any:
        """Run what the threads send until it fires."""
        fired: list[Any] = []
        deferred.addBoth(fired.append)
        while not fired:
            self.sent.get(timeout=PATIENCE)()
        return fired[0]


class BiffWiringTest(SynchronousTestCase):
    """A mail host on a real store, without sockets."""

    def setUp(self) -> None:
        """Keep what is built within."""
        self.state = Path(self.mktemp())
        self.reactor = Reactor()
        self.patch(mailhost, "open_store", self.keep(mailhost.open_store, "store"))
        self.patch(mailhost, "PostOffice", self.keep(PostOffice, "office"))
        self.store: Store
        self.office: PostOffice

    def keep(self, make: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return what makes it and keeps it under a name."""

        def made(*arguments: Any, **named: Any) -> Any:
            one = make(*arguments, **named)
            setattr(self, name, one)
            if name == "store":
                self.addCleanup(one.close)
            return one

        return made

    def built(self, **sections: Any) -> Stack:
        """Return a mail host of these sections."""
        table = {
            "node": {"state": str(self.state)},
            "accounts": {"argon2_passes": 1, "argon2_memory_kib": 8},
            "submission": {"listen": ["unix:smtp"]},
            **sections,
        }
        return node(from_table(table, "node.toml"), self.reactor)

    def biff(self, whole: Stack) -> BiffService:
        """Return the one bot of a node."""
        (found,) = [one for one in whole if isinstance(one, BiffService)]
        return found

    def fault(self, **sections: Any) -> str:
        """Return the one line that a configuration gets."""
        with self.assertRaises(ConfigError) as caught:
            self.built(**sections)
        line = str(caught.exception)
        self.assertNotIn("\n", line)
        return line

    def test_not_named_not_there(self) -> None:
        """Without [biff] no bot, no key of the node, and nobody is told of mail."""
        whole = self.built()
        self.assertFalse([one for one in whole if isinstance(one, BiffService)])
        self.assertIs(self.office.mailboxes, self.store.mailboxes)
        self.assertFalse((self.state / "node.key").exists())

    def test_it_is_told_and_marks(self) -> None:
        """Mail for whoever is watched waits for the nick, on disk, after the commit."""
        whole = self.built(biff={})
        mailboxes, biff = self.office.mailboxes, self.biff(whole)
        self.assertIsInstance(mailboxes, Noticing)
        self.store.registry.add("alice", b"a password", day=20_000)
        get, watches = self.reactor.get, self.store.watches
        assert watches is not None
        recipient = get(self.store.accounts.recipient("alice"))
        tag = watches.tag(b"jack")
        get(watches.add(tag, recipient.account))
        biff.startService()
        copy = Copy(recipient, b"Subject: x\r\n\r\n", [b"hello"])
        self.assertIsNone(get(mailboxes.deliver([copy], {})))
        stopped: list[Any] = []
        biff.stopService().addBoth(stopped.append)
        while not stopped:
            self.reactor.advance(1)
            while not self.reactor.sent.empty():
                self.reactor.sent.get()()
        (one,) = get(watches.of(tag))
        self.assertTrue(one.waiting)

    def test_it_connects_where_it_is_told(self) -> None:
        """To the endpoint, and not before it is started."""
        biff = self.biff(self.built(biff={"endpoint": "tcp:127.0.0.1:6999"}))
        self.assertEqual(self.reactor.tcpClients, [])
        biff.startService()
        self.addCleanup(biff.stopService)
        ((host, port, *_),) = self.reactor.tcpClients
        self.assertEqual((host, port), ("127.0.0.1", 6999))

    def test_no_way_to_the_internet(self) -> None:
        """The node's key alone opens none: mail for the Internet is refused."""
        self.built(biff={})
        self.assertTrue((self.state / "node.key").exists())
        self.assertIsNone(self.office.abroad)
        routed = self.office.settings.routing.route(b"a", b"example.org")
        self.assertNotIsInstance(routed, Internet)

    def test_beside_gateways(self) -> None:
        """Both are there, and the bot is stopped after what makes bounces."""
        whole = self.built(biff={}, gateways=[GATEWAY])
        names = [type(one).__name__ for one in whole]
        self.assertLess(names.index("BiffService"), names.index("Running"))
        self.assertIsNotNone(self.office.abroad)

    def test_faults(self) -> None:
        """A password or an endpoint that is none ends the start with one line."""
        line = self.fault(biff={"login": "sasl", "password": "file:irc"})
        self.assertTrue(line.startswith("node.toml: [biff] password: "), line)
        self.assertIn("No such file", line)
        self.store.close()
        line = self.fault(biff={"endpoint": "tls:irc.example.org"})
        self.assertTrue(line.startswith('node.toml: [biff] endpoint: "tls:'), line)

    def test_the_password_is_read(self) -> None:
        """From the state directory, before anything is connected."""
        self.state.mkdir()
        (self.state / "irc").write_text("hunter2\n")
        (self.state / "irc").chmod(0o600)
        seen: list[str] = []

        def service(*arguments: Any, **_: Any) -> None:
            seen.append(arguments[2])
            raise RuntimeError("seen")

        self.patch(biff_service, "service", service)
        with self.assertRaises(RuntimeError):
            self.built(biff={"login": "sasl", "password": "file:irc"})
        self.assertEqual(seen, ["hunter2"])
