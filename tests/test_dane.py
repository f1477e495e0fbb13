"""DANE for mail (RFC 7672), and the handshake that it, or an authority, has to pass."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL, crypto

from postmand.delivery import dane
from postmand.delivery.guard import Guard, Handshake
from tests.authority import Authority, Issued, self_signed

HOST = "mx.example.org"
ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
SERVER = MIDDLE.issue(HOST)
OTHER = self_signed(HOST)
CHAIN = [one.certificate for one in (SERVER, MIDDLE.issued, ROOT.issued)]


def holds(record: str, chain: list[x509.Certificate], *names: str) -> bool:
    return dane.holds(dane.read([record]), chain, names or (HOST,))


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_end_entity(selector: int, matching: int) -> None:
    """Every form of record fits its certificate and no other."""
    record = SERVER.tlsa(3, selector, matching)
    assert holds(record, CHAIN)
    assert not holds(record, [OTHER.certificate])
    assert not holds(record, [])


def test_end_entity_alone_counts() -> None:
    """For usage 3 neither name nor date counts (RFC 7672 3.1.1), only the first."""
    late = self_signed("elsewhere.net", expired=True)
    assert holds(late.tlsa(3), [late.certificate])
    assert not holds(MIDDLE.issued.tlsa(3), CHAIN)


@pytest.mark.parametrize("anchor", [MIDDLE.issued, ROOT.issued])
@pytest.mark.parametrize("selector", [0, 1])
def test_trust_anchor(anchor: Issued, selector: int) -> None:
    """An authority of the chain, for one of the names (RFC 7672 3.1.2)."""
    record = anchor.tlsa(2, selector)
    assert holds(record, CHAIN)
    assert holds(record, CHAIN, "example.org", HOST)
    assert not holds(record, CHAIN, "example.org")
    assert not holds(record, [OTHER.certificate, *CHAIN[1:]])


def test_trust_anchor_that_is_not_shown() -> None:
    """A whole certificate in the DNS need not be in the chain; a digest has to."""
    assert holds(MIDDLE.issued.tlsa(2, 0, 0), CHAIN[:1])
    assert not holds(MIDDLE.issued.tlsa(2, 0, 1), CHAIN[:1])
    assert not holds(ROOT.issued.tlsa(2, 0, 0), CHAIN[:1])


def test_trust_anchor_and_dates() -> None:
    """Below an authority dates count."""
    late = ROOT.issue(HOST, expired=True)
    chain = [late.certificate, ROOT.issued.certificate]
    assert not holds(ROOT.issued.tlsa(2), chain)


@pytest.mark.parametrize(
    "record",
    [
        SERVER.tlsa(0), SERVER.tlsa(1), "3 2 1 " + "00" * 32, "3 1 3 " + "00" * 32,
        "3 1 1 00", "3 1 2 " + "00" * 32, "3 1 1 " + "0" * 63, "3 1", "", "x 1 1 00",
        "3 1 1 " + "zz" * 32,
    ],
    ids=lambda record: record[:6],  # the rest is random
)  # fmt: skip
def test_unusable(record: str) -> None:
    """What can not be decided with is not there (RFC 7672 3.1)."""
    assert dane.read([record]) == ()


def test_one_of_several() -> None:
    """One that holds is enough: keys are rolled over that way."""
    records = dane.read([OTHER.tlsa(3), SERVER.tlsa(3)])
    assert dane.holds(records, CHAIN, (HOST,))
    assert len(dane.read([SERVER.tlsa(3)] * 100)) == 20


def test_blanks_in_data() -> None:
    """Long data stands in groups, in either case."""
    head, data = SERVER.tlsa(3).rsplit(" ", 1)
    assert holds(f"{head} {data[:20]} {data[20:].upper()}", CHAIN)


class Wrapper:
    """Stands for Twisted's TLS: it hears when the check failed."""

    def __init__(self) -> None:
        self.failed = False

    def failVerification(self, reason: Any) -> None:
        """Note it."""
        self.failed = True


def shaken(guard: Guard, shown: Issued, *chain: Issued) -> tuple[bool, bytes | None]:
    """Shake hands in memory; tell whether it was refused, and the name asked for."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(shown.certificate)
    context.use_privatekey(shown.key)
    for one in chain:
        context.add_extra_chain_cert(one.certificate)
    server = SSL.Connection(context, None)
    server.set_accept_state()
    handshake = Handshake(guard, lambda one: _believe(one, ROOT.issued.certificate))
    wrapper: Any = Wrapper()
    client = handshake.clientConnectionForTLS(wrapper)
    client.set_connect_state()
    for _ in range(6):
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error:
                assert handshake.refused
            with suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(65_536))
    assert wrapper.failed <= handshake.refused
    return handshake.refused, server.get_servername()


def _believe(context: SSL.Context, certificate: x509.Certificate) -> None:
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(certificate))


def test_anybody_will_do() -> None:
    """Without a policy nothing is looked at: better than in the clear (RFC 7435)."""
    late = self_signed("elsewhere.net", expired=True)
    assert shaken(Guard((HOST,)), late) == (False, HOST.encode())


def test_handshake_with_dane() -> None:
    """The record decides, whatever authorities say."""
    good = Guard((HOST,), True, dane.read([OTHER.tlsa(3)]))
    assert shaken(good, OTHER) == (False, HOST.encode())
    assert shaken(good, SERVER, MIDDLE.issued)[0]
    anchor = Guard((HOST,), True, dane.read([MIDDLE.issued.tlsa(2)]))
    assert not shaken(anchor, SERVER, MIDDLE.issued)[0]
    assert shaken(anchor, OTHER, MIDDLE.issued)[0]


def test_handshake_with_an_authority() -> None:
    """MTA-STS: an authority we believe, the right name, today (RFC 8461 4.2)."""
    guard = Guard((HOST,), required=True, authority=True)
    assert not shaken(guard, SERVER, MIDDLE.issued)[0]
    assert shaken(guard, OTHER)[0]
    assert shaken(guard, ROOT.issue("other.org"))[0]
    assert shaken(guard, ROOT.issue(HOST, expired=True))[0]
    assert not shaken(guard, ROOT.issue("*.example.org"))[0]
