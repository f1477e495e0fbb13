"""Mail on its way out: named, dated, signed and split by domain when it leaves.

Nothing of what is written here existed when the message was handed in. The body is read
to be signed, and never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from postmand.interfaces import Copy, IAccounts, IChunks
from postmand.internet import Held, HeldBackError, IQueue, Leg, Reply
from postmand.message import dsn
from postmand.message.address import Address, Mailbox
from postmand.message.border import Border
from postmand.message.dkim import BodyHash, Signer
from postmand.message.restamp import release_block, utc_date
from postmand.queue.clock import QueueClock
from postmand.rules.retry import UNANSWERED

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.defer import Deferred


@frozen
class ReleaseSettings:
    """How mail is named when it leaves, and for how long it is tried (seconds)."""

    host_name: bytes
    border: Border
    give_up_seconds: int


class Release:
    """Releases what is due, and tells members what could not be delivered."""

    def __init__(
        self,
        settings: ReleaseSettings,
        queue: IQueue,
        accounts: IAccounts,
        signer: Signer | None,
        *,
        seconds: Callable[[], float],
        clock: QueueClock,
        random: Random,
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._accounts = accounts
        self._signer = signer
        self._seconds = seconds
        self._clock = clock
        self._random = random
        self._in_thread = in_thread

    async def release(self, item: int) -> None:
        """Write the header block, sign, and put a leg for each domain on its way.

        Date and Message-ID are fixed here, for all legs and all their tries. Raises
        LookupError for a message that is gone or released, and HeldBackError for one of
        an account that is disabled: it is held for the operator, who may let it go.
        """
        held = await self._queue.open(item)
        try:
            if await self._is_disabled(held) and await self._queue.hold(item):
                raise HeldBackError
            block = await self._block(held)
        finally:
            held.body.close()
        legs = list(self._legs(held, block))
        await self._queue.release(item, legs, self._clock.now())

    async def _is_disabled(self, held: Held) -> bool:
        """Tell whether the sender's account is closed; one that is removed is not."""
        found = await self._accounts.credential(held.name)
        return found is not None and found.account == held.account and found.disabled

    async def _block(self, held: Held) -> bytes:
        """Return the header block, signed if there is a key for that."""
        block = release_block(
            held.fields,
            date=utc_date(self._seconds()),
            message_id=held.message_id,
            border=self._settings.border,
        )
        if self._signer is None:
            return block
        hashed = await _hashed(held.body, self._in_thread)
        signature: bytes = await self._in_thread(
            self._signer.sign_hashed, block, hashed
        )
        return signature + block

    def _legs(self, held: Held, header: bytes) -> Iterable[Leg]:
        until = self._clock.base() + self._settings.give_up_seconds
        # What the node itself sends has the null return path: nobody bounces it.
        domain_of_ours = self._settings.border.internet_domain
        sender = (
            bytes(Address(held.name.encode(), domain_of_ours)) if held.name else b""
        )
        for domain, recipients in _by_domain(held.recipients).items():
            yield Leg(
                account=held.account,
                name=held.name,
                sender=sender,
                domain=domain,
                recipients=tuple(recipients),
                header=header,
                until=until,
            )

    async def bounce(self, leg: Leg, failed: Mapping[bytes, Reply]) -> Copy | None:
        """Return the report on what failed, for the member's mailbox.

        None where the account is gone.
        """
        recipient = await self._accounts.recipient(leg.name)
        if recipient is None or recipient.account != leg.account:
            return None
        domain = self._settings.border.mail_domain
        header, body = dsn.bounce(
            Mailbox("", Address(leg.name.encode(), domain)),
            [
                dsn.Failure(address, reply, doubtful=reply == UNANSWERED)
                for address, reply in failed.items()
            ],
            header=leg.header,
            date=utc_date(self._seconds()),
            message_id=b"<%032x@%s>" % (self._random.getrandbits(128), domain),
            host_name=self._settings.host_name,
            border=self._settings.border,
            rng=self._random,
        )
        return Copy(recipient, header, [body])


def _by_domain(addresses: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Return the addresses by what follows their last @."""
    found: dict[bytes, list[bytes]] = {}
    for address in addresses:
        found.setdefault(address.rpartition(b"@")[2], []).append(address)
    return found


async def _hashed(body: IChunks, in_thread: Callable[..., Deferred[Any]]) -> BodyHash:
    """Read a body to its end, a piece at a time."""
    hashed = BodyHash()
    while piece := await body.next():
        await in_thread(hashed.update, piece)
    return hashed
