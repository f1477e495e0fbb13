"""The wiring of a gateway: what it needs is built, what it lacks is told."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from postmand import abroad, mailhost
from postmand.config import Config, ConfigError, from_table
from postmand.counts import Counts
from postmand.link import Pinned, new_identity, pin_of
from postmand.node import node
from postmand.outpost import Outpost, Tally
from postmand.servers.exchange import ExchangeFactory
from postmand.servers.outgoing import OutgoingFactory
from postmand.servers.within import Within
from postmand.services import Listener
from postmand.store import crates
from tests.contracts.memory import MemoryStore
from tests.test_link import End
from tests.test_node import Reactor
from tests.tls_pair import TLSPair

pytestmark = pytest.mark.long

HOST = new_identity()
EXCHANGE: dict[str, Any] = {"listen": ["unix:in"]}
LINK: dict[str, Any] = {
    "listen": ["unix:out"],
    "host": "tcp:127.0.0.1:2527",
    "host_pin": pin_of(HOST),
    "host_key": base64.b64encode(bytes(32)).decode(),
}


class OutpostTest(SynchronousTestCase):
    """One gateway."""

    def setUp(self) -> None:
        """Say where its keys are."""
        self.state = Path(self.mktemp())
        self.reactor: Any = Reactor()

    def config(self, **sections: Any) -> Config:
        """Return a configuration that listens on paths, not on ports."""
        return from_table({"node": {"state": str(self.state)}, **sections}, "gw.toml")

    def wired(self, **link: Any) -> list[Any]:
        """Return the services of a gateway; what it holds on the disk is let go."""
        sections = {"exchange": EXCHANGE, "link": {**LINK, **link}}
        whole = list(node(self.config(**sections), self.reactor))
        (outpost,) = (one for one in whole if isinstance(one, Outpost))
        self.addCleanup(outpost._spool.close)
        return whole

    def factories(self, **link: Any) -> list[Any]:
        """Return what it listens with: on port 25, and for its mail host."""
        wired = self.wired(**link)
        return [one._factory for one in wired if isinstance(one, Listener)]

    def refused(self, **sections: Any) -> str:
        """Return the one line that a configuration is refused with."""
        self.state = Path(self.mktemp())
        with self.assertRaises(ConfigError) as caught:
            node(self.config(**sections), Reactor())
        line = str(caught.exception)
        self.assertNotIn("\n", line)
        return line

    def test_both_ways(self) -> None:
        """SMTP for everybody, and the way out within the TLS of the link."""
        way_in, way_out = self.factories()
        self.assertIsInstance(way_in, ExchangeFactory)
        self.assertIsInstance(way_out, Within)
        self.assertIsInstance(way_out.wrappedFactory, OutgoingFactory)

    def test_its_mail_host_alone(self) -> None:
        """Of all keys the paired host's is let in, and sees the gateway's own."""
        _, way_out = self.factories()
        pin = pin_of((self.state / "link.pem").read_bytes())
        for identity, heard in (
            (HOST, b"220 mx.i2pmail.org LMTP\r\n"),
            (new_identity(), b""),
        ):
            pair = TLSPair(Pinned(identity, pin), End(), way_out, self.reactor)
            pair.run()
            self.assertEqual(pair.client.heard, heard)
            pair.client.transport.loseConnection()
            pair.run()

    def test_no_pin(self) -> None:
        """Without a pin it does not start, but where that is plainly asked for."""
        line = self.refused(exchange=EXCHANGE, link={**LINK, "host_pin": ""})
        self.assertTrue(line.startswith("gw.toml: [link] host_pin: is missing; "))
        _, way_out = self.factories(host_pin="", unpinned=True)
        self.assertIsInstance(way_out, OutgoingFactory)

    def test_source(self) -> None:
        """Mail leaves from an address of this machine, or there is no gateway."""
        sections = {"exchange": EXCHANGE, "link": LINK}
        line = self.refused(**sections, exit={"source": ["192.0.2.1"]})
        self.assertIn("[exit] source: 192.0.2.1: ", line)
        self.assertIn("; name an address of this machine, or none", line)

    def test_session(self) -> None:
        """A session of the wired exchange knows its configured name alone."""
        way_in, _ = self.factories()
        session = way_in.buildProtocol(None)
        self.assertEqual(session.greeting(), b"220 mx.i2pmail.org ESMTP")

    def test_keys_stay(self) -> None:
        """Its keys are made once, for nobody else to read."""
        self.wired()
        files = {one: one.read_bytes() for one in self.state.glob("*.pem")}
        self.assertEqual({one.name for one in files}, {"link.pem", "exchange.pem"})
        self.assertEqual({one.stat().st_mode & 0o777 for one in files}, {0o600})
        self.doCleanups()
        self.wired()
        self.assertEqual({one: one.read_bytes() for one in files}, files)

    def test_half_a_gateway(self) -> None:
        """One of the two sections needs the other."""
        for half in ({"exchange": EXCHANGE}, {"link": LINK}):
            line = self.refused(**half)
            self.assertEqual(
                line,
                "gw.toml: a gateway needs [exchange] and [link]; postmanctl gateway "
                "init writes both",
            )

    def test_not_paired(self) -> None:
        """Without the host's key, or with what is none, it is told to pair."""
        for key in ("", "secret", base64.b64encode(bytes(31)).decode()):
            link = {**LINK, "host_key": key}
            line = self.refused(exchange=EXCHANGE, link=link)
            self.assertTrue(line.startswith("gw.toml: [link] host_key: is missing"))
            self.assertIn("postmanctl gateway pair", line)

    def test_resolver(self) -> None:
        """The resolver is an address and a port."""
        for text in ("dns.example:53", "127.0.0.1", "tcp:127.0.0.1:53"):
            line = self.refused(exchange=EXCHANGE, link=LINK, exit={"resolver": text})
            self.assertIn("[exit] resolver", line)

    def test_certificate(self) -> None:
        """A certificate that is not there is told with its place."""
        line = self.refused(
            exchange={**EXCHANGE, "certificate": "/nowhere/cert.pem"}, link=LINK
        )
        self.assertIn("[exchange] certificate: /nowhere/cert.pem: No such file", line)

    def test_tally(self) -> None:
        """What the parts tell becomes words of the metrics."""
        counts = Counts()
        tally = Tally(counts)
        for word in ("delivered", "deferred", "deferred"):
            tally.exit(word)
        for word in ("forwarded", "link-lost"):
            tally.link(word)
        self.assertEqual(
            counts.snapshot(),
            {
                ("relay", "delivered"): 1,
                ("relay", "retry"): 2,
                ("relay", "forwarded"): 1,
                ("faults", "link-lost"): 1,
            },
        )


class InboundTest(SynchronousTestCase):
    """A mail host's door for gateways."""

    def test_no_gateways(self) -> None:
        """[inbound] without [[gateways]] lets nobody in, and is told so."""
        self.patch(mailhost, "open_store", lambda *_, **__: MemoryStore())
        table = {"node": {"state": self.mktemp()}, "inbound": {"listen": ["unix:a"]}}
        with self.assertRaises(ConfigError) as caught:
            node(from_table(table, "node.toml"), Reactor())
        self.assertEqual(
            str(caught.exception),
            "node.toml: [inbound]: no gateway may come in; add [[gateways]]",
        )

    def test_an_hour_takes_the_largest(self) -> None:
        """What an hour's cap would never let through may not be allowed elsewhere."""
        least = crates.most_octets(100_000)
        for octets, fits in ((least, True), (least - 1, False)):
            table = {
                "inbound": {"bytes_per_hour": octets},
                "submission": {"max_message_bytes": 100_000},
            }
            config = from_table(table, "node.toml")
            assert config.inbound is not None
            if fits:
                abroad.hours_worth(config, config.inbound)
                continue
            with self.assertRaises(ConfigError) as caught:
                abroad.hours_worth(config, config.inbound)
            self.assertIn(
                f"node.toml: [inbound] bytes_per_hour: must be {least} at least",
                str(caught.exception),
            )
