"""The wiring of a mail host: members' mail in and out, and what is kept of it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from twisted.cred.portal import Portal
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.threads import deferToThread

from postmand.abroad import entrance, node_keys, stationery, way
from postmand.claims import Claims
from postmand.config import Biff, Config, ConfigError, Web
from postmand.members import Members, membership
from postmand.message.limits import Limits as MessageLimits
from postmand.postoffice import (
    CheckDesk,
    Maildrop,
    OfficeSettings,
    PostOffice,
    Submitter,
)
from postmand.postoffice.noticing import Noticing
from postmand.rules.routing import Routing
from postmand.servers.cred import Checker, Gate, Realm
from postmand.servers.maildrop import IMaildrop
from postmand.servers.pop3 import Pop3Factory
from postmand.servers.submission import ISubmitter, SubmissionFactory
from postmand.services import OnStop, StoreReactor, Threads, Timer
from postmand.site import Parts, Site
from postmand.store.database import StoreInUseError
from postmand.store.nodekeys import NodeKeys
from postmand.store.opening import Store, open_store
from postmand.store.passwordfile import PasswordPlaceError, read_password
from postmand.store.settings import Settings
from postmand.store.upgrade import NewerSchemaError

if TYPE_CHECKING:
    from postmand.biff.service import BiffService


def parts(site: Site) -> Parts:
    """Wire a mail host. Opens the store, which blocks. Raises ConfigError."""
    config, limits, reactor = site.config, site.config.limits, site.reactor
    store_reactor = StoreReactor(reactor.callFromThread, site.clocks.wall)
    store, keys = _store(config, store_reactor)
    argon2 = Threads(limits.argon2_threads, reactor, "argon2", niceness=10)
    checker = _checker(site, store, argon2)
    biff = _biff(site, config.biff, store, checker) if config.biff else None
    notice = biff.notice if biff else None
    out = way(site, store, keys, notice) if keys and config.gateways else None
    office = PostOffice(
        _office_settings(config),
        store.accounts,
        Noticing(store.mailboxes, notice) if notice else store.mailboxes,
        store.threads,
        seconds=site.clocks.wall,
        random=site.random,
        in_thread=site.washing,
        abroad=out.office if out else None,
        desks={
            "check": CheckDesk(stationery(site), site.washing).answer,
            **(out.desks if out else {}),
        },
    )
    factories: dict[str, IProtocolFactory] = _servers(site, office, checker)
    if config.inbound is not None:
        if keys is None or out is None:
            raise ConfigError(
                f"{config.source}: [inbound]: no gateway may come in; add [[gateways]]"
            )
        factories["inbound"] = entrance(site, config.inbound, office, keys, out)
    if config.web is not None:
        counter = out.counter if out else None
        members = membership(site, store, checker, argon2, counter)
        factories["web"] = _pages(site, config.web, members)
    return Parts(
        factories,
        below=[OnStop(lambda: deferToThread(store.close)), argon2],
        above=[
            # Bounces of the last moment are told of, too.
            *([biff] if biff else []),
            *([out.running] if out else []),
            Timer(60.0, checker.forget),
            Timer(86_400.0, store.forget),
        ],
        pool=(lambda: out.pool.waiting) if out else (lambda: 0),
    )


def _checker(site: Site, store: Store, argon2: Threads) -> Checker:
    return Checker(
        store.accounts,
        store.keyring,
        argon2,
        site.reactor,
        site.config.accounts,
        site.config.limits,
        site.random,
    )


def _pages(site: Site, settings: Web, members: Members) -> IProtocolFactory:
    from postmand.web.ask import Desk  # noqa: PLC0415 (a node may have none)
    from postmand.web.house import page_site  # noqa: PLC0415
    from postmand.web.node import Node  # noqa: PLC0415

    desk = Desk(settings, members, site.clocks.wall, Node.from_config(site.config))
    return page_site(desk, site.reactor)


def _biff(site: Site, settings: Biff, store: Store, checker: Checker) -> BiffService:
    """Wire the bot that tells members on IRC. Blocks for its password."""
    from postmand.biff.service import service  # noqa: PLC0415 (few nodes have one)

    config = site.config
    if store.watches is None or store.tokens is None:
        raise RuntimeError("the store was opened without the node's key")
    return service(
        settings,
        _biff_endpoint(site, settings),
        _biff_password(config, settings),
        store.watches,
        Claims(checker, config.domains, store.tokens, store.watches),
        reactor=site.reactor,
        random=site.random,
        wall=site.clocks.wall,
        domains=config.domains,
        mail_domain=config.node.mail_domain.encode(),
    )


def _biff_endpoint(site: Site, settings: Biff) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(
            site.reactor, settings.endpoint
        )
    except (ValueError, TypeError, LookupError):
        raise ConfigError(
            f'{site.config.source}: [biff] endpoint: "{settings.endpoint}" is none; '
            'write it as "tcp:127.0.0.1:6668"'
        ) from None
    return endpoint


def _biff_password(config: Config, settings: Biff) -> str:
    if not settings.password:
        return ""
    try:
        return read_password(settings.password, config.state)
    except PasswordPlaceError as error:
        raise ConfigError(f"{config.source}: [biff] password: {error}") from None


def _servers(
    site: Site, office: PostOffice, checker: Checker
) -> dict[str, IProtocolFactory]:
    config, limits, reactor = site.config, site.config.limits, site.reactor
    avatars = {
        ISubmitter: lambda member: Submitter(office, member),
        IMaildrop: lambda member: Maildrop(office, member),
    }
    gate = Gate(Portal(Realm(avatars), [checker]), config.domains)
    factories: dict[str, IProtocolFactory] = {}
    if config.submission is not None:
        factories["submission"] = SubmissionFactory(
            config.submission, limits, reactor, site.new_spool, gate, site.counts
        )
    if config.pop3 is not None:
        factories["pop3"] = Pop3Factory(limits, reactor, gate)
    return factories


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
