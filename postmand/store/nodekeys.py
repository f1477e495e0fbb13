"""The node's other secrets, kept in the store and sealed with the node's key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import field, frozen
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select

from postmand.store.database import busy_named, connect, make_engine, prepare, reading
from postmand.store.nodekey import Ask, NodeKey, NodeKeyError, NoNodeKeyError, load
from postmand.store.schema import node_keys
from postmand.store.seal import SealError

DKIM = "dkim"
"""The name of the key that signs mail for the Internet."""

FORMER_DKIM = "dkim.former"
"""The name of the key that signed before it."""

LINK = "link"
"""The name of the key and certificate that gateways know the node by."""

_CHECK = "check"
_MARK = b"sealed with the node's key"
_KNOWN = prepare(
    select(node_keys.c.name).where(node_keys.c.name == bindparam("name")), "name"
)


def open_node_keys(
    database: Path, source: str, state: Path, ask: Ask | None
) -> NodeKeys:
    """Load the node's key as `nodekey.load` does; see that it is the store's. Blocks.

    `database` has the newest schema. A key is made, too, but never for a store that was
    made with one. Raises NodeKeyError.
    """
    try:
        key = load(source, state, ask, make=not has_key(database))
    except NoNodeKeyError as error:
        raise NodeKeyError(
            "the node's key: it is not where [node] key says, and this store was made "
            "with one; restore it from a backup"
        ) from error
    keys = NodeKeys(key, make_engine(database))
    keys.verify()
    return keys


def has_key(database: Path) -> bool:
    """Tell whether the store was made with a key. Changes nothing, and may block."""
    if not database.exists():
        return False
    with closing(connect(database)) as connection:
        # A store of an older schema has no table for it.
        known = "SELECT 1 FROM sqlite_master WHERE name = ?"
        if connection.execute(known, (node_keys.name,)).fetchone() is None:
            return False
        return connection.execute(_KNOWN, (_CHECK,)).fetchone() is not None


@frozen
class NodeKeys:
    """The node's key, and what is kept under it, by name. Its methods block.

    Each raises StoreBusyError where the database can not be used now.
    """

    key: NodeKey
    _engine: Engine = field(repr=False)

    def verify(self) -> None:
        """See that the store was made with this key; a new store is from now on.

        Raises NodeKeyError for another one's: nothing sealed in it would open.
        """
        with self._writing() as connection:
            sealed = _sealed(connection, _CHECK)
            if sealed is None:
                self._put(connection, _CHECK, _MARK)
                return
        try:
            self.key.open(sealed, _bound(_CHECK))
        except SealError as error:
            raise NodeKeyError(
                "the node's key is not the one this store was made with; bring the "
                "old key back, or look whether [node] key and [store] url belong "
                "together"
            ) from error

    def put(self, name: str, plain: bytes) -> None:
        """Keep a secret, in place of one of that name; durable when this returns."""
        if not name or name == _CHECK:
            raise ValueError("a secret needs a name of its own")
        with self._writing() as connection:
            self._put(connection, name, plain)

    def get(self, name: str) -> bytes | None:
        """Return a secret, None if there is none; SealError if it does not open."""
        with reading(self._engine) as connection:
            sealed = _sealed(connection, name)
        return None if sealed is None else self.key.open(sealed, _bound(name))

    def names(self) -> tuple[str, ...]:
        """Return the names of the secrets, in order."""
        with reading(self._engine) as connection:
            names = select(node_keys.c.name).order_by(node_keys.c.name)
            rows = connection.execute(names)
            return tuple(name for (name,) in rows if name != _CHECK)

    def _put(self, connection: Connection, name: str, plain: bytes) -> None:
        connection.execute(delete(node_keys).where(node_keys.c.name == name))
        sealed = self.key.seal(plain, _bound(name))
        connection.execute(insert(node_keys).values(name=name, sealed=sealed))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with busy_named(), self._engine.begin() as connection:
            yield connection


def _sealed(connection: Connection, name: str) -> bytes | None:
    row = connection.execute(
        select(node_keys.c.sealed).where(node_keys.c.name == name)
    ).one_or_none()
    return None if row is None else bytes(row.sealed)


def _bound(name: str) -> bytes:
    return b"postmand node secret " + name.encode()
