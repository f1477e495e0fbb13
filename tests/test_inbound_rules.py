"""The seven steps: what each refuses, and the neighbour that it passes."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import Exchange
from postmand.rules.facts import (
    Domain,
    Facts,
    FactsError,
    Host,
    Listing,
    Reverse,
    Session,
    facts_from_table,
)
from postmand.rules.inbound import explain, judge

_PEER = "11.0.0.25"
_PEER6 = "2a00::25"
_ZONES = {"zen.example": 2, "small.example": 1, "other.example": 1}
SETTINGS = Exchange(callout_domains=("usual.example",), blacklists=_ZONES)
GOOD = Facts(
    _PEER,
    "alice@b.example",
    Session("mx.b.example", ("mx.i2pmail.org", "mail.i2p", "i2pmail.org")),
    Domain(
        "b.example",
        mx="found",
        hosts=(
            Host("MX", "mx.b.example", "11.0.0.25"),
            Host("NS", "ns.b.example", "2a00::53"),
        ),
    ),
    Reverse("found", "mx.b.example", confirmed=True),
    (Listing("zen.example"), Listing("small.example"), Listing("other.example")),
    spf="pass",
    greylist="known",
)


def _says(helo: str, peer: str = _PEER) -> Facts:
    return evolve(GOOD, peer=peer, session=evolve(GOOD.session, helo=helo))


def _did(**what: bool) -> Facts:
    return evolve(GOOD, session=evolve(GOOD.session, **what))


def _from(sender: str, **domain: Any) -> Facts:
    return evolve(GOOD, sender=sender, domain=Domain(**domain))


def _domain(**what: Any) -> Facts:
    return evolve(GOOD, domain=Domain("b.example", **what))


def _at(kind: str, address: str, place: str) -> Facts:
    bad = Host(kind, "x.b.example", address, place)
    hosts = (*GOOD.domain.hosts, bad)
    return evolve(GOOD, domain=evolve(GOOD.domain, hosts=hosts))


def _usual(callout: str, sender: str = "bob@usual.example") -> Facts:
    domain = evolve(GOOD.domain, name=sender.rpartition("@")[2])
    return evolve(GOOD, sender=sender, domain=domain, callout=callout)


def _listed(*listings: Listing, peer: str = _PEER) -> Facts:
    return evolve(GOOD, peer=peer, blacklists=listings)


def _hit(zone: str, *codes: str, points: str = "good") -> Listing:
    return Listing(zone, "found", codes or ("127.0.0.2",), points)


# What is known, and the reason it is refused for ("" for mail that is taken).
CASES: dict[str, tuple[Facts, str]] = {
    "good": (GOOD, ""),
    # 1. Session sanity.
    "early": (_did(early=True), "early-talker"),
    "pipelined": (_did(pipelined=True), "pipelined-early"),
    "bare newlines": (_did(bare_newlines=True), "bare-newline"),
    "no helo": (_says(""), "no-helo"),
    "helo of one label": (_says("friend"), "bad-helo"),
    "helo of two labels": (_says("friend.example"), ""),
    "helo localhost": (_says("localhost"), "bad-helo"),
    "helo with a last dot": (_says("mx.b.example."), ""),
    "helo with two last dots": (_says("mx.b.example.."), "bad-helo"),
    "helo with an underscore": (_says("mail_1.b.example"), ""),
    "helo with a space": (_says("mx b.example"), "bad-helo"),
    "helo with a newline": (_says("mx.b.example\n"), "bad-helo"),
    "helo beyond DNS": (_says("a." * 127 + "example"), "bad-helo"),
    "helo label beyond DNS": (_says("a" * 64 + ".example"), "bad-helo"),
    "helo beginning with a hyphen": (_says("-x.example"), "bad-helo"),
    "helo in A-labels": (_says("xn--mller-kva.example"), ""),
    "helo bare address": (_says(_PEER), "bad-helo"),
    "helo own address": (_says(f"[{_PEER}]"), ""),
    "helo other address": (_says("[11.0.0.26]"), "bad-helo"),
    "helo our loopback": (_says("[127.0.0.1]"), "bad-helo"),
    "helo half an address": (_says(f"[{_PEER}"), "bad-helo"),
    "helo own IPv6": (_says(f"[IPv6:{_PEER6}]", _PEER6), ""),
    "helo own IPv6 otherwise": (_says("[ipv6:2A00:0::0:25]", _PEER6), ""),
    "helo IPv6 without its tag": (_says(f"[{_PEER6}]", _PEER6), "bad-helo"),
    "helo IPv4 as IPv6": (_says(f"[IPv6:{_PEER}]"), "bad-helo"),
    "helo our host": (_says("mx.i2pmail.org"), "helo-is-ours"),
    "helo our host otherwise": (_says("MX.I2PMail.org."), "helo-is-ours"),
    "helo our domain": (_says("i2pmail.org"), "helo-is-ours"),
    "helo below our domain": (_says("else.i2pmail.org"), ""),
    # 2. The sender's domain.
    "null sender": (evolve(GOOD, sender="", domain=Domain()), ""),
    "no domain": (_from("alice"), "no-sender-domain"),
    "literal domain": (_from("a@[11.0.0.1]", name="[11.0.0.1]"), "no-sender-domain"),
    "no MX, no address": (_domain(mx="none", address="none"), "no-sender-domain"),
    "no MX, an address": (_domain(mx="none", address="found"), ""),
    "MX of hosts not found": (_domain(mx="found"), ""),
    "null MX": (_domain(mx="found", null_mx=True), "sender-null-mx"),
    "MX failed": (_domain(mx="failed"), "sender-domain-unknown"),
    "address failed": (_domain(mx="none", address="failed"), "sender-domain-unknown"),
    "domain not asked": (_domain(), ""),
    # 3. Private and reserved networks.
    "MX private": (_at("MX", "10.0.0.1", "private"), "private-network"),
    "NS private": (_at("NS", "192.168.1.1", "private"), "private-network"),
    "address loopback": (_at("A", "127.0.0.1", "loopback"), "private-network"),
    "MX unique-local": (_at("MX", "fd00::1", "private"), "private-network"),
    "NS link-local": (_at("NS", "fe80::1", "link-local"), "private-network"),
    "NS reserved": (_at("NS", "240.0.0.1", "reserved"), "private-network"),
    "MX public": (_at("MX", "12.0.0.1", "public"), ""),
    "MX our own": (_at("MX", "12.0.0.2", "own"), ""),
    # 4. The callout.
    "callout refused": (_usual("refused"), "sender-refused"),
    "callout accepted": (_usual("accepted"), ""),
    "callout failed": (_usual("failed"), ""),
    "callout not made": (_usual(""), ""),
    "callout of another": (_usual("refused", "bob@unusual.example"), ""),
    "callout below": (_usual("refused", "bob@x.usual.example"), ""),
    # 5. Blacklists.
    "listed": (_listed(_hit("zen.example")), "blacklisted"),
    "listed by a light one": (_listed(_hit("small.example")), ""),
    "listed by two light ones": (
        _listed(_hit("small.example"), _hit("other.example")),
        "blacklisted",
    ),
    "IPv6 listed": (_listed(_hit("zen.example"), peer=_PEER6), "blacklisted"),
    "listed with several codes": (
        _listed(_hit("zen.example", "127.0.0.4", "127.0.0.11")),
        "blacklisted",
    ),
    "zone's name otherwise": (_listed(_hit("ZEN.example.")), "blacklisted"),
    "a zone without a weight": (_listed(_hit("unknown.example")), ""),
    "the list is in error": (_listed(_hit("zen.example", "127.255.255.254")), ""),
    "in error and listed": (
        _listed(_hit("zen.example", "127.0.0.2", "127.255.255.252")),
        "",
    ),
    "a code that is none": (_listed(_hit("zen.example", "127.0.0.1")), ""),
    "found without a code": (_listed(Listing("zen.example", "found")), ""),
    "a parked zone": (_listed(_hit("zen.example", "11.9.9.9")), ""),
    "lists the world": (_listed(_hit("zen.example", points="lists-all")), ""),
    "lists nobody": (_listed(_hit("zen.example", points="lists-none")), ""),
    "points failed": (_listed(_hit("zen.example", points="failed")), ""),
    "zone failed": (_listed(Listing("zen.example", "failed")), ""),
    "a dead zone and a good one": (
        _listed(Listing("small.example", "failed"), _hit("zen.example")),
        "blacklisted",
    ),
    # 6. The greylist.
    "a stranger": (evolve(GOOD, greylist="wait"), "greylisted"),
    "excused": (evolve(GOOD, greylist="excused"), ""),
    "greylist not asked": (evolve(GOOD, greylist=""), ""),
}
STEPS = (
    "session-sanity",
    "sender-domain",
    "private-networks",
    "callout",
    "blacklists",
    "greylist",
    "accept",
)
OFF = {
    "session-sanity": {"session_sanity": False},
    "sender-domain": {"sender_domain": False},
    "private-networks": {"private_networks": False},
    "callout": {"callout_domains": ()},
    "blacklists": {"blacklists": {}},
    "greylist": {"greylist": False},
}
WORST: dict[str, Facts] = {
    "session-sanity": _did(early=True),
    "sender-domain": _domain(mx="none", address="none"),
    "private-networks": _at("MX", "10.0.0.1", "private"),
    "callout": _usual("refused"),
    "blacklists": _listed(_hit("zen.example")),
    "greylist": evolve(GOOD, greylist="wait"),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    """Each case is refused for its reason, or taken."""
    facts, reason = CASES[name]
    verdict = judge(facts, SETTINGS)
    assert (verdict.reason if verdict else "") == reason


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_explained(name: str) -> None:
    """The explanation names all steps, and comes to the same verdict."""
    facts, reason = CASES[name]
    steps = explain(facts, SETTINGS)
    assert tuple(step.name for step in steps) == STEPS
    assert all(step.why for step in steps)
    refusals = [step for step in steps if step.outcome == "refused"]
    assert [step.verdict for step in refusals[:1]] == [
        verdict for verdict in [judge(facts, SETTINGS)] if verdict
    ]
    assert steps[-1].outcome == ("skipped" if reason else "passed")


@pytest.mark.parametrize("step", OFF)
def test_switched_off(step: str) -> None:
    """What a step refuses is taken without that step, and refused without others."""
    facts = WORST[step]
    assert judge(facts, SETTINGS) is not None
    assert judge(facts, evolve(SETTINGS, **OFF[step])) is None
    others = {key: value for one in OFF for key, value in OFF[one].items()}
    for key in OFF[step]:
        del others[key]
    assert judge(facts, evolve(SETTINGS, **others)) is not None
    found = {one.name: one for one in explain(facts, evolve(SETTINGS, **OFF[step]))}
    assert found[step].outcome == "off"


def test_order() -> None:
    """Of all that stands against a mail the guide's first is told."""
    usual = _usual("refused")
    facts = evolve(
        GOOD,
        sender=usual.sender,
        session=_did(early=True).session,
        domain=Domain(
            "usual.example",
            mx="none",
            address="none",
            hosts=(Host("NS", "ns.b.example", "10.0.0.1", "private"),),
        ),
        callout="refused",
        blacklists=(_hit("zen.example"),),
        greylist="wait",
    )
    told = []
    settings = SETTINGS
    for off in OFF.values():
        verdict = judge(facts, settings)
        told.append(verdict.reason if verdict else "")
        settings = evolve(settings, **off)
    assert told == [
        "early-talker",
        "no-sender-domain",
        "private-network",
        "sender-refused",
        "blacklisted",
        "greylisted",
    ]
    assert judge(facts, settings) is None
    outcomes = [step.outcome for step in explain(facts, SETTINGS)]
    assert outcomes == ["refused"] * 6 + ["skipped"]


@pytest.mark.parametrize("step", WORST)
@pytest.mark.parametrize("to", ["postmaster@mail.i2p", "PostMaster@mail.i2p"])
def test_postmaster(step: str, to: str) -> None:
    """Mail for postmaster is refused to who is no mail server, and to nobody else."""
    facts = evolve(WORST[step], recipient=to)
    verdict = judge(facts, SETTINGS)
    assert (verdict is not None) == (step == "session-sanity")
    found = explain(facts, SETTINGS)
    assert tuple(one.name for one in found) == STEPS
    assert {one.outcome for one in found[1:-1]} == {"skipped"}


@pytest.mark.parametrize("step", WORST)
@pytest.mark.parametrize(
    "to", ["alice@mail.i2p", "xpostmaster@mail.i2p", "postmaster.x@mail.i2p", ""]
)
def test_names_like_postmaster(step: str, to: str) -> None:
    """Nobody else is excused."""
    assert judge(evolve(WORST[step], recipient=to), SETTINGS) is not None


def test_failing_open_is_said() -> None:
    """A step that had nothing to go by says that it did not decide."""

    def outcome(facts: Facts, step: str) -> str:
        return {one.name: one.outcome for one in explain(facts, SETTINGS)}[step]

    assert outcome(_domain(mx="found"), "private-networks") == "unknown"
    assert outcome(_usual("failed"), "callout") == "unknown"
    assert outcome(_listed(Listing("zen.example", "failed")), "blacklists") == "unknown"
    assert outcome(_listed(), "blacklists") == "unknown"
    assert outcome(evolve(GOOD, greylist=""), "greylist") == "unknown"
    assert outcome(GOOD, "callout") == "skipped"
    why = {one.name: one.why for one in explain(CASES["lists the world"][0], SETTINGS)}
    assert "zen.example (test points: lists-all)" in why["blacklists"]


def test_codes_are_for_the_peer() -> None:
    """A fault of DNS asks to come again; a rule's refusal is final."""
    permanent = {
        reason: judge(facts, SETTINGS).permanent  # type: ignore[union-attr]
        for facts, reason in CASES.values()
        if reason
    }
    temporary = {reason for reason, final in permanent.items() if not final}
    assert temporary == {"sender-domain-unknown", "greylisted"}


def test_the_zone_is_named() -> None:
    """Who is refused for a list learns which: the heaviest that counted."""
    verdict = judge(_listed(_hit("small.example"), _hit("zen.example")), SETTINGS)
    assert verdict is not None
    assert b"zen.example" in verdict.line()


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_written_and_read(name: str) -> None:
    """Facts written down, all of them, are read as the same facts."""
    facts = CASES[name][0]
    assert facts_from_table(json.loads(json.dumps(asdict(facts)))) == facts


def test_read_from_toml() -> None:
    """A file by hand names what it knows and leaves out the rest."""
    table = tomllib.loads("""
        peer = "192.0.2.1"
        sender = "a@b.example"
        spf = "softfail"
        [session]
        helo = "mx.b.example"
        own_names = ["mx.i2pmail.org"]
        [domain]
        name = "B.example."
        mx = "found"
        [[domain.hosts]]
        kind = "MX"
        name = "mx.b.example"
        address = "10.0.0.1"
        place = "private"
        [[blacklists]]
        zone = "zen.example"
        status = "found"
        codes = ["127.0.0.2"]
    """)
    facts = facts_from_table(table)
    assert facts.domain.name == "b.example"
    verdict = judge(facts, SETTINGS)
    assert verdict is not None
    assert verdict.reason == "private-network"


_HOST = {"kind": "MX", "name": "x", "address": "11.0.0.1"}


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ([], "facts: must be a table"),
        ({}, "facts.peer: is missing"),
        ({"peer": 1}, "facts.peer: must be text in quotes"),
        ({"peer": "me"}, "facts: peer must be an address, as in 192.0.2.1 or 2001:"),
        ({"peer": _PEER, "sesion": {}}, "facts: sesion: unknown key; remove it"),
        ({"peer": _PEER, "a\nb": 1}, "facts: a?b: unknown key; remove it"),
        ({"peer": _PEER, "session": 3}, "facts.session: must be a table"),
        (
            {"peer": _PEER, "session": {"early": "yes"}},
            "facts.session.early: must be true or false",
        ),
        (
            {"peer": _PEER, "session": {"own_names": "x"}},
            "facts.session.own_names: must be a list",
        ),
        (
            {"peer": _PEER, "blacklists": [{"zone": "x", "status": "listed"}]},
            'facts.blacklists[0]: status must be one of "", found, none, failed',
        ),
        (
            {"peer": _PEER, "domain": {"hosts": [_HOST, {**_HOST, "address": "x"}]}},
            "facts.domain.hosts[1]: address must be an address",
        ),
        ({"peer": _PEER, "spf": "good"}, 'facts: spf must be one of "", pass, fail'),
    ],
)
def test_faults_in_a_file(table: Any, fault: str) -> None:
    """A fault is told in one line: where it is, and what has to stand there."""
    with pytest.raises(FactsError) as raised:
        facts_from_table(table)
    assert str(raised.value).startswith(fault)
    assert str(raised.value).isprintable()


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["peer", "session", "domain", "hosts", "zone", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@pytest.mark.long
@given(_ANYTHING)
def test_any_file(table: Any) -> None:
    """Whatever a file holds, it is facts or one line about what is wrong."""
    told = ""
    try:
        facts_from_table(table)
    except FactsError as error:
        told = str(error)
    assert told.isprintable()


@given(st.text(max_size=300))
def test_any_helo(helo: str) -> None:
    """Whatever a peer calls itself, there is a verdict or none, and no fault."""
    judge(_says(helo), SETTINGS)
    judge(_says(f"[{helo}]"), SETTINGS)
