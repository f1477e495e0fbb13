"""A seized gateway shows nothing of the mail under way, in either direction.

Copied is what somebody finds who takes it away: state directory with its keys,
configuration and log, while one mail goes out, one comes in and one waits sealed.
"""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable

import pytest

from tests.conftest import need
from tests.flow.outpost import Gateway
from tests.flow.search import Words
from tests.flow.sink import Sink
from tests.flow.test_seizure import open_files
from tests.world.whole import Whole

_PATIENCE = 60.0
PEERS = ("127.77.66.51", "127.77.66.52", "127.77.66.53")
PERSONS = (
    *("alicia.inside", "robert.outside", "sender.waiting", "nobody.known"),
    *("chatty.stranger", "half.way.in"),
)
SUBJECTS = ("A very secret departure", "Arrival nobody knows", "Sealed for the night")
BODY = "The treasure lies under the third oak, line %05d of them.\r\n"
_MANY = "".join(BODY % number for number in range(60_000))
_ZONES = {
    "outside.test": "@ MX 10 mx\nmx A 127.0.0.1",
    "comes.test": '@ MX 10 mx\nmx A 127.0.0.1\n@ TXT "v=spf1 ip4:127.77.0.0/16 -all"',
}
SENDER, MEMBER = "robert.outside@comes.test", "alicia.inside@i2pmail.org"


def letter(sender: str, to: str, subject: str, body: str) -> bytes:
    """Return a message."""
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}".encode()


def words() -> Words:
    """Return all that must not be found."""
    addresses = {f"{one}@{at}" for one in PERSONS for at in ("comes.test", "mail.i2p")}
    lines = {(BODY % number).strip() for number in range(0, 60_000, 997)}
    secret = {*PERSONS, *addresses, *SUBJECTS, *lines, *PEERS, "comes.test"}
    return Words(one.encode() for one in secret)


def seen(gateway: Gateway) -> dict[str, bytes]:
    """Return every file that there is, and those that are open without a name."""
    found = {
        str(path.relative_to(gateway.base)): path.read_bytes()
        for path in gateway.base.rglob("*")
        if path.is_file()
    }
    return {**found, **open_files(gateway)}


def brought(gateway: Gateway, peer: str, sender: str, to: str, text: bytes) -> int:
    """Bring a mail as the Internet does; return the last reply's code."""
    one = smtplib.SMTP(timeout=_PATIENCE, source_address=(peer, 0))
    one.connect(gateway.address, gateway.port)
    with one:
        one.ehlo("mx.comes.test")
        replies = [one.mail(sender)[0], one.rcpt(to)[0]]
        return one.data(text)[0] if replies == [250, 250] else replies[-1]


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    until = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def seized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return all files of a gateway with mail under way in both directions."""
    need("nsd")
    need("unbound")
    whole = Whole(
        tmp_path_factory.mktemp("seized"),
        members=("alicia.inside",),
        zones=_ZONES,
        gateways=1,
        postfix=False,
        gateway={"exchange": {"greylist": False, "inbound": "seal"}},
    )
    # The far end of what goes out: it never answers the body.
    sink = Sink(whole.port, mood=lambda: "hang after body").start()
    try:
        with whole:
            return under_way(whole, sink)
    finally:
        sink.stop()


def under_way(whole: Whole, sink: Sink) -> dict[str, bytes]:
    """Have a mail go out, one come in and others wait; return what there is then."""
    (gateway,) = whole.gateways
    text = letter(SENDER, MEMBER, SUBJECTS[1], _MANY)
    assert brought(gateway, PEERS[0], SENDER, MEMBER, text) == 250
    unknown = "nobody.known@i2pmail.org"
    assert brought(gateway, PEERS[1], SENDER, unknown, text) == 550
    stranger = "chatty.stranger@no-such-domain.test"
    assert brought(gateway, PEERS[1], stranger, MEMBER, text) == 550
    outside = "sender.waiting@outside.test"
    own = letter("alicia.inside@mail.i2p", outside, SUBJECTS[0], _MANY)
    whole.house.submit("alicia.inside", [outside], own)
    wait_until(lambda: sink.asked)
    found = {f"going out: {name}": data for name, data in seen(gateway).items()}
    with smtplib.SMTP(timeout=_PATIENCE, source_address=(PEERS[2], 0)) as half:
        half.connect(gateway.address, gateway.port)
        half.ehlo("mx.comes.test")
        half.mail("half.way.in@comes.test")
        assert half.rcpt(MEMBER)[0] == 250
        assert half.docmd("DATA")[0] == 354
        half.send(letter(SENDER, MEMBER, SUBJECTS[1], _MANY))
        wait_until(lambda: any("(deleted)" in name for name in open_files(gateway)))
        found |= {f"coming in: {name}": data for name, data in seen(gateway).items()}
        # Without the host what comes is kept, sealed.
        whole.house.kill()
        half.send(b"\r\n.\r\n")
        assert half.getreply()[0] == 250
    sealed = letter(SENDER, MEMBER, SUBJECTS[2], _MANY)
    assert brought(gateway, PEERS[0], SENDER, MEMBER, sealed) == 250
    found |= {f"sealed: {name}": data for name, data in seen(gateway).items()}
    return found


def test_nothing_is_found(seized: dict[str, bytes]) -> None:
    """No address, subject, line of a body or peer, plain or encoded, in any file."""
    names = set(seized)
    assert {"going out: node.log", "coming in: node.log", "sealed: node.toml"} <= names
    assert any(name.startswith("coming in: ") and "(deleted)" in name for name in names)
    kept = [data for name, data in seized.items() if name.startswith("sealed: state/")]
    assert sum(len(data) for data in kept) > 2 * len(_MANY)
    looked_for = words()
    # Each file once: most are the same at all three moments.
    found = {data: looked_for.found(data) for data in set(seized.values())}
    hits = {name: found[data] for name, data in seized.items() if found[data]}
    assert hits == {}


def test_the_log_names_no_peer(seized: dict[str, bytes]) -> None:
    """Not even that somebody of the peers' network was there."""
    for name, data in seized.items():
        if name.endswith("node.log"):
            assert b"127.77." not in data
