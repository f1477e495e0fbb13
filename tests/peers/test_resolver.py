"""The resolver against real servers: nsd has the zones, unbound validates."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import selectreactor

from postmand.dns.blocking import Blocking
from postmand.dns.resolver import Patience, Resolver
from postmand.dns.wire import Server
from postmand.inbound import Records
from tests.world.dns import World

_MANY = "\n".join(f'many TXT "{n:03}-{"x" * 200}"' for n in range(100))
_ZONES = {
    "plain.example": f"""
@ MX 10 mx
@ MX 20 mx2
@ TXT "v=spf1 " "-all"
mx A 11.0.0.1
mx AAAA 2a00::1
alias CNAME other
other CNAME mx
far CNAME away.elsewhere.example.
lost CNAME nobody
empty TXT "only a text"
{_MANY}
""",
    "elsewhere.example": "away A 11.0.0.9",
    "signed.example": """
@ MX 10 mx
mx A 11.0.0.2
_25._tcp.mx TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
to CNAME mx
out CNAME mx.plain.example.
""",
    "bogus.example": "bad A 11.0.0.66\ngood A 11.0.0.65",
    "127.in-addr.arpa": "1.0.0 PTR mx.plain.example.",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a world for the module's tests."""
    home = tmp_path_factory.mktemp("world")
    with World(
        home, _ZONES, signed=["signed.example"], bogus=["bogus.example"]
    ) as world:
        yield world


@pytest.fixture(scope="module")
def reactor() -> Iterator[Any]:
    """Run a reactor in a thread: not the process's own, which other tests share."""
    reactor = selectreactor.SelectReactor()
    thread = threading.Thread(target=reactor.run, args=(False,))
    thread.start()
    yield reactor
    reactor.callFromThread(reactor.stop)
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def blocking(world: World, reactor: Any) -> Blocking:
    """Ask unbound from this thread."""
    servers = [Server.read(world.resolver)]
    return Blocking(Resolver(reactor, servers, random.SystemRandom()), reactor)


def _found(*texts: str, secure: bool = False) -> Records:
    return Records("found", texts, secure)


def _sorted(records: Records) -> Records:
    return Records(
        records.status, tuple(sorted(records.texts)), records.secure, records.exists
    )


def test_kinds(blocking: Blocking) -> None:
    """Records come in their presentation form, without AD from an unsigned zone."""
    assert blocking.asked("mx.plain.example", "A") == _found("11.0.0.1")
    assert blocking.asked("mx.plain.example", "AAAA") == _found("2a00::1")
    assert blocking.asked("PLAIN.Example", "A") == Records("none")
    assert _sorted(blocking.asked("plain.example", "MX")) == _found(
        "10 mx.plain.example.", "20 mx2.plain.example."
    )
    assert blocking.asked("1.0.0.127.in-addr.arpa", "PTR") == _found(
        "mx.plain.example."
    )


def test_texts(blocking: Blocking) -> None:
    """A TXT record keeps its strings apart, for who reads it to join."""
    assert blocking.asked("plain.example", "TXT") == _found('"v=spf1 " "-all"')


def test_names_that_are_not(blocking: Blocking) -> None:
    """A name without such records is told from a name that does not exist."""
    assert blocking.asked("empty.plain.example", "MX") == Records("none")
    assert blocking.asked("nobody.plain.example", "MX") == Records("none", exists=False)
    assert blocking.asked("no-such-top", "A") == Records("none", exists=False)


def test_aliases_followed(blocking: Blocking) -> None:
    """What a chain of aliases ends at is the answer, across zones too."""
    assert blocking.asked("alias.plain.example", "A") == _found("11.0.0.1")
    assert blocking.asked("far.plain.example", "A") == _found("11.0.0.9")
    assert blocking.asked("lost.plain.example", "A") == Records("none", exists=False)


def test_signed(blocking: Blocking) -> None:
    """A validated answer is secure, so is a validated absence; half a chain is not."""
    assert blocking.asked("signed.example", "MX") == _found(
        "10 mx.signed.example.", secure=True
    )
    tlsa = blocking.asked("_25._tcp.mx.signed.example", "TLSA")
    assert tlsa == _found("3 1 1 " + "0123456789abcdef" * 4, secure=True)
    assert blocking.asked("to.signed.example", "A") == _found("11.0.0.2", secure=True)
    assert blocking.asked("out.signed.example", "A") == _found("11.0.0.1")
    assert blocking.asked("nobody.signed.example", "A") == Records(
        "none", secure=True, exists=False
    )
    assert blocking.asked("mx.signed.example", "AAAA") == Records("none", secure=True)


def test_forged(blocking: Blocking) -> None:
    """What does not validate is no answer, and the rest of the zone is one."""
    assert blocking.asked("bad.bogus.example", "A") == Records("failed")
    assert blocking.asked("good.bogus.example", "A") == _found("11.0.0.65", secure=True)


def test_by_tcp(blocking: Blocking) -> None:
    """An answer that no datagram holds comes whole."""
    assert len(blocking.asked("many.plain.example", "TXT").texts) == 100


def test_word_of_a_stranger(world: World, reactor: Any) -> None:
    """AD counts from a resolver that is trusted with it only."""
    server = Server(world.address, world.port, vouches=False)
    asked = Blocking(Resolver(reactor, [server], random.SystemRandom()), reactor)
    assert asked.asked("signed.example", "MX") == _found("10 mx.signed.example.")


def test_authority_is_no_resolver(world: World, reactor: Any) -> None:
    """Who does not recurse does not know what is not there."""
    server = Server(world.address, world.authority)
    asked = Blocking(Resolver(reactor, [server], random.SystemRandom()), reactor)
    assert asked.asked("plain.example", "MX") == Records("failed")


def test_first_is_away(world: World, reactor: Any) -> None:
    """Where nobody listens, the next is asked at once."""
    with World(world._home / "none", {}) as gone:
        away = gone.port
    servers = [Server(world.address, away), Server.read(world.resolver)]
    patience = Patience(reply=60.0, whole=60.0)
    asked = Blocking(
        Resolver(reactor, servers, random.SystemRandom(), patience), reactor
    )
    assert asked.asked("mx.plain.example", "A", 20.0) == _found("11.0.0.1")


def test_many_at_once(blocking: Blocking, reactor: Any) -> None:
    """Hundreds of questions at once are all answered, each with its own."""
    done = threading.Event()
    told: list[Records] = []

    def keep(records: Records) -> None:
        told.append(records)
        if len(told) == 600:
            done.set()

    def ask() -> None:
        for number in range(600):
            name = ("mx.plain.example", "away.elsewhere.example")[number % 2]
            blocking.resolver.ask(name, "A").addCallback(keep)

    reactor.callFromThread(ask)
    assert done.wait(30)
    assert told.count(_found("11.0.0.1")) == 300
    assert told.count(_found("11.0.0.9")) == 300


def test_zones_change(tmp_path: Path, reactor: Any) -> None:
    """The world's zones can be changed under way, and its authority can go."""
    with World(tmp_path, {"a.example": "x A 11.0.0.1"}) as world:
        patience = Patience(reply=1.0, whole=30.0)
        server = Server.read(world.resolver)
        asked = Blocking(
            Resolver(reactor, [server], random.SystemRandom(), patience), reactor
        )
        assert asked.asked("x.a.example", "A") == _found("11.0.0.1")
        world.serve({"a.example": "x A 11.0.0.2"})
        assert asked.asked("x.a.example", "A") == _found("11.0.0.2")
        world.cut()
        assert asked.asked("x.a.example", "A", 30.0) == Records("failed")
