"""The doctor's look at a gateway's names, in a real DNS and at a real policy server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from postmand.admin.zone import policy
from postmand.admin.zone_checkup import check_zone
from postmand.config import Config, load
from tests.authority import Authority
from tests.conftest import need
from tests.flow.outpost import Gateway
from tests.flow.program import free_port
from tests.world.dns import World
from tests.world.strangers import PolicyServer, context, write_anchor

OWN, OTHER, WEB = "127.0.0.21", "127.0.0.22", "127.0.1.210"
NAME, POLICY_HOST = "mx1.i2pmail.org", "mta-sts.i2pmail.org"
ROOT = Authority("root")


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """Make a gateway; it need not run."""
    need("nsd")
    need("unbound")
    return Gateway(tmp_path / "gateway", OWN, free_port(), free_port(), name=NAME)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PolicyServer]:
    """Run the server of the domain's policy."""
    if os.geteuid() != 0:
        pytest.skip("443 is root's port")
    monkeypatch.setenv("SSL_CERT_FILE", str(write_anchor(tmp_path, ROOT.issued)))
    with PolicyServer(WEB, context(ROOT.issue(POLICY_HOST), ROOT.issued)) as server:
        yield server


def told(world: World, gateway: Gateway, *starts: str, source: str = OWN) -> list[str]:
    """Return level and words of what is said with these beginnings."""
    gateway.configure(exit={"resolver": world.resolver, "source": [source]})
    config: Config = load(str(gateway.config))
    found = [(one.level, one.what) for one in check_zone(config)]
    return [f"{level} {what}" for level, what in found if what.startswith(starts)]


def world(base: Path, gateway: Gateway, *more: str) -> World:
    """Return a name system with what the gateway prints, and with `more` lines."""
    lines = [*gateway.published, f"mta-sts A {WEB}", *more]
    return World(base / "dns", {"i2pmail.org": "\n".join(lines) + "\n"})


def file(*names: str) -> str:
    """Return a policy's text."""
    return "".join(f"{line}\r\n" for line in policy(names, certified=False))


def test_all_is_well(gateway: Gateway, web: PolicyServer, tmp_path: Path) -> None:
    """What is printed, published: nothing but the provider's PTR is missing."""
    web.files[POLICY_HOST] = file(NAME)
    with world(tmp_path, gateway) as names:
        said = told(names, gateway, "")
    assert [line for line in said if not line.startswith("ok ")] == [
        f"warn DNS: {OWN} does not lead back to {NAME}",
    ]
    assert f"ok SPF: i2pmail.org from {OWN}: pass" in said
    assert f"ok SPF: HELO {NAME} from {OWN}: pass" in said
    assert web.asked == [POLICY_HOST]


def test_another_source(gateway: Gateway, tmp_path: Path) -> None:
    """What a router may change on the way is told; the name's addresses are judged."""
    moved = [one.replace(OWN, OTHER) for one in gateway.published]
    zone = {"i2pmail.org": "\n".join(moved) + "\n"}
    with World(tmp_path / "dns", zone) as names:
        said = told(names, gateway, "SPF: ", "exit: ")
    assert said[0].startswith(f"warn exit: mail leaves from {OWN}, which is no address")
    assert said[1:] == [
        f"ok SPF: i2pmail.org from {OTHER}: pass",
        f"ok SPF: HELO {NAME} from {OTHER}: pass",
    ]


def test_spf_that_names_others(gateway: Gateway, tmp_path: Path) -> None:
    """A record that begins as it should, and lets somebody else send, is told."""
    lines = [
        line.replace("v=spf1 mx -all", f"v=spf1 ip4:{OTHER} -all")
        for line in gateway.published
    ]
    zone = {"i2pmail.org": "\n".join(lines) + "\n"}
    with World(tmp_path / "dns", zone) as names:
        assert told(names, gateway, "SPF: ") == [
            f"FAIL SPF: i2pmail.org from {OWN}: fail",
            f"ok SPF: HELO {NAME} from {OWN}: pass",
        ]


def test_policy(gateway: Gateway, web: PolicyServer, tmp_path: Path) -> None:
    """Every MX has to be in it; what is none, or not there, is told."""
    where = f"MTA-STS: https://{POLICY_HOST}/.well-known/mta-sts.txt"
    second = "@ MX 20 mx2"
    with world(tmp_path, gateway, second, f"mx2 A {OTHER}") as names:
        for text, expected in (
            (file(NAME, "mx2.i2pmail.org"), "ok says testing, and names every MX"),
            (file(NAME), "FAIL does not name mx2.i2pmail.org"),
            ("mode: enforce\r\n", "FAIL is no policy"),
        ):
            web.files[POLICY_HOST] = text
            level, words = expected.split(" ", 1)
            assert told(names, gateway, "MTA-STS") == [f"{level} {where} {words}"]
        del web.files[POLICY_HOST]
        (line,) = told(names, gateway, "MTA-STS")
        assert line.startswith(f"warn {where} can not be had (answered with 404")
        web.stop()
        (line,) = told(names, gateway, "MTA-STS")
        assert line.startswith(f"warn {where} can not be had (")
