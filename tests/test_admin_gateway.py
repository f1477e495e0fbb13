"""postmanctl's commands on gateways, at a gateway and at its mail host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor

from postmand.config import Config, Gateway, load
from postmand.link import new_identity, pin_of
from postmand.pairing import GatewayText, HostText, read
from postmand.store.retired import Retired
from tests.test_admin import AdminCase

pytestmark = pytest.mark.long

INIT = ("gateway", "init", "--domain", "i2pmail.org", "--host-name", "mx.i2pmail.org")
PIN, OTHER = (pin_of(new_identity()) for _ in range(2))
ENDPOINT = ("--endpoint", "tcp:127.0.0.1:7701")
TLSA = r"_25\._tcp\.mx\.i2pmail\.org\. IN TLSA (3 1 1 [0-9a-f]{64})\n"


class GatewayCase(AdminCase):
    """A gateway's file and a mail host's, each read anew by every command."""

    def setUp(self) -> None:
        """Write the mail host's."""
        super().setUp()
        self.gateway = self.base / "gateway.toml"
        self.host = self.base / "mailhost.toml"
        self.host.write_text(
            f'[node]\nstate = "{self.base}/host"\n[pop3]\nlisten = ["unix:pop3"]\n'
        )

    def run_at(self, path: Path, *arguments: str) -> int:
        """Run a command with a file."""
        self.config = load(str(path)) if path.exists() else Config(source=str(path))
        return self.ctl("--config", str(path), *arguments)

    def said_at(self, path: Path, *arguments: str) -> str:
        """Run a command that succeeds; return what it said, without the end."""
        self.assertEqual(self.run_at(path, *arguments), 0, self.err)
        self.assertNotIn("PRIVATE", self.out + self.err)
        return self.out.removesuffix("\n")

    def refused_at(self, path: Path, *arguments: str, says: str) -> None:
        """Run a command that is refused in one line and changes no file."""
        before = path.read_bytes()
        self.assertEqual(self.run_at(path, *arguments), 1)
        self.assertIn(says, self.err)
        self.assertEqual((self.err.count("\n"), self.out), (1, ""), self.err)
        self.assertEqual(path.read_bytes(), before)

    def init(self, *more: str) -> str:
        """Make the gateway."""
        state = "--state", str(self.base / "gw")
        return self.said_at(self.gateway, *INIT, *state, *more)


class Init(GatewayCase):
    """gateway init and gateway records."""

    def test_makes(self) -> None:
        """A file that loads, keys beside it, and the records to publish."""
        said = self.init("--address", "203.0.113.7")
        config = load(str(self.gateway))
        exchange = config.exchange
        assert exchange is not None
        self.assertEqual(exchange.host_name, "mx.i2pmail.org")
        self.assertEqual(config.node.internet_domain, "i2pmail.org")
        names = {one.name for one in (self.base / "gw").iterdir()}
        self.assertEqual(names, {"link.pem", "exchange.pem"})
        self.assertIn("\nmx.i2pmail.org. IN A 203.0.113.7\n", said)
        self.assertRegex(said, TLSA)
        self.assertIn("mode: testing", said)

    def test_listens_where_it_is_published(self) -> None:
        """Mail is taken at an IPv6 address, beside IPv4, and neither is in the way."""
        self.init("--address", "203.0.113.7", "--address", "2001:DB8::7")
        exchange = load(str(self.gateway)).exchange
        assert exchange is not None
        reactor = MemoryReactor()
        for text in exchange.listen:
            self.successResultOf(
                serverFromString(reactor, text).listen(Factory())  # type: ignore[arg-type]
            )
        places = [(port, where) for port, _, _, where in reactor.tcpServers]
        self.assertEqual(places, [(25, ""), (25, "2001:db8::7")])

    def test_no_address(self) -> None:
        """What is none is said to be none, and nothing is written."""
        address = "--address", "mx.i2pmail.org"
        self.assertEqual(self.run_at(self.gateway, *INIT, *address), 1)
        self.assertIn("--address mx.i2pmail.org: that is no address", self.err)
        self.assertFalse(self.gateway.exists())

    def test_records_again(self) -> None:
        """Later the same records are shown."""
        said = self.init("--address", "203.0.113.7")
        again = self.said_at(
            self.gateway, "gateway", "records", "--address", "203.0.113.7"
        )
        self.assertTrue(said.endswith(again))

    def test_overwrites_nothing(self) -> None:
        """A file that is there is kept."""
        self.init()
        self.refused_at(self.gateway, *INIT, says="is there already")

    def test_no_file(self) -> None:
        """It is told where to write."""
        self.refused(*INIT, says="name the file to write")

    def test_records_of_a_mail_host(self) -> None:
        """A mail host has none."""
        self.refused_at(self.host, "gateway", "records", says="is no gateway's")


class Pair(GatewayCase):
    """gateway pair, at both ends."""

    def test_both_ways(self) -> None:
        """Each takes the other's text, and knows its key from then on."""
        self.init()
        ours = self.said_at(self.gateway, "gateway", "pair")
        theirs = self.said_at(self.host, "gateway", "pair", ours, *ENDPOINT)
        self.assertEqual(self.said_at(self.gateway, "gateway", "pair", theirs), ours)
        gateway, host = read(ours), read(theirs)
        assert isinstance(gateway, GatewayText)
        assert isinstance(host, HostText)
        self.assertEqual(gateway.host_name, "mx.i2pmail.org")
        link = load(str(self.gateway)).link
        assert link is not None
        self.assertEqual(link.host_pin, host.pin)
        self.assertEqual(
            str(HostText(link.host_pin, host.key)).split(":")[3], link.host_key
        )
        (known,) = load(str(self.host)).gateways
        self.assertEqual(
            known, Gateway("tcp:127.0.0.1:7701", pin=gateway.pin, lmtp=True)
        )
        self.assertEqual(self.said_at(self.host, "gateway", "pair"), theirs)

    def test_wrong_ends(self) -> None:
        """Each is told when it was given a text of its own kind."""
        self.init()
        gateway = str(GatewayText(PIN, "mx.example.org"))
        host = str(HostText(PIN, bytes(32)))
        pair = "gateway", "pair"
        self.refused_at(self.gateway, *pair, gateway, says="mail host's is needed")
        self.refused_at(self.host, *pair, host, *ENDPOINT, says="gateway's is needed")
        for path in (self.gateway, self.host):
            self.refused_at(path, *pair, host[:-1] + "!", says="was damaged")
            self.refused_at(path, *pair, "hello", says="no pairing text")

    def test_no_endpoint(self) -> None:
        """The mail host has to know where the gateway is reached."""
        text = str(GatewayText(PIN, "mx.example.org"))
        self.refused_at(self.host, "gateway", "pair", text, says="--endpoint")

    def test_twice(self) -> None:
        """A gateway is paired once."""
        text = str(GatewayText(PIN, "mx.example.org"))
        self.said_at(self.host, "gateway", "pair", text, *ENDPOINT)
        pair = "gateway", "pair", text, *ENDPOINT
        self.refused_at(self.host, *pair, says="paired already")

    def test_same_place(self) -> None:
        """Where one is reached already there is no second: nothing would load."""
        self.said_at(
            *(self.host, "gateway", "pair"),
            *(str(GatewayText(PIN, "mx1.example.org")), *ENDPOINT),
        )
        pair = "gateway", "pair", str(GatewayText(OTHER, "mx2.example.org")), *ENDPOINT
        self.refused_at(self.host, *pair, says="gateway 1 is reached there already")

    def test_retired_with_its_entry(self) -> None:
        """It is let in again as it stands; a file that would change is not touched."""
        text = str(GatewayText(PIN, "mx.example.org"))
        self.said_at(self.host, "gateway", "pair", text, *ENDPOINT)
        for more in ((), ENDPOINT):
            self.said_at(self.host, "gateway", "retire", "1")
            before = self.host.read_bytes()
            said = self.said_at(self.host, "gateway", "pair", text, *more)
            self.assertIsInstance(read(said), HostText)
            self.assertIn("mx.example.org is gateway 1 again", self.err)
            self.assertFalse(Retired(self.base / "host").holds(PIN))
            self.assertEqual(self.host.read_bytes(), before)

    def test_retired_and_moved(self) -> None:
        """For another endpoint it is told what to write, and stays shut out."""
        text = str(GatewayText(PIN, "mx.example.org"))
        self.said_at(self.host, "gateway", "pair", text, *ENDPOINT)
        self.said_at(self.host, "gateway", "retire", "1")
        pair = "gateway", "pair", text, "--endpoint", "tcp:127.0.0.1:7702"
        self.refused_at(self.host, *pair, says="write the new endpoint into its")
        self.assertTrue(Retired(self.base / "host").holds(PIN))

    def test_anew(self) -> None:
        """Who was shut out and is paired anew is let in again."""
        (self.base / "host").mkdir()
        Retired(self.base / "host").add(PIN)
        text = str(GatewayText(PIN, "mx.example.org"))
        self.said_at(self.host, "gateway", "pair", text, *ENDPOINT)
        self.assertFalse(Retired(self.base / "host").holds(PIN))


class Retire(AdminCase):
    """gateway list and gateway retire, at the mail host."""

    def setUp(self) -> None:
        """Name three gateways; one has no key."""
        super().setUp()
        ends = (("2526", PIN), ("2528", OTHER), ("2530", ""))
        gateways = tuple(Gateway(f"tcp:127.0.0.1:{port}", pin) for port, pin in ends)
        self.config = evolve(self.config, gateways=gateways)

    def states(self) -> list[str]:
        """Return what the list says of each, without its number and place."""
        self.assertEqual(self.ctl("gateway", "list"), 0)
        return [line[5:13].strip() for line in self.out.splitlines()]

    def test_retire(self) -> None:
        """One is shut out, the others stay; said again, it is the same."""
        self.assertEqual(self.states(), ["in use"] * 3)
        for _ in range(2):
            self.assertEqual(self.ctl("gateway", "retire", "2"), 0, self.err)
            self.assertIn("gateway 2 is shut out", self.out)
        self.assertEqual(self.states(), ["in use", "retired", "in use"])
        retired = Retired(self.state)
        self.assertEqual((retired.holds(PIN), retired.holds(OTHER)), (False, True))

    def test_list(self) -> None:
        """Number, state, place and pin."""
        self.ctl("gateway", "list")
        self.assertEqual(
            self.out.splitlines()[1:],
            [
                f"  2  in use   tcp:127.0.0.1:2528  {OTHER}",
                "  3  in use   tcp:127.0.0.1:2530  -",
            ],
        )

    def test_none(self) -> None:
        """There is no such number, or nothing to know it by."""
        for number in ("0", "4"):
            self.refused("gateway", "retire", number, says="there is no such gateway")
        self.refused("gateway", "retire", "3", says="has no pin")
        self.assertFalse(self.state.exists())


class Explain(GatewayCase):
    """gateway explain."""

    def setUp(self) -> None:
        """Make the gateway."""
        super().setUp()
        self.init()

    def explained(self, facts: str) -> dict[str, str]:
        """Explain facts from a file; return what is said, by step."""
        path = self.base / "facts"
        path.write_text(facts)
        said = self.said_at(self.gateway, "gateway", "explain", str(path))
        steps = (line.partition(" ") for line in said.splitlines())
        return {name: rest.strip() for name, _, rest in steps}

    def test_refused(self) -> None:
        """Each step with its outcome, and the reply that the peer would get."""
        facts = {"peer": "11.0.0.25", "sender": "a@b.example"}
        facts_early = {**facts, "session": {"helo": "mx.b.example", "early": True}}
        said = self.explained(json.dumps(facts_early))
        self.assertIn("it spoke before the banner", str(said))
        self.assertIn("refused at", said["accept"])
        self.assertRegex(said["verdict"], r"^5\d\d 5\.\d\.\d ")

    def test_accepted(self) -> None:
        """TOML does as well."""
        said = self.explained(
            'peer = "11.0.0.25"\nsender = ""\ngreylist = "known"\n'
            '[session]\nhelo = "mx.b.example"\n'
        )
        self.assertEqual(said["verdict"], "accepted")
        self.assertTrue(said["accept"].startswith("passed"))

    def test_standard_input(self) -> None:
        """A dash is standard input."""
        self.config = load(str(self.gateway))
        told = 'peer = "11.0.0.25"\nsender = ""\n'
        self.assertEqual(self.ctl("gateway", "explain", "-", told=told), 0, self.err)
        self.assertIn("\nverdict ", self.out)

    def test_no_facts(self) -> None:
        """What holds none is told in one line."""
        path = self.base / "facts"
        for octets in (b"\xff", b"{", b"peer =", b"nothing = 1", b"peer = 5\n"):
            path.write_bytes(octets)
            self.refused_at(
                self.gateway, "gateway", "explain", str(path), says="are no facts"
            )
        missing = str(self.base / "missing")
        explain = "gateway", "explain", missing
        self.refused_at(self.gateway, *explain, says="No such file")
