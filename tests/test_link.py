"""The link: each end known by its key, and nothing else trusted."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from postmand.link import Admitting, Pinned, new_identity, pin_of, pin_shown

OURS, THEIRS, OTHER = (new_identity() for _ in range(3))


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERT") :])


@implementer(IOpenSSLServerConnectionCreator)
class Gateway:
    """The other end: it asks for a certificate, and notes which one it got."""

    def __init__(
        self, identity: bytes, version: int = SSL.TLS1_3_VERSION, *chain: bytes
    ) -> None:
        self.client = ""
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.set_max_proto_version(version)
        self.context.use_certificate(load(identity))
        key = serialization.load_pem_private_key(
            identity[: identity.index(b"-----BEGIN CERT")], None
        )
        self.context.use_privatekey(key)  # type: ignore[arg-type]
        for more in chain:
            self.context.add_extra_chain_cert(load(more))
        self.context.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify
        )

    def _verify(self, _: Any, shown: Any, *__: int) -> bool:
        pem = shown.to_cryptography().public_bytes(serialization.Encoding.PEM)
        self.client = pin_of(pem)
        return True

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return the server's end."""
        return SSL.Connection(self.context, None)


class End(Protocol):
    """Notes what it hears, and how it ends."""

    def __init__(self) -> None:
        self.heard = b""
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Note it."""
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        """Note it."""
        self.reason = reason.value


class Pair:
    """A client and a gateway joined in memory."""

    def __init__(self, pinned: Pinned, gateway: Gateway) -> None:
        self.client, self.server = End(), End()
        self.clock = Clock()
        self._ends = []
        for creator, end, is_client in (
            (pinned, self.client, True),
            (gateway, self.server, False),
        ):
            factory = TLSMemoryBIOFactory(
                creator, is_client, Factory.forProtocol(lambda end=end: end), self.clock
            )
            transport = StringTransport()
            tls = factory.buildProtocol(None)
            tls.makeConnection(transport)
            self._ends.append((tls, transport))

    def run(self) -> None:
        """Carry octets to and fro until there are none."""
        busy = True
        while busy:
            self.clock.advance(1)
            busy = False
            for (_, source), (target, _) in (self._ends, self._ends[::-1]):
                octets = source.value()
                source.clear()
                if octets and target.connected:
                    busy = True
                    target.dataReceived(octets)
        for tls, transport in self._ends:
            if (transport.disconnecting or transport.disconnected) and tls.connected:
                tls.connected = 0
                tls.connectionLost(ConnectionError())


class LinkTests(SynchronousTestCase):
    """The handshake."""

    def meet(self, gateway: Gateway, pin: str) -> tuple[Pair, Pinned]:
        """Let the two meet; the gateway greets, the client answers."""
        pinned = Pinned(OURS, pin)
        pair = Pair(pinned, gateway)
        pair.server.transport.write(b"220 hello\r\n")
        pair.run()
        pair.client.transport.write(b"EHLO localhost\r\n")
        pair.run()
        return pair, pinned

    def test_the_pinned_key(self) -> None:
        """The gateway is heard, and has seen our key."""
        gateway = Gateway(THEIRS)
        pair, pinned = self.meet(gateway, pin_of(THEIRS))
        self.assertEqual(pair.client.heard, b"220 hello\r\n")
        self.assertEqual(pair.server.heard, b"EHLO localhost\r\n")
        self.assertEqual(gateway.client, pin_of(OURS))
        self.assertFalse(pinned.refused)

    def test_another_key(self) -> None:
        """Nothing is heard from it, nothing told to it, not even who we are."""
        gateway = Gateway(OTHER)
        pair, pinned = self.meet(gateway, pin_of(THEIRS))
        self.assertTrue(pinned.refused)
        self.assertEqual((pair.client.heard, pair.server.heard), (b"", b""))
        self.assertEqual(gateway.client, "")

    def test_the_pinned_key_further_up(self) -> None:
        """Only the key that signs the handshake counts, not one shown beside it."""
        gateway = Gateway(OTHER, SSL.TLS1_3_VERSION, THEIRS)
        pair, pinned = self.meet(gateway, pin_of(THEIRS))
        self.assertTrue(pinned.refused)
        self.assertEqual((pair.client.heard, pair.server.heard), (b"", b""))
        pair, pinned = self.meet(
            Gateway(THEIRS, SSL.TLS1_3_VERSION, OTHER), pin_of(THEIRS)
        )
        self.assertEqual(pair.client.heard, b"220 hello\r\n")

    def test_older_tls(self) -> None:
        """TLS 1.2 shows certificates in the clear: it is not spoken."""
        gateway = Gateway(THEIRS, SSL.TLS1_2_VERSION)
        pair, _ = self.meet(gateway, pin_of(THEIRS))
        self.assertEqual((pair.client.heard, pair.server.heard), (b"", b""))
        self.assertEqual(gateway.client, "")

    def test_no_tls(self) -> None:
        """A gateway that greets in the clear is not heard."""
        pair = Pair(Pinned(OURS, pin_of(THEIRS)), Gateway(THEIRS))
        client = pair._ends[0][0]
        client.dataReceived(b"220 hello\r\n")
        self.assertEqual(pair.client.heard, b"")

    def test_nothing_is_named(self) -> None:
        """The first octets name no server (SNI) and no protocol (ALPN)."""
        pair = Pair(Pinned(OURS, pin_of(THEIRS)), Gateway(THEIRS))
        hello = pair._ends[0][1].value()
        self.assertEqual(hello[:1], b"\x16")
        self.assertNotIn(b"\x00\x00\x00\x05smtp", hello)
        connection = SSL.Connection(Gateway(THEIRS).context, None)
        connection.set_accept_state()
        connection.bio_write(hello)
        self.assertRaises(SSL.WantReadError, connection.do_handshake)
        self.assertIsNone(connection.get_servername())


class AdmittingTests(SynchronousTestCase):
    """The server's end."""

    def meet(self, identity: bytes, *known: bytes) -> Pair:
        """Let a client meet a server that knows some keys; both speak."""
        pins = {pin_of(one) for one in known}
        admitting = Admitting(THEIRS, pins.__contains__)
        pair = Pair(Pinned(identity, pin_of(THEIRS)), admitting)  # type: ignore[arg-type]
        pair.run()
        if pair.server.reason is None:
            self.shown = pin_shown(pair.server.transport)
            pair.server.transport.write(b"220 hello\r\n")
        pair.client.transport.write(b"EHLO localhost\r\n")
        pair.run()
        return pair

    def test_known(self) -> None:
        """Who is known is heard, and its key tells who it is."""
        pair = self.meet(OTHER, OURS, OTHER)
        self.assertEqual(pair.server.heard, b"EHLO localhost\r\n")
        self.assertEqual(pair.client.heard, b"220 hello\r\n")
        self.assertEqual(self.shown, pin_of(OTHER))

    def test_unknown(self) -> None:
        """Who is not is neither heard nor told anything."""
        for known in ((), (OURS,)):
            pair = self.meet(OTHER, *known)
            self.assertEqual((pair.server.heard, pair.client.heard), (b"", b""))
            self.assertIsNotNone(pair.server.reason)

    def test_shut_out_while_connected(self) -> None:
        """Each handshake is judged by itself: none is a continuation of another."""
        known = {pin_of(OTHER)}
        admitting = Admitting(THEIRS, known.__contains__)
        heard = []
        for _ in range(2):
            pair = Pair(Pinned(OTHER, pin_of(THEIRS)), admitting)  # type: ignore[arg-type]
            pair.run()
            pair.client.transport.write(b"EHLO localhost\r\n")
            pair.run()
            heard.append(pair.server.heard)
            known.clear()
        self.assertEqual(heard, [b"EHLO localhost\r\n", b""])


class IdentityTests(SynchronousTestCase):
    """Our own key."""

    def test_tells_its_key_alone(self) -> None:
        """Two certificates differ in key and signature: no date, no name, no number."""
        one, other = load(OURS), load(OTHER)
        self.assertNotEqual(pin_of(OURS), pin_of(OTHER))
        for certificate in (one, other):
            self.assertEqual(certificate.serial_number, 1)
            self.assertEqual(certificate.issuer, certificate.subject)
            (name,) = certificate.subject
            self.assertEqual((name.oid, name.value), (NameOID.COMMON_NAME, "link"))
            self.assertEqual(len(certificate.extensions), 0)
            begin = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
            self.assertEqual(certificate.not_valid_before_utc, begin)
            self.assertEqual(certificate.not_valid_after_utc.year, 9999)

    def test_pin(self) -> None:
        """The pin is of the public key, wherever it is found."""
        key = load(OURS).public_key()
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        der = key.public_bytes(serialization.Encoding.DER, info)
        expected = base64.b64encode(hashlib.sha256(der).digest()).decode()
        certificate = OURS[OURS.index(b"-----BEGIN CERT") :]
        public = key.public_bytes(serialization.Encoding.PEM, info)
        for pem in (OURS, certificate, public):
            self.assertEqual(pin_of(pem), f"sha256/{expected}")

    def test_other_kinds_of_key(self) -> None:
        """A gateway may have a key of another kind."""
        key = ed25519.Ed25519PrivateKey.generate().public_key()
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = key.public_bytes(serialization.Encoding.PEM, info)
        self.assertTrue(pin_of(pem).startswith("sha256/"))

    def test_no_key(self) -> None:
        """What holds no key is refused."""
        for pem in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\n"):
            self.assertRaises(ValueError, pin_of, pem)
