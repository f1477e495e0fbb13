"""The configuration: TOML into frozen classes.

A fault names the file, the section, the key and the mend in one line, and nothing is
started. Every bound the program keeps stands here with its default; sizes are octets,
times are seconds unless the name says otherwise.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import attrs
import cattrs
from attrs import Factory, field, frozen
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

_NAME = re.compile(r"[a-z0-9._-]+")

BUILT_IN = "<built-in mail host>"

# When mail for the Internet leaves (guide 7.4, and one of our own).
DELAYS = ("none", "defer", "batch", "pool")


class ConfigError(Exception):
    """One line: file, section, key, what is wrong, and what to write instead."""


def _between(low: float, high: float) -> Any:
    def check(_: object, attribute: attrs.Attribute[float], value: float) -> None:
        if not low <= value <= high:
            raise ValueError(f"{attribute.name} must be between {low} and {high}")

    return check


def _named(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value:
        raise ValueError(f"{attribute.name} must name a directory")


def _domain(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    labels = value.split(".")
    plain = all(
        label
        and not label.startswith("-")
        and not label.endswith("-")
        and label.isascii()
        and label.replace("-", "").isalnum()
        for label in labels
    )
    if not plain or value != value.lower() or len(value) > 253:
        raise ValueError(f'{attribute.name} must be a lower-case name like "mail.i2p"')


def _endpoints(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not value or not all(value):
        raise ValueError(
            f"{attribute.name} must be a list of endpoint strings like "
            '["tcp:2525:interface=127.0.0.1"]'
        )


def _key_source(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    kind, _colon, name = value.partition(":")
    if not (value == "passphrase" or (kind in ("file", "credential") and name)):
        raise ValueError(
            f'{attribute.name} must be "credential:NAME" (systemd\'s), "passphrase" '
            '(asked at the start) or "file:PATH" (for development)'
        )


def _pin(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value and not re.fullmatch(r"sha256/[A-Za-z0-9+/]{43}=", value):
        raise ValueError(
            f'{attribute.name} must be "sha256/" and the base64 of a public key\'s '
            "SHA-256, as the gateway prints it"
        )


def _delay(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in DELAYS:
        raise ValueError(f"{attribute.name} must be one of {', '.join(DELAYS)}")


def _hours(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not value or not all(0 <= hour <= 23 for hour in value):
        raise ValueError(f"{attribute.name} must be a list of hours, as in [0, 12]")


def _stamps(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    for bits, recipients in value.items():
        if not (bits.isdecimal() and 1 <= int(bits) <= 64 and recipients > 0):
            raise ValueError(
                f"{attribute.name} must map bits to recipients, as in {{ 26 = 20 }}"
            )


def _size(default: int, low: int = 1, high: int = 2**40) -> Any:
    return field(default=default, validator=_between(low, high))


@frozen
class Node:
    """What the machine is called inside the network, and where it keeps its state."""

    state: str = field(default="var", validator=_named)
    mail_domain: str = field(default="mail.i2p", validator=_domain)
    internet_domain: str = field(default="i2pmail.org", validator=_domain)
    key: str = field(default="file:node.key", validator=_key_source)


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
        default=("tcp:2525:interface=127.0.0.1",), validator=_endpoints
    )
    host_name: str = field(default="smtp.postman.i2p", validator=_domain)
    max_message_bytes: int = _size(33_388_608, 65_536)
    max_recipients: int = _size(100, 1, 10_000)


@frozen
class Pop3:
    """Where members collect mail."""

    listen: tuple[str, ...] = field(
        default=("tcp:1110:interface=127.0.0.1",), validator=_endpoints
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
    remember_seconds: float = field(default=600.0, validator=_between(0, 86_400))
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
        factory=lambda: {"26": 20, "27": 40, "28": 80}, validator=_stamps
    )
    stamp_days: int = _size(1, 0, 365)


@frozen
class Delays:
    """When mail for the Internet leaves if the member has not chosen (guide 7.4)."""

    default: str = field(default="defer", validator=_delay)
    defer_min_seconds: int = _size(2_000, 0, 604_800)
    defer_max_seconds: int = _size(4_000, 0, 604_800)
    batch_hours: tuple[int, ...] = field(default=(0, 12), validator=_hours)
    pool_set: int = _size(8, 2, 10_000)
    pool_hours: int = _size(24, 1, 168)
    tick_seconds: float = field(default=30.0, validator=_between(0.1, 3_600))

    def __attrs_post_init__(self) -> None:
        if self.defer_min_seconds > self.defer_max_seconds:
            raise ValueError("defer_min_seconds must not be above defer_max_seconds")


@frozen
class Relay:
    """How released mail is taken to the gateways, and for how long it is tried."""

    connections_per_gateway: int = _size(2, 1, 100)
    connect_seconds: float = field(default=120.0, validator=_between(0.1, 3_600))
    reply_seconds: float = field(default=300.0, validator=_between(0.1, 7_200))
    away_seconds: float = field(default=300.0, validator=_between(0.1, 86_400))
    at_once: int = _size(16, 1, 1_000)
    retry_first_seconds: int = _size(900, 1, 86_400)
    retry_longest_seconds: int = _size(21_600, 1, 604_800)
    give_up_seconds: int = _size(432_000, 60, 2_592_000)


@frozen
class Gateway:
    """A way to the Internet. `pin` is its public key's; without one there is no TLS."""

    endpoint: str
    pin: str = field(default="", validator=_pin)
    lmtp: bool = False


@frozen
class Metrics:
    """Where counters are shown: a place of this machine only."""

    listen: tuple[str, ...] = field(
        default=("tcp:9125:interface=127.0.0.1",), validator=_endpoints
    )


@frozen
class Limits:
    """Every bound of the servers, the washing and the store."""

    # Sessions.
    connections: int = _size(6_000, 1, 1_000_000)
    connections_per_peer: int = _size(5_500, 1, 1_000_000)
    line_bytes: int = _size(4_096, 512, 65_536)
    pipeline_bytes: int = _size(65_536, 4_096, 1_048_576)
    command_seconds: float = field(default=300.0, validator=_between(1, 86_400))
    login_seconds: float = field(default=120.0, validator=_between(1, 86_400))
    protocol_errors_in_row: int = _size(3, 1, 1_000)
    protocol_errors: int = _size(10, 1, 10_000)
    refusals: int = _size(200, 1, 100_000)
    login_failures: int = _size(5, 1, 1_000)
    # A message on its way in.
    body_line_bytes: int = _size(1_048_576, 998, 33_554_432)
    body_seconds: float = field(default=120.0, validator=_between(1, 86_400))
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
    pop3_idle_seconds: float = field(default=600.0, validator=_between(1, 86_400))
    pop3_silent_seconds: float = field(default=60.0, validator=_between(0.1, 86_400))
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
    gateways: tuple[Gateway, ...] = ()
    metrics: Metrics | None = None
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


def mail_host() -> Config:
    """Return the built-in mail host: both servers on loopback, state in ./var."""
    return Config(submission=Submission(), pop3=Pop3())


def load(path: str | None) -> Config:
    """Read the configuration at `path`, or return the built-in one for None.

    Raises ConfigError with one complete line.
    """
    if path is None:
        return mail_host()
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name a readable file with --config"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    return from_table(data, path)


def from_table(data: dict[str, Any], source: str) -> Config:
    """Turn a parsed TOML table into a Config; `source` names it in errors."""
    if "source" in data:
        raise ConfigError(f'{source}: there is no section "source"; remove it')
    try:
        config = _converter().structure(data, Config)
    except ClassValidationError as error:
        raise ConfigError(f"{source}: {_first_fault(error)}") from error
    aliases = dict(_alias(config, *pair, source) for pair in config.aliases.items())
    if len(aliases) < len(config.aliases):
        raise ConfigError(f"{source}: [aliases] names the same alias twice; remove one")
    return attrs.evolve(config, source=source, aliases=aliases)


def _alias(config: Config, alias: str, target: str, source: str) -> tuple[str, str]:
    """Return an alias and its account, which may be written with its domain."""
    name, at, domain = target.lower().partition("@")
    ours = not at or domain.encode() in config.domains
    if not (ours and _NAME.fullmatch(name) and _NAME.fullmatch(alias.lower())):
        raise ConfigError(
            f"{source}: [aliases] {alias}: must name an account of this node, as in "
            'postmaster = "jondoe"'
        )
    return alias.lower(), name


def _converter() -> cattrs.Converter:
    """Make a converter that takes no type for another and no key it does not know."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, words in (
        (str, 'text in quotes, as in "mail.i2p"'),
        (int, "a whole number without quotes"),
        (bool, "true or false"),
    ):
        converter.register_structure_hook(kind, _exactly(kind, words))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(
        lambda kind: kind == tuple[str, ...], _strings
    )
    converter.register_structure_hook_func(
        lambda kind: kind == tuple[int, ...], _whole_numbers
    )
    return converter


def _exactly(kind: type, words: str) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"must be {words}")
        return value

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("must be a number without quotes")
    return float(value)


def _strings(value: Any, _: Any) -> tuple[str, ...]:
    if type(value) is not list or not all(type(item) is str for item in value):
        raise ValueError('must be a list of texts, as in ["…", "…"]')
    return tuple(value)


def _whole_numbers(value: Any, _: Any) -> tuple[int, ...]:
    if type(value) is not list or not all(type(item) is int for item in value):
        raise ValueError("must be a list of whole numbers, as in [0, 12]")
    return tuple(value)


def _first_fault(error: BaseException, where: tuple[str, ...] = ()) -> str:
    """Return "[section] key: what is wrong" for the first fault in a tree of them."""
    if isinstance(error, ForbiddenExtraKeysError):
        return _unknown_key(error, where)
    if isinstance(error, BaseExceptionGroup):
        first = error.exceptions[0]
        for note in getattr(first, "__notes__", ()):
            name = getattr(note, "name", None) or getattr(note, "index", None)
            if name is not None:
                where = (*where, str(name))
        return _first_fault(first, where)
    text = str(error)
    if isinstance(error, TypeError | AttributeError):
        text = "must be a section of its own"
    return f"{_place(where)}{text}"


def _unknown_key(error: ForbiddenExtraKeysError, where: tuple[str, ...]) -> str:
    names = ", ".join(sorted(error.extra_fields))
    known = ", ".join(
        attribute.name
        for attribute in attrs.fields(error.cl)
        if attribute.name != "source"
    )
    kind = "key" if where else "section"
    return f"{_place(where)}{names}: unknown {kind}; remove it (known: {known})"


def _place(where: tuple[str, ...]) -> str:
    if not where:
        return ""
    section, *keys = where
    return f"[{section}] " + "".join(f"{key}: " for key in keys[:1])
