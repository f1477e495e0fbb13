"""What forms send, read strictly; targets of requests; the figures of delays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import DELAYS
from postmand.web.armor import armored
from postmand.web.delays import CHOICES
from postmand.web.forms import Field, FormError, read
from postmand.web.rendering import takes_gzip
from postmand.web.targets import is_ours, origin_form

NAME, NOTE = Field("name", 10), Field("note", 20, required=False, lines=True)
SECRET = Field("secret", 10, required=False, secret=True)
FIELDS = (NAME, NOTE, SECRET)


def test_values() -> None:
    """Values are decoded, stripped unless secret, and empty where they are left out."""
    found = read(b"name=+J%C3%B6rg+&secret=+x+&token=t&note=a%0D%0Ab", FIELDS)
    assert found == {"name": "Jörg", "secret": " x ", "token": "t", "note": "a\nb"}
    assert read(b"name=&token=", FIELDS)["note"] == ""
    assert read(b"name=&token=&note=a%09b%0A%09c", FIELDS)["note"] == "a\tb\n\tc"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"name=x",
        b"token=t",
        b"name=x&name=y&token=t",
        b"name=x&token=t&token=t",
        b"name=x&token=t&other=y",
        b"name=x&token=t&",
        b"name=%FF&token=t",
        b"%FF=x&name=x&token=t",
        b"name=x%0A&token=t",
        b"name=x%0D%0ASet-Cookie:+a&token=t",
        b"name=x%00&token=t",
        b"name=x%7F&token=t",
        b"name=x%C2%85&token=t",
        b"name=01234567890&token=t",
        b"name=x&token=t&note=a%0Db",
        b"name=x%09y&token=t",
        b"name=x&token=t&note=a%08b",
        b"name=x&token=t&note=a%0Bb",
        b"name=x&token=t&secret=a%0Ab",
        b"name=x&token=" + b"t" * 201,
        b"&" * 30,
        b"name=x&token=t" + b"&a=b" * 5_000,
    ],
)
def test_what_no_form_of_ours_sends(body: bytes) -> None:
    """Unknown, doubled, missing, long and broken fields are refused by name."""
    with pytest.raises(FormError):
        read(body, FIELDS)


@given(st.binary(max_size=300))
def test_any_octets(body: bytes) -> None:
    """There is a value for every field, or one named error."""
    try:
        found = read(body, FIELDS)
    except FormError:
        return
    assert set(found) == {"name", "note", "secret", "token"}


HOSTS = ("localhost", "hq.postman.i2p", "[::1]")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", b"/"),
        (b"/a?b=c", b"/a?b=c"),
        (b"/%C3%B6", b"/%C3%B6"),
        (b"/?q=%ff", b"/?q=%ff"),
        (b"http://localhost", b"/"),
        (b"HTTP://LOCALHOST:80/x?y", b"/x?y"),
        (b"http://[::1]:8025/x", b"/x"),
        (b"//elsewhere/x", b"//elsewhere/x"),
        (b"", None),
        (b"*", None),
        (b"x", None),
        (b"https://localhost/", None),
        (b"http://elsewhere/", None),
        (b"http://localhost@elsewhere/", None),
        (b"http://elsewhere@localhost/", None),
        (b"http://localhost:80:80/", None),
        (b"http://localhost?x", None),
        (b"http:///x", None),
        (b"/\x7f", None),
        (b"/ x", None),
        (b"/\xc3\xb6", None),
        (b"/%C3", None),
        (b"/#x", None),
    ],
)
def test_targets(target: bytes, path: bytes | None) -> None:
    """Paths, and whole addresses of ours; nothing else is asked for."""
    assert origin_form(target, HOSTS) == path


def test_hosts() -> None:
    """Names are ours without regard to case, port and a dot at the end."""
    for host in (b"localhost", b"LocalHost:9", b"[::1]:80", b"hq.postman.i2p.:80"):
        assert is_ours(host, HOSTS)
    for host in (b"", b":80", b"::1", b"[::2]", b"a@localhost", b"localhost:80x"):
        assert not is_ours(host, HOSTS)
    for host in (b"localhost..", b".localhost", b"localhost..:80"):
        assert not is_ours(host, HOSTS)


def test_gzip() -> None:
    """Packed files go to who takes them."""
    for taken in (b"gzip", b"br, GZIP;q=0.5", b"x-gzip", b"gzip;q=1.0"):
        assert takes_gzip(taken)
    for not_taken in (b"", b"br", b"gzip;q=0", b"gzip; q=0.000", b"gzipped"):
        assert not takes_gzip(not_taken)


def test_armor() -> None:
    """The lines and the checksum are those that GnuPG makes."""
    # RFC 9580 6.1's CRC-24 of "123456789" is 21CF02.
    text = armored(b"123456789").decode().splitlines()
    assert text[0] == "-----BEGIN PGP PUBLIC KEY BLOCK-----"
    assert text[1:4] == ["", "MTIzNDU2Nzg5", "=Ic8C"]
    assert text[4] == "-----END PGP PUBLIC KEY BLOCK-----"
    assert max(map(len, armored(bytes(1_000)).decode().splitlines())) == 64


def test_delays_are_all_there() -> None:
    """Each delay can be chosen, in the order of the configuration's."""
    assert [choice.delay for choice in CHOICES] == list(DELAYS)


def test_figures_are_those_of_the_docs() -> None:
    """How often an observer is right: as measured last, not as remembered."""
    told = (Path(__file__).parents[1] / "docs" / "privacy.rst").read_text()
    rows = {"none": "none", "defer": "defer", "batch": "batch", "pool": r"pool \(8\)"}
    for place, members in enumerate((5, 20, 100)):
        _, _, table = told.partition(f"\n{members} members with a mail a day each\n")
        for choice in CHOICES:
            row = re.search(
                rf"^ +{rows[choice.delay]} +[\d.]+ +[\d.]+ +[\d.]+ +([\d.]+) ",
                table,
                re.MULTILINE,
            )
            assert row, (members, choice.delay)
            assert round(float(row[1]) * 100) == choice.hit[place], choice.delay
