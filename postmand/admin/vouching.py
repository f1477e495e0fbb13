"""Whether the DNS vouches for what a gateway sends, as they judge it who receive it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.inbound import Records
from postmand.message import spf
from postmand.message.questions import Questions

# As much as one message may ask of the DNS (RFC 7208 4.6.4), and for so many seconds.
_QUESTIONS, _SECONDS = 40, 20.0
# A key, and not the empty one of a key that was withdrawn.
_KEY = re.compile(rb"(?:^|;)\s*p\s*=\s*[0-9A-Za-z+/]")
_PUBLISH = "publish what postmanctl gateway records prints"


def check_dkim(
    domain: str, selector: str, ask: Callable[[str, str], Records]
) -> Iterator[Finding]:
    """Tell whether the key is there that the mail host signs with (RFC 6376 3.6.1)."""
    name = f"{selector}._domainkey.{domain}"
    until = time.monotonic() + _SECONDS
    texts = Questions(ask, time.monotonic, until, _QUESTIONS).txt(name)
    what = f"DKIM: {name}, with which the mail host signs,"
    if texts is None:
        yield warn(f"{what} can not be looked up", "see what doctor says of the DNS")
    elif any(_KEY.search(text) for text in texts):
        yield ok(f"{what} is there")
    else:
        yield fail(
            f"{what} is not there",
            "publish what postmanctl dkim show prints on the mail host",
        )


def check_spf(
    domain: str,
    name: str,
    addresses: Sequence[str],
    ask: Callable[[str, str], Records],
) -> Iterator[Finding]:
    """Judge mail of `domain` that the gateway `name` sends from each address.

    By SPF (RFC 7208): a member's mail by its sender, and a report, which has none, by
    the name the gateway gives.
    """
    for address in addresses:
        for what, sender in ((domain, f"postmaster@{domain}"), (f"HELO {name}", "")):
            until = time.monotonic() + _SECONDS
            questions = Questions(ask, time.monotonic, until, _QUESTIONS)
            helo, octets = name.encode(), sender.encode()
            result = spf.check(address, helo, octets, questions, time.time()).result
            told = f"SPF: {what} from {address}: {result}"
            yield ok(told) if result == "pass" else fail(told, _PUBLISH)
