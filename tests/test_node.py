"""The wiring: what the configuration names is built, nothing else exists."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from postmand import mailhost
from postmand.config import Config, ConfigError, from_table
from postmand.node import Options, makeService, node
from postmand.servers.pop3 import Pop3Factory
from postmand.servers.submission import SubmissionFactory
from postmand.services import Listener, Stack
from postmand.store.database import StoreInUseError
from postmand.store.upgrade import NewerSchemaError
from tests.contracts.memory import MemoryStore


class Reactor(MemoryReactorClock):
    """A reactor that nobody calls from a thread."""

    def callFromThread(self, *_: Any) -> None:
        """Do nothing."""


class Store(MemoryStore):
    """A store that notes that it was closed."""

    closed = 0

    def close(self) -> None:
        """Note it."""
        self.closed += 1

    def forget(self) -> None:
        """Do nothing."""


class NodeTest(SynchronousTestCase):
    """One node."""

    def setUp(self) -> None:
        """Open no real store."""
        self.store = Store()
        self.patch(mailhost, "open_store", lambda *_, **__: self.store)

    def config(self, **sections: Any) -> Config:
        """Return a configuration that listens on paths, not on ports."""
        return from_table({"node": {"state": self.mktemp()}, **sections}, "node.toml")

    def built(self, config: Config) -> list[Any]:
        """Return the factories that a node listens with."""
        whole = node(config, Reactor())
        self.assertIsInstance(whole, Stack)
        return [one._factory for one in whole if isinstance(one, Listener)]

    def test_what_is_named_is_built(self) -> None:
        """A server for each section, a listener for each place, in its order."""
        smtp, pop3 = {"listen": ["unix:a", "unix:b"]}, {"listen": ["unix:c"]}
        kinds = [type(one) for one in self.built(self.config(submission=smtp))]
        self.assertEqual(kinds, [SubmissionFactory] * 2)
        kinds = [type(one) for one in self.built(self.config(pop3=pop3))]
        self.assertEqual(kinds, [Pop3Factory])
        kinds = [
            type(one) for one in self.built(self.config(submission=smtp, pop3=pop3))
        ]
        self.assertEqual(kinds, [SubmissionFactory] * 2 + [Pop3Factory])

    def test_places_share_a_server(self) -> None:
        """Two places of one server share its limits and its locks."""
        one, other = self.built(self.config(pop3={"listen": ["unix:a", "unix:b"]}))
        self.assertIs(one, other)

    def test_servers_share_a_gate(self) -> None:
        """Logins are counted and remembered over all servers."""
        smtp, pop3 = self.built(
            self.config(submission={"listen": ["unix:a"]}, pop3={"listen": ["unix:b"]})
        )
        self.assertIs(smtp._gate, pop3._gate)

    def test_no_server(self) -> None:
        """A configuration without a server is told what to add."""
        with self.assertRaises(ConfigError) as caught:
            node(self.config(), Reactor())
        self.assertEqual(
            str(caught.exception),
            "node.toml: names no server; add [submission], [pop3] or both",
        )

    def test_bad_endpoint(self) -> None:
        """A bad endpoint is told with its section, before the store is touched."""
        self.patch(mailhost, "open_store", lambda *_: self.fail("opened"))
        with self.assertRaises(ConfigError) as caught:
            node(self.config(pop3={"listen": ["nonsense"]}), Reactor())
        line = str(caught.exception)
        self.assertTrue(line.startswith('node.toml: [pop3] listen: "nonsense" is no'))

    def test_store_that_does_not_open(self) -> None:
        """What the disk has against it is one line that names the mend."""
        config = self.config(pop3={"listen": ["unix:a"]})
        for error, words in (
            (StoreInUseError(), "another postmand runs on it"),
            (NewerSchemaError(), "upgrade this one"),
            (sqlite3.DatabaseError("file is not a database"), "from a backup"),
            (
                OSError(13, "Permission denied", "/some/where"),
                "/some/where: Permission",
            ),
            (OSError(28, "No space left on device"), "No space left"),
        ):

            def fails(*_: Any, error: Exception = error, **__: Any) -> None:
                raise error

            self.patch(mailhost, "open_store", fails)
            with self.assertRaises(ConfigError) as caught:
                node(config, Reactor())
            line = str(caught.exception)
            self.assertTrue(line.startswith("node.toml: [node] state: "), line)
            self.assertIn(words, line)
            self.assertNotIn("\n", line)

    def test_sessions_of_the_node(self) -> None:
        """A session of the wired node greets with the configured name alone."""
        config = self.config(
            submission={"listen": ["unix:a"], "host_name": "mail.example.i2p"}
        )
        (factory,) = self.built(config)
        session = factory.buildProtocol(None)
        self.assertEqual(
            session.greeting(), b"220 mail.example.i2p ESMTP I2PNet Mailservice"
        )


class MakeServiceTest(SynchronousTestCase):
    """`twistd postman`."""

    def test_fault(self) -> None:
        """A fault in the configuration ends the program with one line."""
        path = Path(self.mktemp())
        path.write_text("[nodes]\n")
        options = Options()
        options.parseOptions(["--config", str(path)])
        with self.assertRaises(SystemExit) as caught:
            makeService(options)
        self.assertTrue(str(caught.exception.code).startswith(f"postmand: {path}: "))
        self.assertNotIn("\n", str(caught.exception.code))

    def test_default(self) -> None:
        """Without --config the built-in mail host is meant."""
        options = Options()
        options.parseOptions([])
        self.assertIsNone(options["config"])
