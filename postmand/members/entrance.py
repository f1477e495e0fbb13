"""The way in: making an account, logging in, and a lost password."""

from __future__ import annotations

from attrs import frozen

from postmand.interfaces import Member
from postmand.members.ground import Ground, IMember, octets_of, sentence
from postmand.membership import MembershipError, Visitor
from postmand.rules import hashcash
from postmand.rules.names import (
    RESERVED,
    BadNameError,
    check_display_name,
    check_spelling,
)
from postmand.servers import cred
from postmand.servers.sasl import Login
from postmand.store.admission import Payment
from postmand.store.recovery import BadCodeError, read_code
from postmand.store.refusals import (
    AccountExistsError,
    NameClosedError,
    StampUsedError,
)
from postmand.store.registry import visitor_of

_TAKEN = "This name is not to be had. Choose another."


@frozen(eq=False)
class Entrance:
    """See IMembership for what the methods promise."""

    _ground: Ground

    async def sign_up(
        self, name: str, password: str, display_name: str, stamp: str
    ) -> str:
        """Make an account; return its recovery code."""
        if not self._ground.web.signup:
            raise MembershipError("No accounts are made here.", "name")
        _check_names(name, display_name)
        octets = self._ground.new_password(password, "password")
        payment = self._payment(name, stamp)
        # What is said of the name, and that it is alike, is only for who has the stamp.
        operators = name in RESERVED or name in self._ground.config.aliases
        registry = self._ground.store.registry

        def add() -> str:
            if operators:
                # It takes as long as with a name that is taken.
                registry.is_closed(name, self._ground.today())
                raise AccountExistsError(name)
            return registry.add(
                name,
                octets,
                day=self._ground.today(),
                display_name=display_name,
                payment=payment,
            )

        try:
            return await self._ground.turns.take(name, add)
        except (AccountExistsError, NameClosedError):
            raise MembershipError(_TAKEN, "name") from None
        except StampUsedError:
            raise MembershipError("This stamp was used before.", "stamp") from None

    async def login(self, name: str, password: str, peer: str) -> Visitor:
        """Check a password, on the budget that SMTP and POP3 have, too."""
        login = Login(octets_of(name), octets_of(password))
        return visitor_of(await self._ground.gate.enter(login, peer, IMember))

    async def recover(self, name: str, code: str, new: str, peer: str) -> str:
        """Set a password with the recovery code; return the next code."""
        octets = self._ground.new_password(new, "new")
        try:
            login = Login(octets_of(name), read_code(code))
            member: Member = await self._ground.codes.enter(login, peer, IMember)
        except BadCodeError as error:
            raise MembershipError(sentence(error), "code") from None
        except cred.WrongLoginError:
            text = "The name and the recovery code do not go together."
            raise MembershipError(text, "code") from None
        return await self._ground.turns.take(
            member.name, self._ground.store.registry.recovered, member, octets
        )

    def _payment(self, name: str, stamp: str) -> Payment | None:
        """Return what pays for an account of that name; raises MembershipError."""
        least = self._ground.web.signup_bits
        if not least:
            return None
        resource = f"signup/{name}@{self._ground.config.node.mail_domain}".encode()
        octets, days = octets_of(stamp.strip()), self._ground.config.quota.stamp_days
        try:
            weighed = hashcash.weigh(octets, resource, self._ground.wall(), days)
        except hashcash.StampError as error:
            raise MembershipError(sentence(error), "stamp") from None
        if weighed.bits < least:
            text = f"The stamp has {weighed.bits} bits, and {least} are needed."
            raise MembershipError(text, "stamp")
        return Payment(self._ground.book.ledger.stamp_tag(octets), weighed.expires_day)


def _check_names(name: str, display_name: str) -> None:
    """See that the names are such; raises MembershipError.

    Of the operator's own names nothing is told: they are taken, as others are.
    """
    try:
        check_spelling(name)
    except BadNameError as error:
        raise MembershipError(sentence(error), "name") from None
    try:
        check_display_name(display_name)
    except BadNameError as error:
        raise MembershipError(sentence(error), "display_name") from None
