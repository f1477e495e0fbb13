"""A member handing in mail (ISubmitter of the submission server)."""

from __future__ import annotations

from collections.abc import Iterable

from postmand.interfaces import Member
from postmand.internet import Outbound
from postmand.message.address import Address
from postmand.message.disclosure import Spoken
from postmand.postoffice.office import LOGIN_OVER, Accepted, PostOffice
from postmand.queue.spool import Spool
from postmand.rules.routing import NO_INTERNET, Internet
from postmand.rules.verdict import Verdict

_SILENT = Spoken()


class Submitter:
    """One session's member. Of the quota it reserves what its transaction may spend."""

    def __init__(self, office: PostOffice, member: Member) -> None:
        self._office = office
        self._member = member
        self._reserved: dict[bytes, Outbound] = {}

    def is_own(self, address: Address) -> bool:
        """Whether the address is the member's, in either domain."""
        domains = self._office.settings.routing.domains
        return address.local.lower() == self._member.name.encode() and (
            not address.domain or address.domain in domains
        )

    async def recipient(self, address: Address, size: int) -> Accepted | Verdict:
        """Judge a recipient."""
        answer = await self._office.recipient(address, size)
        if isinstance(answer, Internet):
            return await self._reserve(bytes(Address(address.local, answer.domain)))
        return answer

    async def _reserve(self, address: bytes) -> Outbound | Verdict:
        """Reserve one recipient of the quota; the same address counts once.

        Written otherwise, in capitals or small, it is still the same to people.
        """
        known = self._reserved.get(address.lower())
        if known is not None:
            return known
        abroad = self._office.abroad
        if abroad is None:
            return NO_INTERNET
        credential = await self._office.credential(self._member)
        if credential is None:
            return LOGIN_OVER
        left = await abroad.allowance.reserve(
            credential.account, credential.created_day
        )
        if isinstance(left, Verdict):
            return left
        return self._reserved.setdefault(address.lower(), Outbound(address, left))

    async def accept(
        self, recipients: Iterable[Accepted], spool: Spool, spoken: Spoken = _SILENT
    ) -> Verdict | None:
        """Wash and keep the message, if the login still holds."""
        try:
            verdict = await self._office.accept(self._member, recipients, spool, spoken)
        except BaseException:
            self.dropped()
            raise
        if verdict is None:
            self._spent()
        else:
            self.dropped()
        return verdict

    def dropped(self) -> None:
        """Give back what the transaction reserved."""
        reserved, self._reserved = len(self._reserved), {}
        if reserved and self._office.abroad is not None:
            self._office.abroad.allowance.give_back(self._member.account, reserved)

    def _spent(self) -> None:
        reserved, self._reserved = len(self._reserved), {}
        if reserved and self._office.abroad is not None:
            self._office.abroad.allowance.spent(self._member.account, reserved)
