"""The sections of the configuration: frozen classes, with all defaults and bounds.

Sizes are octets, times are seconds unless the name says otherwise.
"""

from __future__ import annotations

from pathlib import Path

from attrs import Factory, field, frozen

from postmand.config import checks
from postmand.config.fields import checked as _checked
from postmand.config.fields import size as _size
from postmand.config.outpost import Exchange, Exit, Link
from postmand.config.places import leads_here_only

BUILT_IN = "<built-in mail host>"

# Beside a key that has no default: what the fault "is missing" shows.
EXAMPLE = "example"

# How biff may learn who is identified on IRC, in the order it asks in.
METHODS = ("tags", "state", "whois", "acc", "status")


@frozen
class Node:
    """What the machine is called inside the network, and where it keeps its state."""

    state: str = field(default="var", validator=checks.named)
    mail_domain: str = field(default="mail.i2p", validator=checks.domain)
    internet_domain: str = field(default="i2pmail.org", validator=checks.domain)
    key: str = field(default="file:node.key", validator=checks.key_source)


@frozen
class Store:
    """The database. Empty: SQLite in the state directory."""

    url: str = ""

    def __attrs_post_init__(self) -> None:
        path = self.url.removeprefix("sqlite:///")
        if self.url and (path in (self.url, "") or path.startswith(":")):
            raise ValueError(
                'url must be an SQLite address like "sqlite:///var/postman.db"'
            )


@frozen
class Submission:
    """Where members hand in mail (SMTP)."""

    listen: tuple[str, ...] = field(
        default=("tcp:2525:interface=127.0.0.1",), validator=checks.endpoints
    )
    host_name: str = field(default="smtp.postman.i2p", validator=checks.domain)
    max_message_bytes: int = _size(33_388_608, 65_536)
    max_recipients: int = _size(100, 1, 10_000)


@frozen
class Pop3:
    """Where members collect mail."""

    listen: tuple[str, ...] = field(
        default=("tcp:1110:interface=127.0.0.1",), validator=checks.endpoints
    )


@frozen
class Mailboxes:
    """How much a mailbox holds, in octets as stored (padding included)."""

    max_bytes: int = _size(52_428_800, 65_536)


@frozen
class Accounts:
    """Passwords and what is remembered of them.

    Argon2id's cost is the row of OWASP's recommendation that asks least of a small
    machine's memory (docs/decisions/0002); raising it takes effect for an account at
    its next change of password.
    """

    argon2_passes: int = _size(5, 1, 64)
    argon2_memory_kib: int = _size(7_168, 8, 4_194_304)
    remember_seconds: float = field(default=600.0, validator=checks.between(0, 86_400))
    thread_days: int = _size(400, 1, 3_650)
    min_password_length: int = _size(8, 1, 128)


@frozen
class Quota:
    """How many Internet recipients an account has (guide 7.5)."""

    per_day: int = _size(20, 0, 1_000_000)
    first_day: int = _size(20, 0, 1_000_000)
    bought_per_day: int = _size(160, 0, 1_000_000)
    bought_hours: int = _size(24, 1, 8_760)
    stamps: dict[str, int] = field(
        factory=lambda: {"26": 20, "27": 40, "28": 80}, validator=checks.stamps
    )
    stamp_days: int = _size(1, 0, 365)


@frozen
class Delays:
    """When mail for the Internet leaves if the member has not chosen (guide 7.4)."""

    default: str = field(default="defer", validator=checks.delay)
    defer_min_seconds: int = _size(2_000, 0, 604_800)
    defer_max_seconds: int = _size(4_000, 0, 604_800)
    batch_hours: tuple[int, ...] = field(default=(0, 12), validator=checks.hours)
    pool_set: int = _size(8, 2, 10_000)
    pool_hours: int = _size(24, 1, 168)
    tick_seconds: float = field(default=30.0, validator=checks.between(0.1, 3_600))

    def __attrs_post_init__(self) -> None:
        if self.defer_min_seconds > self.defer_max_seconds:
            raise ValueError("defer_min_seconds must not be above defer_max_seconds")


@frozen
class Relay:
    """How released mail is taken to the gateways, and for how long it is tried."""

    connections_per_gateway: int = _size(2, 1, 100)
    connect_seconds: float = field(default=120.0, validator=checks.between(0.1, 3_600))
    reply_seconds: float = field(default=300.0, validator=checks.between(0.1, 7_200))
    away_seconds: float = field(default=300.0, validator=checks.between(0.1, 86_400))
    at_once: int = _size(16, 1, 1_000)
    retry_first_seconds: int = _size(900, 1, 86_400)
    retry_longest_seconds: int = _size(21_600, 1, 604_800)
    give_up_seconds: int = _size(432_000, 60, 2_592_000)

    def __attrs_post_init__(self) -> None:
        if self.retry_first_seconds > self.retry_longest_seconds:
            raise ValueError(
                "retry_first_seconds must not be above retry_longest_seconds"
            )


@frozen
class Gateway:
    """A way to the Internet. `pin` is its public key's; without one there is no TLS."""

    endpoint: str = field(
        validator=checks.client_endpoint, metadata={EXAMPLE: '"tcp:127.0.0.1:2526"'}
    )
    pin: str = field(default="", validator=checks.pin)
    lmtp: bool = False

    def __attrs_post_init__(self) -> None:
        if not (self.pin or leads_here_only(self.endpoint)):
            raise ValueError(
                "pin: is missing; without one mail goes unencrypted, so the endpoint "
                "must be of this machine"
            )


@frozen
class Inbound:
    """Where gateways hand the mail host what came from the Internet."""

    listen: tuple[str, ...] = field(
        default=("tcp:2527:interface=127.0.0.1",), validator=checks.endpoints
    )
    messages_per_hour: int = _size(1_000, 1)
    bytes_per_hour: int = _size(1_073_741_824, 65_536)
    questions_per_hour: int = _size(5_000, 1)


@frozen
class Web:
    """The pages: sign-up, account, quota, keys.

    `hosts` are the names a browser may know us by; the ports are those of the I2P
    router's own tunnels, as the page about mail clients tells them.
    """

    listen: tuple[str, ...] = field(
        default=("tcp:8025:interface=127.0.0.1",), validator=checks.endpoints
    )
    hosts: tuple[str, ...] = field(
        default=("127.0.0.1", "localhost", "hq.postman.i2p"), validator=checks.hosts
    )
    signup: bool = True
    signup_bits: int = _size(24, 0, 64)
    session_seconds: int = _size(1_800, 60, 86_400)
    session_longest_seconds: int = _size(28_800, 60, 604_800)
    request_seconds: float = field(default=60.0, validator=checks.between(1, 3_600))
    max_form_bytes: int = _size(65_536, 4_096, 1_048_576)
    connections: int = _size(500, 1, 100_000)
    connections_per_peer: int = _size(20, 1, 100_000)
    closed_name_days: int = _size(365, 0, 36_500)
    keys: bool = True
    max_key_bytes: int = _size(16_384, 1_024, 262_144)
    smtp_tunnel: str = "127.0.0.1:7659"
    pop3_tunnel: str = "127.0.0.1:7660"

    def __attrs_post_init__(self) -> None:
        if self.session_seconds > self.session_longest_seconds:
            raise ValueError(
                "session_seconds must not be above session_longest_seconds"
            )


@frozen
class Metrics:
    """Where counters are shown: a place of this machine only."""

    listen: tuple[str, ...] = field(
        default=("tcp:9125:interface=127.0.0.1",),
        validator=[checks.endpoints, checks.local_endpoints],
    )


@frozen
class Biff:
    """The IRC bot that tells members, by nick, that mail has come.

    `password` names where the nick's password is ("file:PATH" or "credential:NAME").
    `methods` are asked in their order; what the server or a filter can not is passed.
    """

    endpoint: str = _checked("tcp:127.0.0.1:6668", checks.private_endpoint)
    nick: str = _checked("biff", checks.nick)
    channels: tuple[str, ...] = _checked(("#mail.i2p",), checks.irc_channels)
    login: str = _checked("none", checks.one_of("none", "sasl", "nickserv"))
    account: str = _checked("", checks.nick_or_none)
    password: str = _checked("", checks.password_source)
    # Whether an I2P router's tunnel stands between, which drops tags and ACCOUNT.
    filtered: bool = True
    services: str = _checked("NickServ", checks.nick)
    services_host: str = _checked("", checks.irc_host)
    methods: tuple[str, ...] = _checked(METHODS, checks.some_of(*METHODS))
    notice_seconds: float = field(default=180.0, validator=checks.between(1, 86_400))
    line_seconds: float = field(default=1.0, validator=checks.between(0.01, 60))
    check_seconds: float = field(default=30.0, validator=checks.between(0.1, 600))
    silence_seconds: float = field(default=180.0, validator=checks.between(1, 3_600))
    # No more than `store.watches` has places for.
    accounts_per_nick: int = _size(10, 1, 32)
    nicks_per_account: int = _size(5, 1, 100)
    users: int = _size(5_000, 10, 1_000_000)

    def __attrs_post_init__(self) -> None:
        if (self.login == "none") != (not self.password):
            raise ValueError(
                'password: goes with login = "sasl" or "nickserv"; add what is missing'
            )
        if not self.usable_methods:
            raise ValueError(
                "methods: none is left; tags and state need filtered = false, acc and "
                "status a services_host"
            )

    @property
    def usable_methods(self) -> tuple[str, ...]:
        """The methods that the rest of the section allows, in order."""
        barred: set[str] = set()
        if self.filtered:
            barred |= {"tags", "state"}
        if not self.services_host:
            barred |= {"acc", "status"}
        return tuple(one for one in self.methods if one not in barred)


@frozen
class Limits:
    """Every bound of the servers, the washing and the store."""

    # Sessions.
    connections: int = _size(6_000, 1, 1_000_000)
    connections_per_peer: int = _size(5_500, 1, 1_000_000)
    line_bytes: int = _size(4_096, 512, 65_536)
    pipeline_bytes: int = _size(65_536, 4_096, 1_048_576)
    command_seconds: float = field(default=300.0, validator=checks.between(1, 86_400))
    login_seconds: float = field(default=120.0, validator=checks.between(1, 86_400))
    protocol_errors_in_row: int = _size(3, 1, 1_000)
    protocol_errors: int = _size(10, 1, 10_000)
    refusals: int = _size(200, 1, 100_000)
    login_failures: int = _size(5, 1, 1_000)
    # A message on its way in.
    body_line_bytes: int = _size(1_048_576, 998, 33_554_432)
    body_seconds: float = field(default=120.0, validator=checks.between(1, 86_400))
    body_bytes_per_second: int = _size(512, 0)
    body_memory: int = _size(67_108_864, 65_536)
    spool_bytes: int = _size(2_097_152, 4_096)
    copies_bytes: int = _size(536_870_912, 65_536)
    # What washing reads.
    header_bytes: int = _size(262_144, 1_024)
    header_fields: int = _size(1_000, 10)
    parts: int = _size(1_000, 1)
    depth: int = _size(20, 1, 100)
    # POP3.
    pop3_idle_seconds: float = field(default=600.0, validator=checks.between(1, 86_400))
    pop3_silent_seconds: float = field(
        default=60.0, validator=checks.between(0.1, 86_400)
    )
    # Threads, and the queues in front of them.
    # One thread leaves the other core of a small machine to the mail.
    argon2_threads: int = _size(1, 1, 64)
    logins_waiting: int = _size(256, 1, 100_000)
    logins_remembered: int = _size(20_000, 1, 10_000_000)
    wash_threads: int = _size(2, 1, 64)
    wash_memory: int = _size(134_217_728, 65_536)
    inline_bytes: int = _size(65_536, 0, 1_048_576)
    writes_waiting: int = _size(10_000, 10)
    # Mail for the Internet.
    queue_messages: int = _size(200_000, 1)


@frozen
class Config:
    """A whole configuration. A section that is left out has its defaults."""

    node: Node = Factory(Node)
    store: Store = Factory(Store)
    submission: Submission | None = None
    pop3: Pop3 | None = None
    mailboxes: Mailboxes = Factory(Mailboxes)
    accounts: Accounts = Factory(Accounts)
    aliases: dict[str, str] = Factory(dict)
    quota: Quota = Factory(Quota)
    delays: Delays = Factory(Delays)
    relay: Relay = Factory(Relay)
    gateways: tuple[Gateway, ...] = field(default=(), validator=checks.distinct)
    inbound: Inbound | None = None
    exchange: Exchange | None = None
    exit: Exit | None = None
    link: Link | None = None
    metrics: Metrics | None = None
    web: Web | None = None
    biff: Biff | None = None
    limits: Limits = Factory(Limits)
    source: str = field(default=BUILT_IN, kw_only=True)

    @property
    def state(self) -> Path:
        """The state directory, absolute."""
        return Path(self.node.state).expanduser().absolute()

    @property
    def database(self) -> Path:
        """The database file, absolute."""
        if not self.store.url:
            return self.state / "postman.db"
        return Path(self.store.url.removeprefix("sqlite:///")).expanduser().absolute()

    @property
    def domains(self) -> frozenset[bytes]:
        """The two domains whose addresses are members'."""
        names = self.node.mail_domain, self.node.internet_domain
        return frozenset(name.encode() for name in names)

    @property
    def needs_node_key(self) -> bool:
        """Whether anything is kept that only the node's key opens."""
        others = self.web, self.biff
        return bool(self.gateways) or any(one is not None for one in others)
