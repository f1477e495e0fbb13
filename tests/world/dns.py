"""A name system of the tests' own: nsd has the zones, unbound validates and resolves.

Both run by hand from a directory of the test's, on loopback, on ports of their own. No
question leaves the machine, and an answer is never older than the zone it is in.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.message
import dns.query

from tests.conftest import need

ADDRESS = "127.0.0.1"
_PATIENCE = 20.0
_ALGORITHM = "ECDSAP256SHA256"

_ZONE = """\
$ORIGIN {name}
$TTL 60
@ IN SOA ns.world.test. dns.world.test. {serial} 3600 600 86400 60
{servers}{records}
"""
_NSD = """\
server:
  ip-address: {address}@{port}
  username: ""
  chroot: ""
  pidfile: ""
  zonesdir: "{home}"
  zonelistfile: "{home}/zone.list"
  xfrdfile: "{home}/xfrd.state"
  xfrdir: "{home}"
  database: ""
  server-count: 1
  rrl-ratelimit: 0
  minimal-responses: yes
remote-control:
  control-enable: no
"""
# Forwarded, so that no NS record in a zone leads unbound anywhere else.
_UNBOUND = """\
server:
  interface: {address}
  port: {port}
  outgoing-interface: 127.0.0.1
  do-ip6: no
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  num-threads: 1
  module-config: "validator iterator"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  qname-minimisation: no
  aggressive-nsec: no
  harden-below-nxdomain: no
  unblock-lan-zones: yes
  insecure-lan-zones: yes
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  infra-host-ttl: 0
{local}{anchors}
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {address}@{authority}
"""
_OTHER_ADDRESS = ("11.0.0.66", "11.0.0.67")
# unbound's own, which a world may want to fill.
_BUILT_IN = ("127.in-addr.arpa.", "localhost.", "test.", "invalid.", "onion.")


class World:
    """Zones by name, as text in a zone file's form, without SOA.

    A zone without NS records at its top gets `ns.world.test`, which is at a public
    address. `signed` zones are signed, and unbound knows their keys; `bogus` ones too,
    but a record was put into them afterwards: {"bad": A}. `forged` are signed, with one
    text in them replaced by another afterwards. All names are absolute with
    their last dot left out. To be used in a `with`, or between start() and stop().
    """

    def __init__(
        self,
        home: Path,
        zones: Mapping[str, str],
        *,
        signed: Collection[str] = (),
        bogus: Collection[str] = (),
        forged: Mapping[str, tuple[str, str]] | None = None,
        address: str = ADDRESS,
    ) -> None:
        self.address = address
        self.authority, self.port = _free_ports(address)
        self._home = home
        self._zones = {"": "", "world.test": "ns A 11.0.0.53", **zones}
        self._forged = {**dict.fromkeys(bogus, _OTHER_ADDRESS), **(forged or {})}
        self._signed = {*signed, *self._forged}
        self._serial = 1
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def resolver(self) -> str:
        """Where unbound answers, as the configuration names it."""
        return f"{self.address}:{self.port}"

    def __enter__(self) -> World:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bring both up, and wait until they answer."""
        nsd, unbound = need("nsd"), need("unbound")
        self._home.mkdir(parents=True, exist_ok=True)
        for name in self._signed:
            self._make_key(name)
        self._write_zones()
        (self._home / "nsd.conf").write_text(self._nsd_conf())
        (self._home / "unbound.conf").write_text(self._unbound_conf())
        try:
            self._run(nsd, "-d", "-c", str(self._home / "nsd.conf"))
            _wait_for(self.address, self.authority)
            self._run(unbound, "-d", "-c", str(self._home / "unbound.conf"))
            _wait_for(self.address, self.port)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both."""
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def serve(self, zones: Mapping[str, str]) -> None:
        """Change zones of the world while it runs; all of them must be in it."""
        assert zones.keys() <= self._zones.keys()
        self._zones.update(zones)
        self._serial += 1
        self._write_zones()
        self._running[0].send_signal(signal.SIGHUP)
        _wait_for(self.address, self.authority, self._serial)

    def cut(self) -> None:
        """Have the authority go away: every question ends in SERVFAIL."""
        process = self._running.pop(0)
        process.terminate()
        process.wait(10)

    # Files.

    def _write_zones(self) -> None:
        for name, records in self._zones.items():
            text = _ZONE.format(
                name=f"{name}.",
                serial=self._serial,
                servers="" if _has_servers(records) else "@ IN NS ns.world.test.\n",
                records=records,
            )
            path = self._path(name)
            path.write_text(text)
            if name in self._signed:
                self._sign(name, path)

    def _make_key(self, name: str) -> None:
        made = self._tool("ldns-keygen", "-a", _ALGORITHM, "-k", name)
        (self._home / f"key.{name}").write_text(made.strip())

    def _sign(self, name: str, path: Path) -> None:
        key = (self._home / f"key.{name}").read_text()
        signed = path.with_suffix(".signed")
        self._tool("ldns-signzone", "-f", str(signed), str(path), key)
        text = signed.read_text()
        if name in self._forged:
            assert self._forged[name][0] in text
            text = text.replace(*self._forged[name])
        path.write_text(text)

    def _tool(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [need(program, "ldnsutils"), *arguments],
            cwd=self._home,
            check=True,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        return done.stdout

    def _path(self, name: str) -> Path:
        return self._home / f"zone.{name or 'root'}"

    def _nsd_conf(self) -> str:
        text = _NSD.format(address=self.address, port=self.authority, home=self._home)
        for name in self._zones:
            zone = f'zone:\n  name: "{name}."\n  zonefile: "{self._path(name)}"\n'
            text += zone
        return text

    def _unbound_conf(self) -> str:
        names = {*_BUILT_IN, *(f"{name}." for name in self._zones if name)}
        anchors = ""
        for name in sorted(self._signed):
            key = (self._home / f"key.{name}").read_text()
            anchors += f'  trust-anchor-file: "{self._home / key}.key"\n'
        return _UNBOUND.format(
            address=self.address,
            port=self.port,
            authority=self.authority,
            home=self._home,
            local="".join(
                f'  local-zone: "{one}" nodefault\n' for one in sorted(names)
            ),
            anchors=anchors,
        )

    def _run(self, *command: str) -> None:
        name = Path(command[0]).name
        with (self._home / f"{name}.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )


def _has_servers(records: str) -> bool:
    return any(line.startswith("@") and " NS " in line for line in records.splitlines())


def _free_ports(address: str) -> tuple[int, int]:
    """Return two ports that are free for UDP and TCP alike."""
    found: list[int] = []
    while len(found) < 2:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as packet:
            stream.bind((address, 0))
            port = stream.getsockname()[1]
            try:
                packet.bind((address, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found[0], found[1]


def _wait_for(address: str, port: int, serial: int = 0) -> None:
    """Wait until a server answers for world.test, with that serial or a later one."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        query = dns.message.make_query("world.test", "SOA")
        try:
            reply = dns.query.udp(query, address, timeout=0.5, port=port)
        except (OSError, dns.exception.DNSException):
            time.sleep(0.02)
            continue
        if reply.answer and reply.answer[0][0].serial >= serial:
            return
        time.sleep(0.02)
    raise AssertionError("the name servers did not start; see their logs")
