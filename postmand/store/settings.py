"""The store's settings: what the config file may change, with its defaults."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, le

from postmand.config import Biff, Config, Quota
from postmand.store.watches import PLACES

MIB = 1024 * 1024


@frozen
class Settings:
    """Limits and costs of the store. Sizes are in octets unless the name says KiB."""

    mail_domain: str = "mail.i2p"
    """The domain of the Message-IDs given out."""

    max_bytes: int = field(default=50 * MIB, validator=ge(1))
    """The limit of one mailbox, in padded octets."""

    file_bytes: int = field(default=64 * 1024, validator=[ge(0), le(MIB)])
    """A body longer than this is a sealed file beside the database."""

    thread_days: int = field(default=400, validator=ge(1))
    """How many days a given-out Message-ID is remembered."""

    waiting: int = field(default=10_000, validator=ge(1))
    """How many jobs may wait for the store; the next is refused at once."""

    seal_threads: int = field(default=2, validator=ge(1))
    """How many threads seal large bodies."""

    read_threads: int = field(default=2, validator=ge(1))
    """How many threads open cards and bodies for POP3."""

    passes: int = field(default=5, validator=ge(1))
    """Argon2id passes for a password set from now on."""

    memory_kib: int = field(default=7 * 1024, validator=ge(8))
    """Argon2id memory in KiB for a password set from now on."""

    quota: Quota = field(factory=Quota)
    """How many Internet recipients an account has, and what stamps buy."""

    queue_messages: int = field(default=200_000, validator=ge(1))
    """How many messages for the Internet may wait; the next is refused."""

    accounts_per_nick: int = field(default=10, validator=[ge(1), le(PLACES)])
    """How many accounts one nick may watch."""

    nicks_per_account: int = field(default=5, validator=ge(1))
    """How many nicks may watch one account."""

    @classmethod
    def from_config(cls, config: Config) -> Settings:
        """Return what the config file says of the store."""
        biff = config.biff or Biff()
        return cls(
            mail_domain=config.node.mail_domain,
            max_bytes=config.mailboxes.max_bytes,
            thread_days=config.accounts.thread_days,
            waiting=config.limits.writes_waiting,
            seal_threads=config.limits.wash_threads,
            passes=config.accounts.argon2_passes,
            memory_kib=config.accounts.argon2_memory_kib,
            quota=config.quota,
            queue_messages=config.limits.queue_messages,
            accounts_per_nick=biff.accounts_per_nick,
            nicks_per_account=biff.nicks_per_account,
        )
