"""The doctor on a gateway: its certificate, its sealed mail, its names."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from attrs import evolve

from postmand.admin import gateway_checkup, zone_checkup
from postmand.admin.finding import Finding
from postmand.admin.gateway_checkup import check_certificate, check_sealed, judged
from postmand.admin.link_checkup import check_link
from postmand.admin.zone_checkup import _addresses, _keys
from postmand.config import Config, Exchange, Exit, Link, Node
from postmand.gateway_keys import GatewayKeys
from tests.authority import Authority

NAME = "mx.i2pmail.org"
DAY = 86_400.0
ISSUED = Authority().issue(NAME)
END = ISSUED.certificate.not_valid_after_utc.timestamp()


def told(found: Any) -> list[tuple[str, str]]:
    """Return level and words of findings; each that is not good says what mends it."""
    findings: list[Finding] = list(found)
    assert all(bool(one.mend) == (one.level != "ok") for one in findings)
    return [(one.level, one.what) for one in findings]


def config(state: Path, **exchange: Any) -> Config:
    """Return a gateway's."""
    return Config(Node(state=str(state)), exchange=Exchange(**exchange), link=Link())


# The certificate.


@pytest.mark.parametrize(
    ("left", "level", "words"),
    [
        (15 * DAY, "ok", "has one until "),
        (14 * DAY + 1, "ok", "has one until "),
        (14 * DAY - 1, "warn", " only"),
        (1, "warn", " only"),
        (0, "FAIL", "had one until "),
        (-DAY, "FAIL", "had one until "),
    ],
)
def test_end(left: float, level: str, words: str) -> None:
    """Two weeks before its end it is time, after it it is late."""
    ((found, what),) = told(judged(ISSUED.certificate, Exchange(), END - left))
    assert (found, words in what) == (level, True)


def test_other_name() -> None:
    """A certificate for another name is told of."""
    other = Authority().issue("www.example.org").certificate
    levels = [one[0] for one in told(judged(other, Exchange(), END - 20 * DAY))]
    assert levels == ["ok", "warn"]


def test_own(tmp_path: Path) -> None:
    """Our own has no end; before the first start there is none, and none is made."""
    ours = config(tmp_path)
    assert [one[0] for one in told(check_certificate(ours))] == ["warn"]
    assert os.listdir(tmp_path) == []
    GatewayKeys(ours).exchange()
    ((level, what),) = told(check_certificate(ours))
    assert (level, what) == (
        "ok",
        f"certificate: {NAME} has our own, without an end",
    )


def test_given(tmp_path: Path) -> None:
    """A given one is looked at; one that can not be used is a fault."""
    path = tmp_path / "both.pem"
    path.write_bytes(ISSUED.key_pem + ISSUED.pem)
    path.chmod(0o600)
    given = config(tmp_path, certificate=str(path))
    ((level, what),) = told(check_certificate(given))
    assert (level, "until" in what) == ("warn", True)
    path.chmod(0o644)
    ((level, what),) = told(check_certificate(given))
    assert (level, "everybody may read" in what) == ("FAIL", True)


# Sealed mail.


@pytest.mark.parametrize(
    ("count", "octets", "level"),
    [
        (0, 0, "ok"),
        (8, 10, "ok"),
        (9, 10, "warn"),
        (10, 10, "FAIL"),
        (1, 90_000, "FAIL"),
    ],
)
def test_fill(tmp_path: Path, count: int, octets: int, level: str) -> None:
    """Above four fifths it is getting full, by number or by octets."""
    (tmp_path / "sealed").mkdir()
    for number in range(count):
        (tmp_path / "sealed" / f"{number:x}").write_bytes(bytes(octets))
    (tmp_path / "sealed" / ".lock").touch()
    (tmp_path / "sealed" / "00.new").touch()
    ours = config(tmp_path, sealed_messages=10, sealed_bytes=65_536)
    ((found, what),) = told(check_sealed(ours))
    assert found == level
    assert what.startswith(f"sealed mail: {count} of 10 messages, ")


def test_age(tmp_path: Path) -> None:
    """What lies for days is told of before it is dropped."""
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "ab").touch()
    later = time.time() + 4 * DAY
    with mock.patch.object(gateway_checkup.time, "time", return_value=later):
        ((level, what),) = told(check_sealed(config(tmp_path)))
    assert (level, "the oldest for 4 days" in what) == ("warn", True)


def test_no_access(tmp_path: Path) -> None:
    """A directory that can not be written to keeps nothing."""
    assert told(check_sealed(config(tmp_path))) == []
    (tmp_path / "sealed").mkdir()
    with mock.patch.object(gateway_checkup.os, "access", return_value=False):
        assert told(check_sealed(config(tmp_path)))[0][0] == "FAIL"


# The link: with sockets in tests/flow.


def test_not_paired(tmp_path: Path) -> None:
    """Before there are keys nobody is called."""
    ours = config(tmp_path)
    assert told(check_link(ours)) == [("warn", "link: there is no key yet")]
    GatewayKeys(ours).link()
    assert [one[0] for one in told(check_link(ours))] == ["FAIL"]


# Names.


class Zone:
    """A name system that knows what the test tells it."""

    def __init__(self, records: Mapping[str, list[str]]) -> None:
        self._records = records

    def texts(self, name: str, kind: str) -> list[str]:
        """As zone_checkup's."""
        return self._records.get(f"{name} {kind}", [])


ZONE = {
    f"{NAME} A": ["198.51.100.25"],
    "25.100.51.198.in-addr.arpa. PTR": [f"{NAME}."],
}


def leaving(*sources: str, chosen: str = "") -> list[tuple[str, str]]:
    """Return what is said of a gateway that leaves from there."""
    zone: Any = Zone(ZONE)
    chooses = {"192.0.2.1": chosen}.get
    with mock.patch.object(zone_checkup, "chosen_source", lambda far: chooses(far, "")):
        return told(_addresses(NAME, Exit(source=sources), zone))


def test_source_named() -> None:
    """The address that mail leaves from is the name's, and leads back to it."""
    assert leaving("198.51.100.25", chosen="10.0.0.5") == [
        ("ok", f"exit: mail leaves from 198.51.100.25, as {NAME} says"),
        ("ok", f"DNS: 198.51.100.25 leads back to {NAME}"),
    ]


def test_source_chosen() -> None:
    """Without one it is the system's choice that counts."""
    assert leaving(chosen="198.51.100.25")[0][0] == "ok"
    assert leaving(chosen="11.0.0.9") == [
        ("FAIL", f"exit: mail leaves from 11.0.0.9, which is no address of {NAME}"),
        ("ok", f"DNS: 198.51.100.25 leads back to {NAME}"),
        ("warn", f"DNS: 11.0.0.9 does not lead back to {NAME}"),
    ]


def test_source_behind_a_router() -> None:
    """A private address becomes another on its way: that can not be told from here."""
    (level, what), *rest = leaving(chosen="10.0.0.5")
    assert (level, "10.0.0.5" in what) == ("warn", True)
    assert rest == [("ok", f"DNS: 198.51.100.25 leads back to {NAME}")]


def test_keys(tmp_path: Path) -> None:
    """TLSA is compared with the key that there is; looking makes none."""
    ours = config(tmp_path)
    other = "3 1 1 " + "0" * 64
    assert [one[0] for one in told(_keys(ours, [other], NAME))] == ["FAIL"]
    assert os.listdir(tmp_path) == []
    right = GatewayKeys(ours).tlsa()
    assert [one[0] for one in told(_keys(ours, [other, right], NAME))] == ["ok"]
    assert [one[0] for one in told(_keys(ours, [], NAME))] == ["warn"]
    renamed = evolve(ours, exchange=Exchange(host_name="other.example"))
    assert [one[0] for one in told(_keys(renamed, [right], NAME))] == ["ok"]
