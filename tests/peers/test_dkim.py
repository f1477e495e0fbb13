"""Others' DKIM: what the node signs verifies with programs that share no code with it.

Neither asks the DNS: the record is handed to them as the operator would publish it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from postmand.message.dkim import SigningKey, new_key

Peer = Callable[..., str]
Verify = Callable[[bytes], bool]
DOMAIN = "i2pmail.org"
HEADER = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"From: Jon Doe <jondoe@i2pmail.org>\r\n"
    b"To: somebody@example.org,\r\n another@example.com\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <0123456789abcdef@i2pmail.org>\r\n"
    b"References: <one@example.org>\r\n <two@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8; format=flowed\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n"
    b"\r\n"
)
BODY = b"Hello,\r\n\r\n.one dot\r\nFrom flowed \r\nends=20\r\n"
# The record goes in as a zone file's line, the message on standard input.
PERL = """
use strict; use warnings;
use Mail::DKIM::Verifier; use Net::DNS;
my $record = Net::DNS::RR->new($ARGV[0]);
no warnings 'redefine';
*Mail::DKIM::DNS::query = sub {
    my ($name, $type) = @_;
    return $type eq 'TXT' && "$name." eq $ARGV[1] ? ($record) : ();
};
binmode STDIN;
my $verifier = Mail::DKIM::Verifier->new();
$verifier->load(\\*STDIN);
print $verifier->result_detail, "\\n";
"""
RECEIVED = b"Received: from mx.i2pmail.org by mx.example.org; a while ago\r\n"


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """Make the node's key."""
    return SigningKey("s2026", new_key())


@pytest.fixture(params=["Mail::DKIM", "opendkim"])
def verify(
    request: pytest.FixtureRequest, key: SigningKey, peer: Peer, tmp_path: Path
) -> Verify:
    """Return how each of the two verifies."""
    if request.param == "opendkim":
        return by_opendkim(peer("opendkim"), key, tmp_path)
    peer("dkimproxy-verify", "libmail-dkim-perl")
    return by_mail_dkim(peer("perl"), key)


def by_mail_dkim(perl: str, key: SigningKey) -> Verify:
    """Mail::DKIM, which SpamAssassin uses."""
    name, value = key.record(DOMAIN)

    def verify(message: bytes) -> bool:
        line = f"{name} 3600 IN TXT {value}"
        result = said([perl, "-e", PERL, line, name], message)
        assert re.match(r"pass$|fail \(", result), result
        return result == "pass\n"

    return verify


def by_opendkim(opendkim: str, key: SigningKey, place: Path) -> Verify:
    """OpenDKIM, the milter of many a Postfix."""
    name, value = key.record(DOMAIN)
    text = "".join(re.findall(r'"([^"]*)"', value))
    keys, config, file = place / "keys", place / "opendkim.conf", place / "message"
    keys.write_text(f"{name.removesuffix('.')} {text}\n")
    config.write_text(f"Mode v\nTestPublicKeys {keys}\n")

    def verify(message: bytes) -> bool:
        file.write_bytes(message)
        result = said([opendkim, "-x", str(config), "-t", str(file), "-v"], b"")
        (found,) = re.findall(
            r"verification \(s=s2026,? .*\) (succeeded|failed)", result
        )
        return bool(found == "succeeded")

    return verify


def said(command: list[str], told: bytes) -> str:
    """Run a program to its end; return what it says."""
    done = subprocess.run(
        command, input=told, capture_output=True, timeout=60, check=False
    )
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize(
    "body",
    [BODY, b"", b"\r\n\r\n", b"x" * 70 + b"\r\n\r\n\r\n", b"line\r\n" * 100_000],
    ids=["usual", "empty", "lines", "blank-end", "long"],
)
def test_good(key: SigningKey, verify: Verify, body: bytes) -> None:
    """Signed by the node and relayed over one hop, it verifies."""
    field = key.signer(DOMAIN).sign(HEADER, body)
    assert verify(RECEIVED + field + HEADER + body)


def test_folded_anew(key: SigningKey, verify: Verify) -> None:
    """A relay that folds a header line anew does no harm."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    folded = HEADER.replace(b"org>\r\n <two", b"org> <two")
    assert folded != HEADER
    assert verify(field + folded + BODY)


@pytest.mark.parametrize(
    "name",
    [b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To", b"Content-Type"],
)
def test_added(key: SigningKey, verify: Verify, name: bytes) -> None:
    """A field added on the way is noticed, whether there was one before or not."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    assert not verify(field + name + b": other@example.org\r\n" + HEADER + BODY)


def test_changed(key: SigningKey, verify: Verify) -> None:
    """A changed octet is noticed, in the header and in the body."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    assert not verify(field + HEADER.replace(b"15:21", b"15:22") + BODY)
    assert not verify(field + HEADER + BODY.replace(b"dot", b"dots"))
