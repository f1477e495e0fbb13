"""Perl's Mail::SPF, Mail::DKIM and Mail::DMARC, asking the tests' own name system."""

from __future__ import annotations

import re
import subprocess

from attrs import frozen

from tests.conftest import need
from tests.world.dns import World

_SCRIPT = r"""
use strict; use warnings; use Net::DNS; use Mail::SPF; use Mail::DKIM::Verifier;
use Mail::DMARC::PurePerl;
my ($server, $port, $ip, $helo, $sender, $from) = @ARGV;
my $dns = Net::DNS::Resolver->new(nameservers => [$server], port => $port,
    recurse => 1, defnames => 0, dnsrch => 0);
my $judge = Mail::SPF::Server->new(dns_resolver => $dns);
my $of_helo = $judge->process(Mail::SPF::Request->new(scope => 'helo',
    identity => $helo, ip_address => $ip));
my $spf = $sender eq '' ? $of_helo : $judge->process(Mail::SPF::Request->new(
    scope => 'mfrom', identity => $sender, ip_address => $ip, helo_identity => $helo));
Mail::DKIM::DNS::resolver($dns);
my $dkim = Mail::DKIM::Verifier->new;
binmode STDIN; $dkim->load(\*STDIN);
my $dmarc = Mail::DMARC::PurePerl->new;
$dmarc->set_resolver($dns);
$dmarc->source_ip($ip); $dmarc->header_from($from);
my ($domain) = $sender =~ /\@(.*)/;
$dmarc->spf({ scope => $sender eq '' ? 'helo' : 'mfrom',
    domain => $sender eq '' ? $helo : $domain, result => $spf->code });
$dmarc->dkim($dkim);
my $judged = $dmarc->validate;
print join ' ', $spf->code, $of_helo->code, $dkim->result, $judged->result,
    $judged->dkim || 'none', $judged->spf || 'none';
"""
_MODULES = ("Mail::SPF", "Mail::DKIM", "Mail::DMARC")
_HOP = re.compile(
    rb"^Received: from (\S+) \(\S+ \[([0-9.]+)\]\)", re.MULTILINE | re.IGNORECASE
)
_SENDER = re.compile(rb"^Return-Path: <(\S*)>", re.MULTILINE)
_FROM = re.compile(rb"^From: .*?@([^\s>]+)", re.MULTILINE)


@frozen
class Judgement:
    """What each says of one message; DKIM and SPF also whether aligned with From.

    `spf` is of the envelope's sender, `helo` of the name the client gave: alone what
    counts for a report, whose sender is the null one (RFC 7208 2.4).
    """

    spf: str
    helo: str
    dkim: str
    dmarc: str
    dkim_aligned: str
    spf_aligned: str


PASSED = Judgement(*["pass"] * 6)


def judged(stored: bytes, world: World) -> Judgement:
    """Judge a message as Postfix stored it, by its uppermost Received line."""
    perl = need("perl")
    for module in _MODULES:
        package = f"lib{module.lower().replace('::', '-')}-perl"
        probe = [perl, f"-M{module}", "-e1"]
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            need(f"perl -M{module}", package)
    hop, sender, author = (one.search(stored) for one in (_HOP, _SENDER, _FROM))
    assert hop, stored
    assert sender, stored
    assert author, stored
    words = world.address, str(world.port), hop[2], hop[1], sender[1], author[1]
    done = subprocess.run(
        [perl, "-e", _SCRIPT, *words],
        input=stored.replace(b"\n", b"\r\n"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return Judgement(*done.stdout.decode().split())
