"""Mail that a gateway took sealed, and that the host refuses when it is back.

The caller was told 250 and is gone. Who is vouched for hears of it by mail, whatever
the reason; to anybody else nothing is said, and it is counted.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from email import message_from_bytes

import pytest
from attrs import frozen

from tests.conftest import need
from tests.flow.outpost import Gateway
from tests.flow.sink import Sink, Taken
from tests.flow.test_gateway_seizure import brought, letter, wait_until
from tests.world.counters import Counters
from tests.world.whole import Whole

VOUCHED, STRANGER = "127.77.66.51", "127.78.66.51"
ALICE, NOBODY = "alice@i2pmail.org", "nobody@i2pmail.org"
_LIMIT = 200_000
# What is larger is kept before the host is asked.
_SMALL = 262_144
_ZONES = {
    "comes.test": '@ MX 10 mx\nmx A 127.0.0.1\n@ TXT "v=spf1 ip4:127.77.0.0/16 ?all"',
}
_DEEP = "".join(
    f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n"
    for number in range(40)
).replace("\n", "\r\n")


def plain(name: str, more: str = "\r\nHello\r\n", author: str = "") -> bytes:
    """Return a mail with an id of its own."""
    lines = f"Message-ID: <{name}@comes.test>\r\n{more}"
    whole = letter(author or f"{name}@comes.test", ALICE, name, lines)
    return whole.replace(b"\r\n\r\n", b"\r\n", 1)


# Sender's name: for whom, the mail, and the status its sender is told.
_REFUSED = {
    "to.nobody": (NOBODY, plain("to.nobody"), "5.1.1"),
    "too.large": (ALICE, plain("too.large", "\r\n" + "x\r\n" * _LIMIT), "5.2.2"),
    "too.deep": (ALICE, plain("too.deep", _DEEP), "5.6.0"),
    "forger": (ALICE, plain("forger", author="jondoe@mail.i2p"), "5.7.1"),
    "two.froms": (ALICE, b"From: x@comes.test\r\n" + plain("two.froms"), "5.7.1"),
}


@frozen
class Came:
    """What there was in the end: reports by addressee, alice's mail, counters.

    `live` is what the same mails are answered while the host is there, and `reported`
    how many reports there were after that.
    """

    reports: dict[str, Taken]
    collected: list[bytes]
    refused: float
    not_told: float
    live: dict[str, int]
    reported: int


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Came]:
    """Have mail taken while the host is away, bring it back, and see what comes."""
    need("nsd")
    need("unbound")
    whole = Whole(
        tmp_path_factory.mktemp("whole"),
        zones=_ZONES,
        gateways=1,
        postfix=False,
        gateway={
            # DMARC would refuse some of it while the caller is there.
            "exchange": {"greylist": False, "inbound": "seal", "obey_dmarc": False},
            "delays": {"tick_seconds": 0.1},
        },
        host={"mailboxes": {"max_bytes": _LIMIT}},
    )
    whole.house.on_a_clock()
    counters = [Counters(one) for one in (whole.house, whole.gateways[0])]
    sink = Sink(whole.port).start()
    try:
        with whole:
            yield _taken(whole, sink, *counters)
    finally:
        sink.stop()


def _taken(whole: Whole, sink: Sink, host: Counters, outside: Counters) -> Came:
    (gateway,) = whole.gateways
    whole.house.kill()
    for name, (to, text, _) in _REFUSED.items():
        sender = f"{name}@comes.test"
        assert brought(gateway, VOUCHED, sender, to, text) == 250, name
        assert brought(gateway, STRANGER, sender, to, text) == 250, name
    for peer in (VOUCHED, STRANGER):
        _to_both(gateway.address, gateway.port, peer)
    assert len(_crates(gateway)) == 2 * len(_REFUSED) + 2
    whole.house.start()
    wait_until(lambda: not _crates(gateway))
    # What the queue keeps leaves at the next whole minute.
    whole.house.later(60)
    reports = sink.wait_for(len(_REFUSED) + 1)
    name = 'postmand_faults_total{kind="crate-refused"}'
    not_told = 'postmand_refused_total{reason="sender-not-told"}'
    refused = outside.risen(name, len(_REFUSED))
    told = host.risen(not_told, 1)
    wait_until(lambda: len(whole.house.collect("alice", delete=False)) >= 2)
    collected = whole.house.collect("alice")
    by_name = {one.recipients[0]: one for one in reports}
    live = {}
    for name, (to, text, _) in _REFUSED.items():
        if len(text) < _SMALL:
            live[name] = brought(gateway, VOUCHED, f"{name}@comes.test", to, text)
    whole.house.later(60)
    wait_until(lambda: not whole.house.ctl("queue", "list"))
    return Came(by_name, collected, refused, told, live, len(sink.taken))


def _crates(gateway: Gateway) -> list[str]:
    """Return the names of what lies sealed: random numbers of 16 octets."""
    names = [one.name for one in (gateway.state / "sealed").iterdir()]
    return [one for one in names if re.fullmatch("[0-9a-f]{32}", one)]


def _to_both(address: str, port: int, peer: str) -> None:
    """Bring a mail for a member and for nobody."""
    one = smtplib.SMTP(
        timeout=60, local_hostname="mx.comes.test", source_address=(peer, 0)
    )
    one.connect(address, port)
    with one:
        text = plain("to.both")
        assert one.sendmail("to.both@comes.test", [ALICE, NOBODY], text) == {}


@pytest.mark.parametrize("name", _REFUSED)
def test_vouched_sender_is_told(came: Came, name: str) -> None:
    """A report, joined to the mail, with the reason's own code; to the null path."""
    report = came.reports[f"{name}@comes.test"]
    assert report.sender == ""
    message = message_from_bytes(report.data)
    assert message.get_content_type() == "multipart/report"
    assert message["From"] == "Mail system <mailer-daemon@i2pmail.org>"
    assert message["In-Reply-To"] == f"<{name}@comes.test>"
    assert f"Status: {_REFUSED[name][2]}".encode() in report.data
    assert b"mail.i2p" not in report.data


def test_the_others_have_it(came: Came) -> None:
    """Of two recipients one gets it, and the sender hears of the other alone."""
    assert len(came.collected) == 2
    report = came.reports["to.both@comes.test"]
    assert NOBODY.encode() in report.data
    assert ALICE.encode() not in report.data.partition(b"delivery-status")[2]


def test_strangers_hear_nothing(came: Came) -> None:
    """Who is not vouched for is told nothing; both ends count what was dropped."""
    assert len(came.reports) == len(_REFUSED) + 1
    assert (came.refused, came.not_told) == (len(_REFUSED), 1)


def test_who_waits_hears_it_in_the_session(came: Came) -> None:
    """While the host is there their callers hear the same, and there is no report."""
    assert came.live == {
        "to.nobody": 550,
        "too.deep": 554,
        "forger": 550,
        "two.froms": 550,
    }
    assert came.reported == len(came.reports)
