"""The greylist: who has come before may come in, a stranger is asked to come again.

The table is in memory alone and holds no address: a mark is a keyed hash of network,
sender and recipient, and the key is the process's own. Time is an argument.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from ipaddress import ip_address, ip_network
from typing import Literal

from attrs import field, frozen

from postmand.rules.facts import plain_name, plain_names

State = Literal["wait", "known", "excused"]

_DAY = 86_400.0
# What one mail service sends from changes from try to try within these.
_NETWORK_BITS = {4: 24, 6: 64}
_MARK_OCTETS = 16
# The part of the table's strangers that one network may fill.
_SHARE = 50


@frozen
class GreylistSettings:
    """How long a stranger waits and how long it is known, in seconds.

    A stranger that comes back between `wait` and `window` after its first try is known
    until it has stayed away for `known`. Who comes from one of the `domains`, or from
    below it, never waits. `entries` bounds each of the table's two parts.
    """

    wait: float = 300.0
    window: float = 2 * _DAY
    known: float = 35 * _DAY
    domains: frozenset[str] = field(default=frozenset(), converter=plain_names)
    entries: int = 50_000


@frozen
class Try:
    """One attempt to hand in mail for one recipient.

    `peer` is an address; `sender` is "" for the null one; `peer_name` is the peer's
    name if that leads back to its address (Reverse.confirmed), else "".
    """

    peer: str
    sender: str
    recipient: str
    spf_pass: bool = False
    peer_name: str = ""


class Greylist:
    """A bounded table of marks, in which those that came longest ago are forgotten.

    Strangers and those that are known have a part each, so that a flood of strangers
    drives out nobody who is known; and no network fills the strangers' part alone.
    """

    def __init__(self, settings: GreylistSettings, key: bytes) -> None:
        """Make an empty table; `key` (1 to 64 octets) is random and of this process."""
        self._settings = settings
        self._key = key
        # Marks in order of their first try, with the network's mark.
        self._strangers: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._load: Counter[bytes] = Counter()
        # Marks in order of when they came last.
        self._known: OrderedDict[bytes, float] = OrderedDict()

    def judge(self, one: Try, now: float) -> State:
        """Take note of a try and say what comes of it; `now` is a monotonic time.

        To be asked when nothing else stands against the mail. "excused" are the
        domains of the settings, where SPF or the peer's own name vouches for them, and
        what SPF vouches for once mail of that domain has come back.
        """
        self.sweep(now)
        sender = one.sender.lower()
        domain = plain_name(sender.rpartition("@")[2]) if one.spf_pass else ""
        if self._named(domain) or self._named(plain_name(one.peer_name)):
            return "excused"
        vouched = self._mark("domain", domain)
        if domain and self._is_known(vouched, now):
            return "excused"
        network = _network(one.peer)
        mark = self._mark("mail", network, sender, one.recipient.lower())
        if not (self._is_known(mark, now) or self._is_back(mark, network, now)):
            return "wait"
        self._keep(mark, now)
        if domain:
            self._keep(vouched, now)
        return "known"

    def sweep(self, now: float) -> None:
        """Forget what is too old. Costs what it forgets."""
        while self._strangers:
            first, _network_mark = next(iter(self._strangers.values()))
            if now - first <= self._settings.window:
                break
            self._forget_stranger()
        while self._known and (
            now - next(iter(self._known.values())) > self._settings.known
        ):
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def _named(self, name: str) -> bool:
        """Whether a name is one of the settings' domains, or below one."""
        while name:
            if name in self._settings.domains:
                return True
            name = name.partition(".")[2]
        return False

    def _is_known(self, mark: bytes, now: float) -> bool:
        if mark not in self._known:
            return False
        self._keep(mark, now)
        return True

    def _is_back(self, mark: bytes, network: str, now: float) -> bool:
        """Whether a stranger has waited long enough; if it is new, take note of it."""
        seen = self._strangers.get(mark)
        if seen is None:
            self._add_stranger(mark, self._mark("network", network), now)
            return False
        if now - seen[0] < self._settings.wait:
            return False
        del self._strangers[mark]
        self._unload(seen[1])
        return True

    def _add_stranger(self, mark: bytes, network: bytes, now: float) -> None:
        # Who has so many under way is told to wait, and is noted when there is room.
        if self._load[network] >= max(1, self._settings.entries // _SHARE):
            return
        if len(self._strangers) >= self._settings.entries:
            self._forget_stranger()
        self._strangers[mark] = now, network
        self._load[network] += 1

    def _forget_stranger(self) -> None:
        _mark, (_first, network) = self._strangers.popitem(last=False)
        self._unload(network)

    def _unload(self, network: bytes) -> None:
        self._load[network] -= 1
        if not self._load[network]:
            del self._load[network]

    def _keep(self, mark: bytes, now: float) -> None:
        self._known[mark] = now
        self._known.move_to_end(mark)
        if len(self._known) > self._settings.entries:
            self._known.popitem(last=False)

    def _mark(self, *data: str) -> bytes:
        """Return the keyed hash of the parts, each with its length in front."""
        keyed = hashlib.blake2b(key=self._key, digest_size=_MARK_OCTETS)
        for part in data:
            octets = part.encode("utf-8", "surrogatepass")
            keyed.update(len(octets).to_bytes(4, "big") + octets)
        return keyed.digest()


def _network(peer: str) -> str:
    address = ip_address(peer)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = _NETWORK_BITS[address.version]
    return str(ip_network((address.packed, bits), strict=False))
