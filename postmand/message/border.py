"""The border between the network's mail domain and the Internet's.

What leaves shows every address of the mail domain in the Internet's form: a member's or
not, for otherwise the form would tell who is a member. A domain below the mail domain
is not ours, and stays.
"""

from __future__ import annotations

import re

from attrs import Factory, field, frozen

from postmand.message import fields
from postmand.message.address import Address, Group, Mailbox, parse_list
from postmand.message.headers import fold, unfolded_lines
from postmand.message.seen import seen

_ADDRESSES = frozenset((b"From", b"Reply-To", b"To", b"Cc"))
_IDS = frozenset((b"Message-ID", b"In-Reply-To", b"References"))


def _shown_domain(border: Border) -> re.Pattern[str]:
    """Match the mail domain behind an @, and no longer name that begins with it."""
    domain = re.escape(border.mail_domain.decode("ascii"))
    return re.compile(rf"@\s*{domain}(?![\w-]|\.[\w-])", re.IGNORECASE)


@frozen
class Border:
    """The two domains, in lower case and without a trailing dot, and ways across."""

    mail_domain: bytes
    internet_domain: bytes
    _shown: re.Pattern[str] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(_shown_domain, takes_self=True),
    )

    def holds(self, domain: bytes) -> bool:
        """Whether a reader sees one of the two in a domain, whatever is written."""
        shown = seen(domain.decode("utf-8", "replace")).removesuffix(".").encode()
        return shown in (self.mail_domain, self.internet_domain)

    def address(self, address: Address) -> Address:
        """Return the address as the Internet sees it."""
        if address.domain == self.mail_domain:
            return Address(address.local, self.internet_domain)
        return address

    def message_id(self, one: bytes) -> bytes:
        """Return a msg-id (with its brackets) as the Internet sees it."""
        return _moved(one, self.mail_domain, self.internet_domain)

    def home_id(self, one: bytes) -> bytes:
        """Return a msg-id seen on the Internet as the members' mailboxes know it."""
        return _moved(one, self.internet_domain, self.mail_domain)

    def field_body(self, name: bytes, body: bytes) -> bytes:
        """Return the body of a washed header field as it leaves, folded anew.

        `name` is as `fields` writes it. Addresses and msg-ids cross the border;
        display names too where they show an address. Of other fields all stays: a
        domain in a subject is the member's own words.
        """
        if name in _ADDRESSES:
            entries = parse_list(unfolded_lines(body)[0])
            return fields.addresses(name, map(self._entry, entries)) or fields.NOBODY
        if name in _IDS:
            return fold(name, map(self.message_id, body.split()))
        return body

    def _entry(self, entry: Mailbox | Group) -> Mailbox | Group:
        if isinstance(entry, Group):
            return Group(
                self._name(entry.name), tuple(map(self._mailbox, entry.members))
            )
        return self._mailbox(entry)

    def _mailbox(self, mailbox: Mailbox) -> Mailbox:
        return Mailbox(self._name(mailbox.name), self.address(mailbox.address))

    def _name(self, name: str) -> str:
        """Return a display name; clients show addresses there, ASCII or not."""
        if "@" not in name:
            return name
        return self._shown.sub("@" + self.internet_domain.decode("ascii"), name)


def _moved(one: bytes, here: bytes, there: bytes) -> bytes:
    left, at, right = one.rpartition(b"@")
    if at and right.removesuffix(b">").removesuffix(b".").lower() == here:
        return b"%s@%s>" % (left, there)
    return one
