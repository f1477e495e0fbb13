"""The sections that only a gateway has; see `sections` for what holds of all."""

from __future__ import annotations

from attrs import Factory, field, frozen

from postmand.config import checks
from postmand.config.fields import size as _size
from postmand.config.places import leads_here_only, listens_here_only


@frozen
class Exchange:
    """A gateway's way in: SMTP for the Internet, and the seven steps (guide 7.6)."""

    listen: tuple[str, ...] = field(default=("tcp:25",), validator=checks.endpoints)
    host_name: str = field(default="mx.i2pmail.org", validator=checks.domain)
    max_message_bytes: int = _size(33_388_608, 65_536)
    max_recipients: int = _size(50, 1, 1_000)
    connections: int = _size(2_000, 1, 1_000_000)
    connections_per_peer: int = _size(20, 1, 1_000_000)
    questions_per_network_minute: int = _size(60, 1)
    questions_per_network_hour: int = _size(300, 1)
    certificate: str = ""
    private_key: str = ""
    # What is done while the mail host can not be reached: "verify" or "seal".
    inbound: str = field(default="verify", validator=checks.one_of("verify", "seal"))
    sealed_messages: int = _size(10_000, 1)
    sealed_bytes: int = _size(2_147_483_648, 65_536)
    # The steps; each can be switched off.
    session_sanity: bool = True
    banner_seconds: float = field(default=2.0, validator=checks.between(0, 60))
    sender_domain: bool = True
    private_networks: bool = True
    callout_domains: tuple[str, ...] = ()
    blacklists: dict[str, int] = Factory(dict)
    blacklist_weight: int = _size(2, 1, 1_000)
    greylist: bool = True
    greylist_seconds: int = _size(300, 1, 86_400)
    greylist_days: int = _size(35, 1, 365)
    known_good: tuple[str, ...] = ()
    obey_dmarc: bool = True


@frozen
class Exit:
    """A gateway's way out: to the servers of a recipient's domain."""

    resolver: str = "127.0.0.1:53"
    port: int = _size(25, 1, 65_535)
    # Where mail leaves from; a family without an address of its own is not used then.
    source: tuple[str, ...] = field(default=(), validator=checks.sources)
    dane: bool = True
    mta_sts: bool = True
    memory_bytes: int = _size(67_108_864, 65_536)
    connections: int = _size(100, 1, 10_000)
    connections_per_domain: int = _size(4, 1, 100)
    messages_per_domain_minute: int = _size(120, 1)
    idle_seconds: float = field(default=30.0, validator=checks.between(0, 600))
    reply_seconds: float = field(default=300.0, validator=checks.between(0.1, 7_200))
    connect_seconds: float = field(default=30.0, validator=checks.between(0.1, 600))
    # Networks that may be reached although they are private: for tests and demos.
    allowed_networks: tuple[str, ...] = ()


@frozen
class Link:
    """A gateway's end of the link to its mail host."""

    listen: tuple[str, ...] = field(
        default=("tcp:2526:interface=127.0.0.1",), validator=checks.endpoints
    )
    host: str = field(default="tcp:127.0.0.1:2527", validator=checks.client_endpoint)
    host_pin: str = field(default="", validator=checks.pin)
    host_key: str = ""
    # Whoever connects to `listen` may send, and in the clear: for trying, on a machine
    # where no tunnel ends there.
    unpinned: bool = False
    connections: int = _size(2, 1, 20)
    questions_per_minute: int = _size(300, 1)

    def __attrs_post_init__(self) -> None:
        here = leads_here_only(self.host) and all(map(listens_here_only, self.listen))
        if not (self.host_pin or here):
            raise ValueError("host_pin: is missing; postmanctl gateway pair writes it")
