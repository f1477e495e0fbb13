"""An Internet whose domains ask for protection, or do not, and servers that differ.

Who shows what, and what a sender has to make of it, stands in the tables DANE, STS and
NEITHER. Every certificate is made here, below an authority of the tests' own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest.mock import patch

from attrs import define, field

from tests.authority import Authority, Issued, self_signed
from tests.peers import postfix
from tests.peers.postfix import Internet
from tests.world.strangers import (
    Between,
    MailServer,
    PolicyServer,
    Taken,
    context,
    policy,
)

ROOT, STRANGER = Authority("root"), Authority("stranger")
# Each server has an address of its own; they share a port, as they do on the Internet.
POSTFIX, GOOD, PLAIN, SELF, OTHER_NAME, EXPIRED, UNKNOWN = (
    f"127.0.1.{number}" for number in range(1, 8)
)
BETWEEN = {
    how: f"127.0.1.{number}"
    for number, how in enumerate(
        ("hidden", "454", "502", "garbled", "cut", "injected"), 20
    )
}
POLICIES, POLICIES_BY_NOBODY = "127.0.1.200", "127.0.1.201"
# What a sender is told: it went, or why it did not.
TAKEN = "250 2.0.0"
NO_TLS = "451 4.7.4"
WRONG_KEY = "451 4.7.5"
NO_DNS = "451 4.4.3"


@define
class Domains:
    """The domains by name: their zones, which of them are signed, their policies.

    Each domain's server is called mx.DOMAIN.
    """

    port: int
    zones: dict[str, str] = field(factory=dict)
    signed: list[str] = field(factory=list)
    forged: dict[str, tuple[str, str]] = field(factory=dict)
    files: dict[str, str] = field(factory=dict)

    def add(
        self,
        name: str,
        address: str,
        *tlsa: str,
        signed: bool = False,
        mode: str = "",
        named: str = "",
        policies: str = POLICIES,
    ) -> None:
        """Add one: where its server is, its keys, its policy's mode and MX."""
        lines = ["@ MX 10 mx", f"mx A {address}"]
        lines += [f"_{self.port}._tcp.mx TLSA {one}" for one in tlsa]
        if mode:
            lines += ['_mta-sts TXT "v=STSv1; id=1;"', f"mta-sts A {policies}"]
            self.files[f"mta-sts.{name}"] = policy(mode, named or f"mx.{name}")
        self.zones[name] = "\n".join(lines) + "\n"
        if signed:
            self.signed.append(name)


# By DANE (RFC 7672): a domain's server, its TLSA, what the sender is told.
DANE = {
    "ee-postfix.example": (POSTFIX, "ee", TAKEN),
    "ta-postfix.example": (POSTFIX, "ta", TAKEN),
    "ee.example": (GOOD, "ee", TAKEN),
    "ta.example": (GOOD, "ta", TAKEN),
    "ee-self.example": (SELF, "self", TAKEN),
    "two.example": (GOOD, "strange+ee", TAKEN),
    "wrong-ee.example": (GOOD, "strange", WRONG_KEY),
    "wrong-postfix.example": (POSTFIX, "strange", WRONG_KEY),
    "wrong-ta.example": (GOOD, "strange-ta", WRONG_KEY),
    "ta-name.example": (OTHER_NAME, "ta", WRONG_KEY),
    "ta-expired.example": (EXPIRED, "ta", WRONG_KEY),
    "plain-dane.example": (PLAIN, "ee", NO_TLS),
    **{
        f"dane-{how}.example": (address, "ee", NO_TLS)
        for how, address in BETWEEN.items()
    },
}
# By MTA-STS (RFC 8461): a domain's server, its policy's mode, and what is told.
STS = {
    "sts-postfix.example": (POSTFIX, "enforce", TAKEN),
    "sts.example": (GOOD, "enforce", TAKEN),
    "sts-self.example": (SELF, "enforce", WRONG_KEY),
    "sts-unknown.example": (UNKNOWN, "enforce", WRONG_KEY),
    "sts-name.example": (OTHER_NAME, "enforce", WRONG_KEY),
    "sts-expired.example": (EXPIRED, "enforce", WRONG_KEY),
    "sts-plain.example": (PLAIN, "enforce", NO_TLS),
    "testing-self.example": (SELF, "testing", TAKEN),
    "none-self.example": (SELF, "none", TAKEN),
    **{
        f"sts-{how}.example": (address, "enforce", NO_TLS)
        for how, address in BETWEEN.items()
    },
}
# Nobody asked for protection that is proven: server, and how it comes there.
NEITHER = {
    "any-self.example": (SELF, True),
    "any-expired.example": (EXPIRED, True),
    "any-plain.example": (PLAIN, False),
    **{f"any-{how}.example": (address, False) for how, address in BETWEEN.items()},
}
ALSO_GOOD = ("moves", "not-named", "both-wrong", "insecure", "unusable")
GOOD_NAMES = tuple(
    f"mx.{name}"
    for name, (address, *_) in {**DANE, **STS}.items()
    if address in (GOOD, POSTFIX, *BETWEEN.values())
)


@define
class Shown:
    """What the servers show."""

    good: Issued = field(
        factory=lambda: ROOT.issue(
            *GOOD_NAMES, *(f"mx.{one}.example" for one in ALSO_GOOD)
        )
    )
    own: Issued = field(factory=lambda: self_signed("mx.example"))
    other: Issued = field(factory=lambda: ROOT.issue("mx.elsewhere.example"))
    expired: Issued = field(
        factory=lambda: ROOT.issue(
            *(f"mx.{one}" for one in (*DANE, *STS) if "expired" in one), expired=True
        )
    )
    unknown: Issued = field(factory=lambda: STRANGER.issue("mx.sts-unknown.example"))

    def tlsa(self, which: str) -> list[str]:
        """Return TLSA records."""
        known = {
            "ee": self.good.tlsa(3),
            "ta": ROOT.issued.tlsa(2, 0),
            "self": self.own.tlsa(3),
            "strange": STRANGER.issued.tlsa(3),
            "strange-ta": STRANGER.issued.tlsa(2, 0),
        }
        return [known[one] for one in which.split("+")]


def domains(port: int, shown: Shown) -> Domains:
    """Return all of them."""
    made = Domains(port)
    for name, (address, which, _) in DANE.items():
        made.add(name, address, *shown.tlsa(which), signed=True)
    for name, (address, mode, _) in STS.items():
        made.add(name, address, mode=mode)
    for name, (address, _) in NEITHER.items():
        made.add(name, address)
    wrong = shown.tlsa("strange")
    made.add("insecure.example", GOOD, *wrong)
    made.add("insecure-plain.example", PLAIN, *wrong)
    made.add("not-named.example", GOOD, mode="enforce", named="mx1.not-named.example")
    made.add("unproven.example", SELF, mode="enforce", policies=POLICIES_BY_NOBODY)
    made.add("moves.example", GOOD, mode="enforce")
    made.add("sts-late.example", BETWEEN["hidden"], mode="enforce")
    # Both: DANE's key is right, and the authority is none that is believed.
    made.add("both.example", SELF, *shown.tlsa("self"), signed=True, mode="enforce")
    # DANE's key is wrong, and MTA-STS would be content.
    made.add("both-wrong.example", GOOD, *wrong, signed=True, mode="enforce")
    # DANE's key is of a kind that mail has no use for: the policy alone decides.
    for name, address in (
        ("unusable.example", GOOD),
        ("unusable-self.example", SELF),
        ("unusable-plain.example", PLAIN),
    ):
        useless = shown.good.tlsa(1)
        made.add(name, address, useless, signed=True, mode="enforce")
    key = shown.tlsa("ee")[0]
    # All is signed but the keys, which are in a zone of their own.
    made.add("cut.example", SELF, signed=True)
    made.zones["cut.example"] += "_tcp.mx NS ns.world.test.\n"
    made.zones["_tcp.mx.cut.example"] = f"_{port} TLSA {wrong[0]}\n"
    made.add("bogus-tlsa.example", GOOD, key, signed=True)
    made.forged["bogus-tlsa.example"] = (key[6:], key[6:][::-1])
    made.add("bogus-mx.example", GOOD, key, signed=True)
    made.forged["bogus-mx.example"] = ("MX\t10 ", "MX\t11 ")
    made.add("bogus-a.example", GOOD, key, signed=True)
    made.forged["bogus-a.example"] = (f"A\t{GOOD}", f"A\t{PLAIN}")
    return made


@define
class Strangers:
    """All servers of the Internet but the DNS."""

    postfix: Internet
    servers: dict[str, MailServer]
    between: dict[str, Between]
    policies: PolicyServer

    def arrived(self, domain: str) -> list[bool]:
        """Return for each message that came there whether it came over TLS."""
        to = f"alice@{domain}"
        if domain.endswith("-postfix.example"):
            found = self.postfix.collect(0)
            return [b"using TLSv1.3" in one for one in found if to.encode() in one]
        return [
            one.tls
            for server in self.servers.values()
            for one in server.taken
            if one == Taken(to, one.tls)
        ]

    def postfix_got(self, domain: str) -> list[bool]:
        """Wait for Postfix's delivery; return as arrived()."""
        found = self.postfix.collect(1)
        assert all(b"alice@" + domain.encode() in one for one in found)
        return [b"using TLSv1.3" in one for one in found]


@contextlib.contextmanager
def strangers(port: int, shown: Shown, files: dict[str, str]) -> Iterator[Strangers]:
    """Run the servers."""
    root = ROOT.issued
    tls = {
        GOOD: context(shown.good, root),
        PLAIN: None,
        SELF: context(shown.own),
        OTHER_NAME: context(shown.other, root),
        EXPIRED: context(shown.expired, root),
        UNKNOWN: context(shown.unknown, STRANGER.issued),
    }
    served = [one for one in files if "unproven" not in one]
    with contextlib.ExitStack() as running:
        servers = {
            address: running.enter_context(MailServer(address, port, one))
            for address, one in tls.items()
        }
        between = {
            how: running.enter_context(Between(address, port, GOOD, how))
            for how, address in BETWEEN.items()
        }
        policies = running.enter_context(
            PolicyServer(POLICIES, context(ROOT.issue(*served)))
        )
        forger = running.enter_context(
            PolicyServer(
                POLICIES_BY_NOBODY, context(self_signed("mta-sts.unproven.example"))
            )
        )
        policies.files.update(files)
        forger.files.update(files)
        ours = " ".join(one for one in (*DANE, *STS) if "postfix" in one)
        mine = f"{postfix._MAIN_CF}virtual_mailbox_domains = {ours}\n"
        identity = shown.good.key_pem + shown.good.pem + root.pem
        with patch.object(postfix, "_MAIN_CF", mine):
            receiver = Internet(identity, POSTFIX, port, [])
        running.callback(receiver.stop)
        yield Strangers(receiver, servers, between, policies)
