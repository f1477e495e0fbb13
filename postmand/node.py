"""The whole node on one page: it only wires.

A role is a wiring, not a package: what the config names is built, nothing else exists.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

from twisted.cred.portal import Portal
from twisted.internet.threads import deferToThread
from twisted.python import usage

from postmand.abroad import Clocks, node_keys
from postmand.abroad import parts as abroad_parts
from postmand.config import Config, ConfigError, load
from postmand.counts import Counts
from postmand.message.limits import Limits as MessageLimits
from postmand.metrics import Gauges, LagProbe, MetricsFactory, Published
from postmand.postoffice import Maildrop, OfficeSettings, PostOffice, Submitter
from postmand.queue.spool import Memory, Spool
from postmand.randomness import PooledRandom
from postmand.rules.routing import Routing
from postmand.servers.cred import Checker, Gate, Realm
from postmand.servers.maildrop import IMaildrop
from postmand.servers.pop3 import Pop3Factory
from postmand.servers.submission import ISubmitter, SubmissionFactory
from postmand.services import (
    Listener,
    OnStop,
    Stack,
    StoreReactor,
    Threads,
    Timer,
    allow_files,
    endpoint_for,
)
from postmand.store.database import StoreInUseError
from postmand.store.nodekeys import NodeKeys
from postmand.store.opening import Store, open_store
from postmand.store.settings import Settings
from postmand.store.upgrade import NewerSchemaError

if TYPE_CHECKING:
    from twisted.application.service import IService
    from twisted.internet.interfaces import IProtocolFactory


CLOCKS = Clocks()


class Options(usage.Options):
    """`twistd postman [--config FILE]`."""

    optParameters = (
        ("config", "c", None, "configuration file (default: a built-in mail host)"),
    )


def makeService(options: Options) -> IService:
    """Return the node that the configuration names.

    A fault in it ends the program with one line that names the mend.
    """
    from twisted.internet import reactor  # noqa: PLC0415 (importing installs one)

    # Twisted's timers go by the wall's clock: set back an hour, it would stop them all
    # for as long. Whoever wants the time of day asks `Clocks.wall`.
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    try:
        config = load(options["config"])
        allow_files(config.limits.connections)
        return node(config, reactor)
    except ConfigError as error:
        raise SystemExit(f"postmand: {error}") from None


def node(config: Config, reactor: Any, clocks: Clocks = CLOCKS) -> Stack:
    """Wire a node. Opens the store, which blocks; listens once it is started."""
    # The threads of the store want the interpreter for moments only, and often: with
    # CPython's 5 ms a reply waits for them (measured: a fifth more mail a second).
    sys.setswitchinterval(0.0005)
    listening = _endpoints(config, reactor)
    limits = config.limits
    store, keys = _store(config, StoreReactor(reactor.callFromThread, clocks.wall))
    argon2 = Threads(limits.argon2_threads, reactor, "argon2", niceness=10)
    washing = Threads(limits.wash_threads, reactor, "washing")
    random, counts = PooledRandom(), Counts()
    abroad = keys and abroad_parts(
        config,
        store,
        keys,
        reactor,
        clocks=clocks,
        random=random,
        in_thread=washing,
        counts=counts,
    )
    office = PostOffice(
        _office_settings(config),
        store.accounts,
        store.mailboxes,
        store.threads,
        seconds=clocks.wall,
        random=random,
        in_thread=washing,
        abroad=abroad.office if abroad else None,
    )
    checker = Checker(
        store.accounts, store.keyring, argon2, reactor, config.accounts, limits, random
    )
    avatars = {
        ISubmitter: lambda member: Submitter(office, member),
        IMaildrop: lambda member: Maildrop(office, member),
    }
    gate = Gate(Portal(Realm(avatars), [checker]), config.domains)
    memory, state = Memory(limits.body_memory), config.state

    def new_spool() -> Spool:
        return Spool(memory, limits.spool_bytes, state, washing)

    factories: dict[str, IProtocolFactory] = {}
    if config.submission is not None:
        factories["submission"] = SubmissionFactory(
            config.submission, limits, reactor, new_spool, gate, counts
        )
    if config.pop3 is not None:
        factories["pop3"] = Pop3Factory(limits, reactor, gate)
    probes: list[IService] = []
    if config.metrics is not None:
        lag = LagProbe(reactor)
        waiting = (lambda: abroad.pool.waiting) if abroad else (lambda: 0)
        published = Published(counts, Gauges(pool=waiting, lag=lag.take))
        factories["metrics"] = MetricsFactory(published, reactor)
        probes = [lag, Timer(config.delays.tick_seconds, published.publish)]

    whole = Stack()  # type: ignore[no-untyped-call]
    for service in (
        OnStop(lambda: deferToThread(store.close)),
        argon2,
        washing,
        *([abroad.running] if abroad else []),
        Timer(60.0, checker.forget),
        Timer(86_400.0, store.forget),
        *probes,
        *(Listener(where, factories[section]) for section, where in listening),
    ):
        service.setServiceParent(whole)
    return whole


def _endpoints(config: Config, reactor: Any) -> list[tuple[str, Any]]:
    """Return (section, endpoint) for every place to listen at; all are free."""
    sections = {
        "submission": config.submission,
        "pop3": config.pop3,
        "metrics": config.metrics,
    }
    found = [
        (name, endpoint_for(reactor, f"{config.source}: [{name}] listen", text))
        for name, section in sections.items()
        if section is not None
        for text in section.listen
    ]
    texts = [
        text for section in sections.values() if section for text in section.listen
    ]
    for text in texts:
        if texts.count(text) > 1:
            raise ConfigError(
                f"{config.source}: listen: {text} is named twice; give each server a "
                "place of its own"
            )
    if not found:
        raise ConfigError(
            f"{config.source}: names no server; add [submission], [pop3] or both"
        )
    return found


def _url(config: Config) -> str:
    return f"sqlite:///{config.database}"


def _opened(config: Config, reactor: StoreReactor) -> tuple[Store, NodeKeys | None]:
    """Open the node's key, where it needs one, and the store."""
    keys = node_keys(config, _url(config))
    settings = Settings.from_config(config)
    key = None if keys is None else keys.key
    store = open_store(_url(config), config.state, settings, reactor, node_key=key)
    return store, keys


def _store(config: Config, reactor: StoreReactor) -> tuple[Store, NodeKeys | None]:
    """Open the store; what the disk has against it becomes one line with the mend."""
    try:
        return _opened(config, reactor)
    except StoreInUseError:
        where, mend = config.state, "another postmand runs on it; stop that one first"
    except NewerSchemaError:
        where, mend = config.database, "a newer postmand wrote it; upgrade this one"
    except sqlite3.Error as error:
        where, mend = config.database, f"{error}; restore the file from a backup"
    except OSError as error:
        where = error.filename or config.state
        mend = f"{error.strerror}; make it a directory that this user may write to"
    elsewhere = config.store.url and not str(where).startswith(str(config.state))
    key = "[store] url" if elsewhere else "[node] state"
    raise ConfigError(f"{config.source}: {key}: {where}: {mend}")


def _office_settings(config: Config) -> OfficeSettings:
    host_name = config.submission.host_name if config.submission else "localhost"
    limits = config.limits
    return OfficeSettings(
        host_name=host_name.encode(),
        mail_domain=config.node.mail_domain.encode(),
        routing=Routing(config.domains, config.aliases, bool(config.gateways)),
        message=MessageLimits(
            header_bytes=limits.header_bytes,
            fields=limits.header_fields,
            parts=limits.parts,
            depth=limits.depth,
        ),
        mailbox_bytes=config.mailboxes.max_bytes,
        copies_bytes=limits.copies_bytes,
        inline_bytes=limits.inline_bytes,
        wash_memory=limits.wash_memory,
    )
