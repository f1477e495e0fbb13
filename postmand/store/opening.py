"""Opening the store: for the node whole, for a tool beside it the register alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred

from postmand.interfaces import IAccounts, IKeyring, IMailboxes, IThreads
from postmand.internet import IQueue
from postmand.rules import hashcash, quota
from postmand.store import closed_names, queue_rows
from postmand.store.accounts import Accounts
from postmand.store.bodies import Bodies
from postmand.store.crew import Crew
from postmand.store.database import (
    connect,
    database_path,
    make_directory,
    make_engine,
)
from postmand.store.dossier import Dossier
from postmand.store.inbox import StartThread, start_thread
from postmand.store.keyring import Keyring
from postmand.store.mailboxes import Mailboxes, Outgate
from postmand.store.nodekey import NodeKey
from postmand.store.passwords import Cost
from postmand.store.published import Published
from postmand.store.queue import Queue
from postmand.store.queue_intake import Backlog
from postmand.store.quotas import Ledger, Quotas
from postmand.store.recovering import RecoveryKeyring
from postmand.store.registry import Registry
from postmand.store.rows import Changes
from postmand.store.settings import Settings
from postmand.store.stamp import Stamp
from postmand.store.threads import Threads
from postmand.store.tokens import Mint, Tokens
from postmand.store.upgrade import upgrade
from postmand.store.watches import Roll, Watches
from postmand.store.writer import Job, Writer

T = TypeVar("T")

DAY_SECONDS = 86_400
MOST_LOOKUPS = 64


class StoreReactor(Protocol):
    """What the store needs of a reactor."""

    def callFromThread(self, function: Callable[[], None]) -> object:
        """Run a function in the reactor's thread, soon."""

    def seconds(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""


@frozen(eq=False)
class Store:
    """What the node keeps, and its seams; those from `queue` on with a node's key."""

    accounts: IAccounts
    keyring: IKeyring
    mailboxes: IMailboxes
    threads: IThreads
    registry: Registry
    queue: IQueue | None
    quotas: Quotas | None
    watches: Watches | None
    tokens: Tokens | None
    published: Published
    dossier: Dossier
    recovery: RecoveryKeyring
    _writer: Writer
    _today: Callable[[], int]
    _closing: ExitStack = field(repr=False)

    def forget(self) -> Deferred[None]:
        """Forget what has expired: ids, stamps, closed names. To be called each day."""
        return Deferred.fromCoroutine(self._forget(self._today()))

    async def _forget(self, today: int) -> None:
        await self._writer.submit(Job(lambda: Changes(forget_before=today)))
        await self._writer.change(partial(closed_names.forget, today=today))
        if self.quotas is not None:
            await self.quotas.forget(today)

    def close(self) -> None:
        """Write what waits, empty the log into the database, let go. Blocks.

        Not to be called in the reactor's thread while the reactor is still wanted: what
        was written is told through it.
        """
        self._closing.close()


def open_store(
    url: str,
    state: Path,
    settings: Settings,
    reactor: StoreReactor,
    start: StartThread = start_thread,
    node_key: NodeKey | None = None,
) -> Store:
    """Open the store of a node: migrate, lock, sweep, start the threads. Blocks.

    With `node_key` it keeps mail for the Internet, too, and who is told of mail.

    `url` is sqlite:///PATH; long bodies lie in `state`/bodies. Raises StoreInUseError
    when another node has them, NewerSchemaError for a database of a newer program, and
    OSError or sqlite3.Error for what the disk does.
    """
    make_directory(state)
    upgrade(url)
    path, bodies = database_path(url), Bodies(state / "bodies")
    with ExitStack() as undo:
        bodies.make()
        undo.enter_context(bodies.lock())
        bodies.sweep(_named(path))
        undo.callback(_put_to_rest, path, state / "bodies")
        return _Rooms(path, bodies, settings, reactor, start, node_key, undo).store()


def open_registry(url: str, state: Path, settings: Settings) -> Registry:
    """Open the accounts' register, beside a running node or without one. Blocks."""
    make_directory(state)
    upgrade(url)
    bodies = Bodies(state / "bodies")
    bodies.make()
    path = database_path(url)
    return Registry(make_engine(path), bodies, _stamp(path), _cost(settings))


@frozen(eq=False)
class _Rooms:
    """The parts of a store being opened; what ends them is put on `undo`.

    They end in the opposite order: what hands jobs on before what takes them.
    """

    path: Path
    bodies: Bodies
    settings: Settings
    reactor: StoreReactor
    start: StartThread
    node_key: NodeKey | None
    undo: ExitStack

    def store(self) -> Store:
        """Start the threads and join the parts."""
        settings, limit = self.settings, self.settings.max_bytes
        stamp, cost = _stamp(self.path), _cost(settings)
        self.undo.callback(stamp.close)
        lookups = self._crew("lookup", self._connection, 1, MOST_LOOKUPS)
        boxes = self._crew("box", self._connection, settings.read_threads, 1)
        accounts = Accounts(lookups, limit, stamp)
        writer = self._writer()
        sealers = self._crew("seal", self._directory, settings.seal_threads, 1)
        queue, quotas, outgate = self._internet(writer, lookups, accounts)
        watches, tokens = self._news(writer, lookups, accounts)
        mailboxes = Mailboxes(
            accounts=accounts,
            writer=writer,
            boxes=boxes,
            sealers=sealers,
            bodies=self.bodies,
            limit=limit,
            file_bytes=settings.file_bytes,
            expires_day=lambda: self._today() + settings.thread_days,
            outgate=outgate,
        )
        return Store(
            accounts=accounts,
            keyring=Keyring(cost),
            mailboxes=mailboxes,
            threads=Threads(lookups, settings.mail_domain),
            registry=Registry(make_engine(self.path), self.bodies, stamp, cost),
            queue=queue,
            quotas=quotas,
            watches=watches,
            tokens=tokens,
            published=Published(writer, lookups),
            dossier=Dossier(
                boxes,
                limit,
                quotas.ledger if quotas else None,
                watches.roll if watches else None,
            ),
            recovery=RecoveryKeyring(self.path),
            writer=writer,
            today=self._today,
            closing=self.undo.pop_all(),
        )

    def _internet(
        self, writer: Writer, lookups: Crew[sqlite3.Connection], accounts: Accounts
    ) -> tuple[Queue | None, Quotas | None, Outgate | None]:
        """Join the parts for mail to the Internet."""
        if self.node_key is None:
            return None, None, None
        settings = self.settings
        ledger = Ledger(
            self.node_key,
            quota.Rules.from_config(settings.quota),
            hashcash.Prices.from_config(settings.quota),
        )
        quotas = Quotas(writer, lookups, ledger)
        readers = self._crew("queue", self._connection, settings.read_threads, 1)
        with self._connection() as connection:
            queued = queue_rows.count(connection)
        backlog = Backlog(readers, settings.queue_messages, queued)
        queue = Queue(
            writer=writer,
            readers=readers,
            bodies=self.bodies,
            node_key=self.node_key,
            accounts=accounts,
            backlog=backlog,
            file_bytes=settings.file_bytes,
        )
        return queue, quotas, Outgate(self.node_key, backlog, quotas.charge_step)

    def _news(
        self, writer: Writer, lookups: Crew[sqlite3.Connection], accounts: Accounts
    ) -> tuple[Watches | None, Tokens | None]:
        """Join the parts for telling members that mail came."""
        if self.node_key is None:
            return None, None
        settings = self.settings
        roll = Roll(
            self.node_key, settings.accounts_per_nick, settings.nicks_per_account
        )
        mint = Mint(self.node_key)
        return (
            Watches(writer, lookups, roll),
            Tokens(writer, accounts, self.reactor.seconds, mint),
        )

    def _crew(
        self,
        name: str,
        open_tool: Callable[[], AbstractContextManager[T]],
        threads: int,
        most: int,
    ) -> Crew[T]:
        dispatch, waiting = self.reactor.callFromThread, self.settings.waiting
        crew = Crew(open_tool, dispatch, waiting=waiting, most=most)
        crew.start(self.start, name, threads)
        self.undo.callback(crew.close)
        return crew

    def _writer(self) -> Writer:
        writer = Writer(
            self._connection,
            self.bodies,
            self.reactor.callFromThread,
            limit=self.settings.max_bytes,
            waiting=self.settings.waiting,
        )
        writer.start(self.start, "writer")
        self.undo.callback(writer.close)
        return writer

    def _connection(self) -> AbstractContextManager[sqlite3.Connection]:
        return closing(connect(self.path))

    def _directory(self) -> AbstractContextManager[Bodies]:
        return nullcontext(self.bodies)

    def _today(self) -> int:
        return int(self.reactor.seconds() // DAY_SECONDS)


def _stamp(path: Path) -> Stamp:
    return Stamp(path.with_name(f"{path.name}.stamp"))


def _cost(settings: Settings) -> Cost:
    return Cost(settings.passes, settings.memory_kib)


def _named(path: Path) -> set[str]:
    """Return the names of all files that rows name."""
    with closing(connect(path)) as connection:
        return {name for (name,) in connection.execute(queue_rows.NAMED_FILES)}


def _put_to_rest(path: Path, bodies: Path) -> None:
    """Move the log into the database file, and leave no time on it."""
    with suppress(sqlite3.Error), closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for place in (path, bodies):
        with suppress(OSError):
            os.utime(place, ns=(0, 0))
