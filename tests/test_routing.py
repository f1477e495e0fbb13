"""Where a recipient's address leads."""

from __future__ import annotations

import pytest

from postmand.message.address import parse_path
from postmand.rules.routing import (
    BAD_DOMAIN,
    NO_INTERNET,
    NO_SUCH_USER,
    Internet,
    Local,
    Routing,
)
from postmand.rules.verdict import Verdict

ROUTING = Routing(frozenset({b"mail.i2p", b"i2pmail.org"}), {"postmaster": "bob"})


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (b"<alice@mail.i2p>", Local("alice")),
        (b"<Alice@I2PMail.ORG.>", Local("alice")),
        (b"<alice>", Local("alice")),
        (b"<postmaster>", Local("bob")),
        (b"<POSTMASTER@mail.i2p>", Local("bob")),
        (b'<"alice"@mail.i2p>', Local("alice")),
        (b"<alice@example.org>", NO_INTERNET),
        (b"<postmaster@example.org>", NO_INTERNET),
        (b"<alice@sub.mail.i2p>", NO_INTERNET),
        (b"<alice@mail.i2p.example.org>", NO_INTERNET),
        (b"<alice@xmail.i2p>", NO_INTERNET),
        (b"<alice@[127.0.0.1]>", NO_INTERNET),
        (b"<alice@[IPv6:::1]>", NO_INTERNET),
        ("<älice@mail.i2p>".encode(), NO_SUCH_USER),
    ],
)
def test_route(path: bytes, route: Local | Verdict) -> None:
    """Ours in either domain or none, through the aliases; all else is refused."""
    address, _ = parse_path(path)
    assert address is not None
    assert ROUTING.route(address.local, address.domain) == route


RELAYING = Routing(ROUTING.domains, ROUTING.aliases, relays=True)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("<bob@Example.ORG.>", Internet(b"example.org")),
        ("<bob@bücher.de>", Internet(b"xn--bcher-kva.de")),
        ("<bob@xn--bcher-kva.de>", Internet(b"xn--bcher-kva.de")),
        ('<"a b"@example.org>', Internet(b"example.org")),
        # Our own, in letters that only look otherwise.
        ("<alice@\uff49\uff12pmail.ORG>", Local("alice")),
        ("<alice@i2pmail\u3002org>", Local("alice")),
        ("<alice@i2p\u00admail.org>", Local("alice")),
        ("<alice@mail.\uff492p>", Local("alice")),
        # Nowhere on the Internet.
        ("<bob@abc.b32.i2p>", BAD_DOMAIN),
        ("<bob@abc.onion>", BAD_DOMAIN),
        ("<bob@1.0.0.127.in-addr.arpa>", BAD_DOMAIN),
        ("<bob@host.localdomain>", BAD_DOMAIN),
        ("<bob@host>", BAD_DOMAIN),
        ("<bob@127.0.0.1>", BAD_DOMAIN),
        ("<bob@127.0x1>", BAD_DOMAIN),
        ("<bob@[127.0.0.1]>", BAD_DOMAIN),
        ("<bob@[IPv6:::1]>", BAD_DOMAIN),
        ("<bob@a-.org>", BAD_DOMAIN),
        ("<bob@" + "a" * 64 + ".org>", BAD_DOMAIN),
    ],
)
def test_abroad(path: str, route: Local | Internet | Verdict) -> None:
    """Host names of the Internet alone lead there, and ours never, however written."""
    address, _ = parse_path(path.encode())
    assert address is not None
    assert RELAYING.route(address.local, address.domain) == route


def test_an_alias_leads_once() -> None:
    """Aliases do not chain: no loop is possible."""
    routing = Routing(frozenset({b"mail.i2p"}), {"a": "b", "b": "a"})
    assert routing.route(b"a", b"mail.i2p") == Local("b")


def test_verdicts() -> None:
    """A refusal is permanent or not by its code, and its line has both codes."""
    verdict = Verdict("some-reason", 452, "4.2.2", "Later")
    assert not verdict.permanent
    assert verdict.line() == b"452 4.2.2 Later"
    assert NO_INTERNET.permanent
    assert NO_INTERNET.line().startswith(b"550 5.7.1 ")
