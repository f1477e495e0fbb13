"""MTA-STS (RFC 8461): records, policies, and how long they hold."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock

from postmand.delivery import mta_sts
from postmand.delivery.mta_sts import Policy
from postmand.delivery.policies import Policies, PolicyFetchError
from postmand.delivery.wellknown import PolicyFile
from tests.names import FAILED, NOTHING, Names
from tests.test_mx import result

GOOD = (
    b"version: STSv1\r\nmode: enforce\r\nmx: a.org\r\nmx: *.b.org\r\nmax_age: 1000\r\n"
)


@pytest.mark.parametrize(
    ("texts", "id_"),
    [
        (['"v=STSv1; id=20160831085700Z;"'], "20160831085700Z"),
        (['"v=STSv1;id=1"'], "1"),
        (['"v=STS" "v1; id=ab" "cd"'], "abcd"),
        (['"v=STSv1; x=y; id=1; z=;"'], "1"),
        (['"v=spf1 -all"', '"v=STSv1; id=7;"'], "7"),
        (['"v=STSv1\\059 id=7"'], "7"),
        (['"v=STSv1; id=1"', '"v=STSv1; id=2"'], None),
        (['"v=STSv1"'], None),
        (['"v=STSv1; id="'], None),
        (['"v=STSv1; id=a-b"'], None),
        (['"v=STSv1; id=1; id=2"'], None),
        (['"v=STSv2; id=1"'], None),
        ([], None),
    ],
)
def test_records(texts: list[str], id_: str | None) -> None:
    """One record with an id, or none at all (3.1)."""
    assert mta_sts.record_id(texts) == id_


def test_policy() -> None:
    """What the RFC writes is read; bare line feeds too."""
    policy = Policy("enforce", 1000, ("a.org", "*.b.org"))
    assert mta_sts.read(GOOD) == policy
    assert mta_sts.read(GOOD.replace(b"\r\n", b"\n")) == policy
    assert mta_sts.read(GOOD + b"new_key: of later days\r\n") == policy
    assert mta_sts.read(GOOD.replace(b"a.org", b"A.Org.")) == policy


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        GOOD.replace(b"STSv1", b"STSv2"),
        GOOD.replace(b"enforce", b"please"),
        GOOD.replace(b"1000", b"-1"),
        GOOD.replace(b"1000", b"9" * 11),
        GOOD.replace(b"mx: a.org\r\nmx: *.b.org\r\n", b""),
        GOOD.replace(b"*.b", b"*.*.b"),
        GOOD.replace(b"*.b", b"x*.b"),
        GOOD + b"<html>\r\n",
        GOOD + b"mx: c.org\r\n" * 200,
        GOOD + b" " * 70_000,
        b"\xff\xfe" * 100,
    ],
)
def test_no_policy(octets: bytes) -> None:
    """What is not whole, or too much, is no policy."""
    assert mta_sts.read(octets) is None


def test_long_ages_are_cut() -> None:
    """A year at most (3.2)."""
    policy = mta_sts.read(GOOD.replace(b"1000", b"9999999999"))
    assert policy is not None
    assert policy.max_age == 31_557_600


def test_names() -> None:
    """A star stands for one label (4.1)."""
    policy = Policy("enforce", 1, ("a.org", "*.b.org"))
    assert all(map(policy.names, ("a.org", "mx.b.org")))
    assert not any(map(policy.names, ("b.org", "x.mx.b.org", "x.a.org", "xb.org", "")))


class Web:
    """Policies to be fetched, and a clock."""

    def __init__(self, **settings: int) -> None:
        self.now = 0.0
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.names = Names()
        self.policies = Policies(self.names, self.fetch, lambda: self.now, **settings)

    async def fetch(self, domain: str) -> bytes:
        """Give the file there is."""
        self.fetched.append(domain)
        if domain not in self.files:
            raise PolicyFetchError
        return self.files[domain]

    def publish(self, domain: str, id_: str, octets: bytes | None = GOOD) -> None:
        """Put up a record, and a file if there is to be one."""
        self.names.put(f"_mta-sts.{domain}", "TXT", f'"v=STSv1; id={id_};"')
        self.files.pop(domain, None)
        if octets is not None:
            self.files[domain] = octets

    def policy(self, domain: str = "x.org") -> str:
        """Return the mode of what holds now."""
        policy = result(self.policies.policy(domain))
        return policy.mode if isinstance(policy, Policy) else ""


def test_fetched_once() -> None:
    """While id and time stand it is not fetched again."""
    web = Web()
    web.publish("x.org", "1")
    assert [web.policy(), web.policy()] == ["enforce", "enforce"]
    web.now = 499.0
    assert web.policy() == "enforce"
    assert len(web.fetched) == 1
    web.now = 1000.0
    assert web.policy() == "enforce"
    assert len(web.fetched) == 2


def test_renewed() -> None:
    """One that stands is fetched once a day, or when half its time is over (10.2)."""
    for age, renewed in ((b"1000", 500.0), (b"604800", 86_400.0)):
        web = Web()
        web.publish("x.org", "1", GOOD.replace(b"1000", age))
        web.policy()
        for now, fetched in ((renewed - 1, 1), (renewed, 2), (renewed + 1, 2)):
            web.now = now
            assert web.policy() == "enforce"
            assert len(web.fetched) == fetched
        web.now = renewed + int(age) - 1  # its time began anew
        assert web.policy() == "enforce"


def test_renewal_that_fails() -> None:
    """Who keeps us from the web server wins nothing before the old one's end."""
    web = Web()
    web.publish("x.org", "1")
    web.policy()
    web.files.clear()
    for now, fetched in ((500.0, 2), (799.0, 2), (800.0, 3), (999.0, 3)):
        web.now = now
        assert (web.policy(), len(web.fetched)) == ("enforce", fetched)


def test_a_new_id() -> None:
    """It is fetched anew, and what is found then counts."""
    web = Web()
    web.publish("x.org", "1")
    web.policy()
    web.publish("x.org", "2", GOOD.replace(b"enforce", b"testing"))
    assert web.policy() == "testing"


def test_none_without_a_record() -> None:
    """No record, no fetching."""
    web = Web()
    web.files["x.org"] = GOOD
    assert (web.policy(), web.fetched) == ("", [])


def test_the_record_taken_away() -> None:
    """Who removes the record, or stops the DNS, does not remove the policy (5.1)."""
    web = Web()
    web.publish("x.org", "1")
    web.policy()
    for answer in (FAILED, NOTHING):
        web.names.set("_mta-sts.x.org", "TXT", answer)
        assert web.policy() == "enforce"
    web.now = 1000.0
    assert web.policy() == ""


@pytest.mark.parametrize("octets", [None, b"nonsense"])
def test_a_new_one_that_can_not_be_had(octets: bytes | None) -> None:
    """The old one goes on while it lasts; fetching is not tried with every mail."""
    web = Web()
    web.publish("x.org", "1")
    web.policy()
    web.publish("x.org", "2", octets)
    assert [web.policy() for _ in range(5)] == ["enforce"] * 5
    assert len(web.fetched) == 2
    web.now = 301.0
    web.publish("x.org", "2", GOOD.replace(b"enforce", b"none"))
    assert web.policy() == "none"


def test_one_that_can_never_be_had() -> None:
    """Nothing holds, and it is asked for every five minutes at most."""
    web = Web()
    web.publish("x.org", "1", None)
    assert [web.policy() for _ in range(5)] == [""] * 5
    assert len(web.fetched) == 1
    web.now = 301.0
    web.publish("x.org", "1")
    assert web.policy() == "enforce"


def test_bounded() -> None:
    """No more domains are remembered than is allowed."""
    web = Web(most=2)
    for domain in ("a.org", "b.org", "c.org", "c.org", "b.org", "a.org"):
        web.publish(domain, "1")
        assert web.policy(domain) == "enforce"
    assert web.fetched == ["a.org", "b.org", "c.org", "a.org"]


@pytest.mark.parametrize(
    "domain", ["a_b.org", "-a.org", "xn--a.org", f"{'a' * 64}.org"]
)
def test_a_name_that_nobody_can_prove(domain: str) -> None:
    """No certificate is for it: there is no policy, and no fault of ours."""
    names = Names()
    names.put(f"mta-sts.{domain}", "A", "11.0.0.1")
    dialled: list[str] = []

    def dial(address: str, port: int) -> Any:
        dialled.append(address)

    file = PolicyFile(
        names, public=lambda _: True, dial=dial, reactor=Clock(), rng=Random(1)
    )
    with pytest.raises(PolicyFetchError):
        result(file.fetch(domain))
    assert dialled == []
