"""Where a recipient's address leads."""

from __future__ import annotations

import pytest

from postmand.message.address import parse_path
from postmand.rules.routing import NO_INTERNET, NO_SUCH_USER, Local, Routing
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
