"""Others' SPF, DKIM and DMARC: the same mail, judged alike by code that is not ours.

All of them read one zone; nothing is asked of any DNS.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from postmand.inbound import Records
from postmand.message import signatures
from postmand.message.authentication import authenticate, own_signature
from postmand.message.dkim import SigningKey, new_key, public_key
from postmand.message.dmarc import judge
from postmand.message.questions import Questions
from postmand.message.signatures import Signature, SignedMessage
from postmand.message.spf import Spf, check

Peer = Callable[..., str]
NOW = 1_795_348_800.0
PEM = new_key()
HEADER = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"From: Ann <ann@example.org>\r\n"
    b"To: bob@i2pmail.org,\r\n\tcarol@i2pmail.org\r\n"
    b"Subject: Greetings \t and  more\r\n"
    b"\r\n"
)
BODY = b"Hello, \r\n\r\n.a dot\r\n \t \r\nworld\t \twide  \r\n\r\n \r\n"

# A resolver for Perl: the zone's lines are in the file that is the first argument.
RESOLVER = r"""
use strict; use warnings; use Net::DNS;
package Zone;
sub new { my ($class, $file) = @_; my @rr;
    open(my $in, '<', $file) or die; while (<$in>) { chomp; push @rr, $_ }
    return bless { rr => [map { Net::DNS::RR->new($_) } @rr] }, $class }
sub send { my ($self, $name, $type) = @_;
    $name =~ s/\.$//; my $packet = Net::DNS::Packet->new($name, $type || 'A', 'IN');
    my @all = grep { lc $_->name eq lc $name } @{$self->{rr}};
    my @found = grep { $_->type eq ($type || 'A') } @all;
    $packet->push(answer => @found); $packet->header->qr(1);
    $packet->header->rcode('NXDOMAIN') unless @all;
    $self->{last} = $packet; return $packet }
sub query { my $packet = &send(@_); return $packet->answer ? $packet : undef }
sub search { &query }
sub errorstring { $_[0]{last} ? $_[0]{last}->header->rcode : 'NOERROR' }
sub udp_timeout {} sub tcp_timeout {} sub persistent_udp {} sub AUTOLOAD {}
package main;
my $zone = Zone->new(shift @ARGV);
"""
SPF_PERL = (
    RESOLVER
    + r"""
use Mail::SPF;
my ($ip, $sender, $helo) = @ARGV;
my $server = Mail::SPF::Server->new(dns_resolver => $zone);
my $request = Mail::SPF::Request->new(scope => 'mfrom', identity => $sender,
    ip_address => $ip, helo_identity => $helo);
print $server->process($request)->code;
"""
)
DMARC_PERL = (
    RESOLVER
    + r"""
use Mail::DMARC::PurePerl;
my ($from, $spf, $spf_domain, @dkim) = @ARGV;
my $dmarc = Mail::DMARC::PurePerl->new;
$dmarc->set_resolver($zone);
$dmarc->source_ip('192.0.2.1');
$dmarc->header_from($from);
$dmarc->spf({ scope => 'mfrom', domain => $spf_domain, result => $spf });
my @signed;
while (my ($result, $domain) = splice @dkim, 0, 2) {
    push @signed, { domain => $domain, selector => 's1', result => $result };
}
$dmarc->dkim(\@signed);
my $result = $dmarc->validate;
print $result->result, ' ', $result->disposition // '';
"""
)
SIGN_PERL = r"""
use strict; use warnings; use Mail::DKIM::Signer;
my ($file, $how) = @ARGV;
my $signer = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $how,
    Domain => 'example.org', Selector => 's1', KeyFile => $file);
binmode STDIN; $signer->load(\*STDIN);
print $signer->signature->as_string, "\n";
"""


@frozen
class Zone:
    """A zone, both for us and for a file of others."""

    lines: tuple[str, ...]

    def ask(self, name: str, kind: str) -> Records:
        """Answer as a resolver does."""
        found = []
        for line in self.lines:
            owner, _, _, type_, data = line.split(" ", 4)
            if owner == f"{name}." and type_ == kind:
                found.append(data)
        return Records("found", tuple(found)) if found else Records("none")

    def questions(self) -> Questions:
        """Return a purse of questions to it."""
        return Questions(self.ask, lambda: 0.0, 1.0, 200)


def record(name: str, kind: str, data: str) -> str:
    """Return a line of a zone file."""
    return f"{name}. 0 IN {kind} {data}"


def txt(name: str, text: str) -> str:
    """Return the line of a TXT record."""
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
    return record(name, "TXT", " ".join(f'"{piece}"' for piece in pieces))


def perl(script: str, *arguments: str, told: bytes = b"") -> str:
    """Run a script to its end; return what it says."""
    done = subprocess.run(
        ["perl", "-e", script, *arguments],
        input=told,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


def needed(peer: Peer, module: str) -> None:
    """Skip the test where Perl's module is missing."""
    found = subprocess.run(
        [peer("perl"), f"-M{module}", "-e1"], capture_output=True, check=False
    )
    if found.returncode:
        pytest.skip(f"{module} is not installed")


# SPF.

SPF_ZONE = (
    record("example.org", "A", "192.0.2.1"),
    record("example.org", "MX", "10 m1.example.org."),
    record("example.org", "MX", "20 m2.example.org."),
    record("m1.example.org", "A", "192.0.2.11"),
    record("m2.example.org", "A", "192.0.2.12"),
    record("m2.example.org", "AAAA", "2001:db8::12"),
    record("1.2.0.192.in-addr.arpa", "PTR", "host.example.org."),
    record("host.example.org", "A", "192.0.2.1"),
    record("ann.1.2.0.192.in-addr.x.example.org", "A", "127.0.0.2"),
    txt("pass.example.net", "v=spf1 +all"),
    txt("fail.example.net", "v=spf1 -all"),
    txt("mine.example.net", "v=spf1 ip4:192.0.2.0/24 -all"),
    txt("broken.example.net", "v=spf1 ip4:nonsense -all"),
    txt("deep.example.net", "v=spf1 include:mine.example.net ?all"),
    txt("circle.example.net", "v=spf1 include:circle2.example.net -all"),
    txt("circle2.example.net", "v=spf1 include:circle.example.net -all"),
)
SPF_RECORDS = (
    "v=spf1 -all",
    "v=spf1 ?all",
    "v=spf1 ~all",
    "v=spf1",
    "v=spf1 a -all",
    "v=spf1 a/28 -all",
    "v=spf1 mx -all",
    "v=spf1 -mx +all",
    "v=spf1 mx//64 -all",
    "v=spf1 ptr -all",
    "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
    "v=spf1 include:pass.example.net -all",
    "v=spf1 include:fail.example.net ~all",
    "v=spf1 include:deep.example.net -all",
    "v=spf1 include:broken.example.net -all",
    "v=spf1 include:nothing.example.net -all",
    "v=spf1 include:circle.example.net -all",
    "v=spf1 redirect=mine.example.net",
    "v=spf1 redirect=nothing.example.net",
    "v=spf1 redirect=deep.example.net",
    "v=spf1 exists:%{l}.%{ir}.%{v}.x.%{d} -all",
    "v=spf1 exists:%{z}.%{d} -all",
    "v=spf1 a:a1.example.net a:a2.example.net a:a3.example.net -all",
    "v=spf1 mx:m1.example.org a:m1.example.org -all",
    "v=spf1 ip4:192.0.2.1/33 -all",
    "v=spf1 all:x",
    "v=spf1 ip5:1 -all",
    "v=spf1 moo=1 -all",
    "v=spf1 moo",
    "v=spf1 a: -all",
    "V=SPF1 A -ALL",
    "v=spf1 redirect=a.example redirect=b.example",
)


@pytest.mark.parametrize("text", SPF_RECORDS)
def test_spf(peer: Peer, tmp_path: Path, text: str) -> None:
    """Mail::SPF, which SpamAssassin uses, says the same of each record."""
    needed(peer, "Mail::SPF")
    zone = Zone((*SPF_ZONE, txt("example.org", text)))
    file = tmp_path / "zone"
    file.write_text("\n".join(zone.lines) + "\n")
    for ip in ("192.0.2.1", "192.0.2.12", "203.0.113.9", "2001:db8::12"):
        theirs = perl(SPF_PERL, str(file), ip, "ann@example.org", "mx.example.org")
        ours = check(
            ip, b"mx.example.org", b"ann@example.org", zone.questions(), NOW
        ).result
        assert ours == theirs, ip


# DKIM.


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a file with the signer's key."""
    file = tmp_path / "key.pem"
    file.write_bytes(PEM)
    return file


@pytest.fixture(
    params=[f"{a}/{b}" for a in ("simple", "relaxed") for b in ("simple", "relaxed")]
)
def header(request: pytest.FixtureRequest, peer: Peer, key_file: Path) -> bytes:
    """Return a header signed by Mail::DKIM, in each of the four ways."""
    peer("dkimproxy-sign", "libmail-dkim-perl")
    told = perl(SIGN_PERL, str(key_file), request.param, told=HEADER + BODY)
    return re.sub(r"\r?\n", "\r\n", told).encode() + HEADER


def dkim_zone(*more: str) -> Zone:
    """Return a zone with the signer's key."""
    value = f"v=DKIM1; k=rsa; p={base64.b64encode(public_key(PEM)).decode()}"
    return Zone((txt("s1._domainkey.example.org", value), *more))


def test_signed(header: bytes) -> None:
    """What Mail::DKIM signs passes, and DMARC with it."""
    zone = dkim_zone(txt("_dmarc.example.org", "v=DMARC1; p=reject"))

    def judged(header: bytes, body: bytes) -> tuple[str, bool]:
        found = authenticate(
            *("203.0.113.9", b"h.example", b"ann@example.org", header),
            [body[at : at + 7] for at in range(0, len(body), 7)],
            ask=zone.ask,
            authserv_id=b"mx.i2pmail.org",
            now=lambda: NOW,
        )
        return found.dmarc, found.reject

    assert judged(header, BODY) == ("pass", False)
    assert judged(header, BODY.replace(b"Hello", b"Hallo")) == ("fail", True)
    assert judged(header.replace(b"Ann", b"Eve"), BODY) == ("fail", True)


def test_changed_on_the_way(header: bytes) -> None:
    """Spaces changed on the way break what is signed "simple", and nothing else."""
    (how,) = re.findall(rb"c=(\w+/\w+)", header)
    keys = dkim_zone().questions().txt
    for changed, body, harmless in (
        (header.replace(b" \t and", b"  and"), BODY, how.startswith(b"relaxed")),
        (header.replace(b"Subject:", b"SUBJECT:"), BODY, how.startswith(b"relaxed")),
        (header, BODY.replace(b"\t \twide", b" wide"), how.endswith(b"relaxed")),
        (header, BODY.replace(b"Hello, ", b"Hello,"), how.endswith(b"relaxed")),
        (header, BODY + b"\r\n\r\n", True),
        (header, BODY.replace(b"wide", b" wide "), how.endswith(b"relaxed")),
    ):
        message = SignedMessage.of(changed, [body])
        (one,) = signatures.verify(message, keys, NOW)
        assert (one.result == "pass") is harmless


def test_own() -> None:
    """The node knows its own signature, and that another's for its domain is none."""
    key = SigningKey("s1", PEM)
    header = HEADER.replace(b"example.org", b"i2pmail.org")
    _, value = key.record("i2pmail.org")
    text = "".join(re.findall(r'"([^"]*)"', value)).encode()
    signed = key.signer("i2pmail.org").sign(header, BODY) + header
    assert own_signature(signed, [BODY], "i2pmail.org", text)
    assert not own_signature(signed, [BODY], "i2pmail.org", text[:-8] + b"AAAA" * 2)


# DMARC.


def dmarc_cases() -> Iterator[tuple[str, str, Spf, tuple[Signature, ...]]]:
    """Yield (policy, From domain, SPF, signatures)."""
    evidence = [
        (Spf(result, domain), signed)
        for result, domain in (
            ("pass", "example.org"),
            ("pass", "mail.example.org"),
            ("pass", "example.net"),
            ("fail", "example.org"),
        )
        for signed in (
            (),
            (Signature("pass", "example.org", "s1"),),
            (Signature("pass", "a.example.org", "s1"),),
            (Signature("fail", "example.org", "s1"),),
            (Signature("pass", "example.com", "s1"),),
        )
    ]
    for policy in (
        "v=DMARC1; p=reject",
        "v=DMARC1; p=none",
        "v=DMARC1; p=reject; aspf=s; adkim=s",
        "v=DMARC1; p=none; sp=reject",
    ):
        for domain in ("example.org", "sub.example.org"):
            for spf, signed in evidence:
                yield policy, domain, spf, signed


def test_dmarc(peer: Peer, tmp_path: Path) -> None:
    """Mail::DMARC comes to the same of each policy, From and evidence."""
    needed(peer, "Mail::DMARC::PurePerl")
    file = tmp_path / "zone"
    differ = []
    for policy, domain, spf, signed in dmarc_cases():
        zone = Zone(
            (txt("_dmarc.example.org", policy), record(domain, "A", "192.0.2.1"))
        )
        file.write_text("\n".join(zone.lines) + "\n")
        dkim = [word for one in signed for word in (one.result, one.domain)]
        theirs = perl(
            DMARC_PERL, str(file), domain, spf.result, spf.domain, *dkim
        ).split()
        ours = judge(domain, spf, signed, zone.questions(), 0)
        if [ours.result, ours.disposition] != theirs:
            differ.append((policy, domain, spf, signed, ours, theirs))
    assert differ == []
