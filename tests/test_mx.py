"""Where a domain's mail goes (RFC 5321 5.1)."""

from __future__ import annotations

from random import Random

import pytest
from twisted.internet.defer import Deferred

from postmand.delivery import mx
from postmand.delivery.mx import Host, NoRouteError, Places
from postmand.dns.addresses import Networks
from postmand.inbound import Records
from tests.names import FAILED, NO_NAME, Names, found

DOMAIN = "example.org"
public = Networks().public


def result(coroutine: object) -> object:
    """Return what a coroutine came to at once."""
    told: list[object] = []
    Deferred.fromCoroutine(coroutine).addBoth(told.append)  # type: ignore[arg-type]
    if isinstance(told[0], BaseException) and hasattr(told[0], "raiseException"):
        told[0].raiseException()
    return told[0]


def hosts(names: Names, domain: str = DOMAIN, seed: int = 1) -> tuple[Host, ...]:
    got = result(mx.hosts(domain, names, Random(seed), "mx.gateway.org"))
    assert isinstance(got, tuple)
    return got


def places(names: Names, host: Host) -> Places:
    got = result(mx.places(host, names, Random(1), public))
    assert isinstance(got, Places)
    return got


def refusal(names: Names, domain: str = DOMAIN) -> str:
    with pytest.raises(NoRouteError) as caught:
        hosts(names, domain)
    return f"{caught.value.reply.code} {caught.value.reply.enhanced}"


def mx_names(*texts: str) -> Names:
    names = Names()
    names.put(DOMAIN, "MX", *texts)
    return names


def test_order() -> None:
    """The smallest number first; among equals any is first, some time."""
    names = mx_names("20 c.org.", "10 a.org.", "10 B.org.", "5 x.org.")
    orders = {tuple(one.name for one in hosts(names, seed=n)) for n in range(20)}
    assert orders == {
        ("x.org", "a.org", "b.org", "c.org"),
        ("x.org", "b.org", "a.org", "c.org"),
    }


def test_no_more_than_some() -> None:
    """A domain with a hundred servers does not keep us for a day."""
    names = mx_names(*(f"{n} h{n}.org." for n in range(100)))
    assert [one.name for one in hosts(names)] == [f"h{n}.org" for n in range(5)]


def test_a_host_named_twice() -> None:
    """It is tried once, where it is preferred."""
    names = mx_names("30 a.org.", "20 b.org.", "10 A.org.")
    assert [one.name for one in hosts(names)] == ["a.org", "b.org"]


def test_null_mx() -> None:
    """`0 .` says that there is no mail (RFC 7505); among others it says nothing."""
    assert refusal(mx_names("0 .")) == "556 5.1.10"
    assert [one.name for one in hosts(mx_names("0 .", "5 a.org."))] == ["a.org"]


def test_implicit() -> None:
    """Without MX the domain itself is the server; its absence is vouched for or not."""
    assert hosts(Names()) == (Host(DOMAIN),)
    assert hosts(Names(signed=True)) == (Host(DOMAIN, secure=True),)


def test_no_such_domain() -> None:
    """NXDOMAIN is for good, a failed lookup is not."""
    names = Names()
    names.set(DOMAIN, "MX", NO_NAME)
    assert refusal(names) == "550 5.1.2"
    names.set(DOMAIN, "MX", FAILED)
    assert refusal(names) == "451 4.4.3"


@pytest.mark.parametrize(
    "domain", ["[127.0.0.1]", "127.0.0.1", "a..b", "", "x" * 64 + ".org", "a b.org"]
)
def test_what_is_no_name(domain: str) -> None:
    """Literals and nonsense are never asked of the DNS."""
    names = Names()
    assert refusal(names, domain) == "550 5.1.2"
    assert names.asked == []


@pytest.mark.parametrize(
    "text", ["10 127.0.0.1.", "10 [::1].", "10 a\\032b.org.", "x a.org.", "10", ""]
)
def test_unusable_exchange(text: str) -> None:
    """An MX that names no host is none."""
    assert refusal(mx_names(text)) == "550 5.4.4"
    assert [one.name for one in hosts(mx_names(text, "90 a.org."))] == ["a.org"]


def test_ourselves() -> None:
    """We and those behind us are left out (RFC 5321 5.1); nobody before us: a loop."""
    names = mx_names("10 a.org.", "20 MX.gateway.org.", "20 b.org.", "30 c.org.")
    assert [one.name for one in hosts(names)] == ["a.org"]
    assert refusal(mx_names("10 mx.gateway.org.", "20 a.org.")) == "554 5.4.6"


def test_both_families_in_turn() -> None:
    """IPv6 and IPv4 alternate, so that neither hides the other; and not too many."""
    names = Names()
    names.put("h", "AAAA", "2a00::1", "2a00::2", "2a00::3")
    names.put("h", "A", "9.9.9.1", "9.9.9.2", "9.9.9.3")
    got = places(names, Host("h")).addresses
    assert [":" in one for one in got] == [True, False, True, False]
    names.set("h", "AAAA", FAILED)
    some = places(names, Host("h"))
    assert (sorted(some.addresses), some.failed) == (
        ["9.9.9.1", "9.9.9.2", "9.9.9.3"],
        True,
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.0.1", "224.0.0.1", "0.0.0.0",
        "255.255.255.255", "100.64.0.1", "::1", "fe80::1", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "nonsense",
    ],
)  # fmt: skip
def test_never_called(address: str) -> None:
    """Addresses that do not lie on the Internet are not there."""
    names = Names()
    names.put("h", "AAAA" if ":" in address else "A", address)
    assert places(names, Host("h")).addresses == ()


def test_out_of_reach() -> None:
    """What another gateway may reach is told from what nobody may call."""
    names = Names()
    names.put("h", "AAAA", "2a00::1", "fe80::1")
    names.put("h", "A", "10.0.0.1", "9.9.9.1")

    def seen(*families: str) -> tuple[tuple[str, ...], bool]:
        may = lambda one: (":" in one) == ("6" in families) or len(families) > 1  # noqa: E731
        got = result(mx.places(Host("h"), names, Random(1), public, may))
        return got.addresses, got.beyond

    assert seen("4", "6") == (("2a00::1", "9.9.9.1"), False)
    assert seen("4") == (("9.9.9.1",), True)
    assert seen("6") == (("2a00::1",), True)
    names.put("h", "AAAA", "fe80::1")
    assert seen("4") == (("9.9.9.1",), False)


def test_secure() -> None:
    """Vouched for is what was vouched for all the way."""
    names = Names(signed=True)
    names.put("h", "A", "9.9.9.1")
    assert places(names, Host("h", secure=True)).secure
    assert not places(names, Host("h", secure=False)).secure
    names.set("h", "A", found("9.9.9.1", secure=False))
    assert not places(names, Host("h", secure=True)).secure


def test_a_stopped_answer_makes_nothing_insecure() -> None:
    """Who stops the AAAA or the CNAME answer must not switch DANE off."""
    names = Names(signed=True)
    names.put("h", "A", "9.9.9.1")
    names.set("h", "AAAA", FAILED)
    got = places(names, Host("h", secure=True))
    assert (got.secure, got.addresses) == (True, ("9.9.9.1",))
    names.set("h", "CNAME", FAILED)
    assert places(names, Host("h", secure=True)).addresses == ()


def test_aliases() -> None:
    """A signed alias is followed to its end; one that is not makes nothing of it."""
    names = Names(signed=True)
    names.put("h", "CNAME", "i.")
    names.put("i", "CNAME", "j.org.")
    names.put("h", "A", "9.9.9.1")
    got = places(names, Host("h", secure=True))
    assert (got.canonical, got.secure) == ("j.org", True)
    names.set("i", "CNAME", found("j.org.", secure=False))
    got = places(names, Host("h", secure=True))
    assert (got.canonical, got.secure, got.addresses) == ("h", False, ("9.9.9.1",))


def test_a_circle_of_aliases() -> None:
    """It ends."""
    names = Names(signed=True)
    names.put("h", "CNAME", "i.")
    names.put("i", "CNAME", "h.")
    assert places(names, Host("h", secure=True)) == Places((), False, False, "h")
    assert Records("none").status == "none"
