"""What the queue's questions and changes cost: never more because more waits."""

from __future__ import annotations

from contextlib import closing

import pytest

from postmand.store import postmaster, queue_rows
from postmand.store.cards import SealedCard
from postmand.store.database import connect
from postmand.store.postmaster import Postmaster
from postmand.store.queue_intake import random_number
from postmand.store.queue_rows import BodyRow, ItemRow, Stage
from postmand.store.upgrade import upgrade

pytestmark = pytest.mark.long

STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (queue_rows, postmaster)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
BUSY = 16
STATEMENTS |= {
    f"queue_rows.LEGS_DUE_BUT_{n}": queue_rows.legs_due_but(n) for n in (0, 1, BUSY)
}
# At the start, and when the queue seems full.
WHOLE = {"queue_rows.COUNT", "queue_rows.NAMED_FILES"}
# Asked at each tick.
COVERED = {f"queue_rows.{name}" for name in ("DUE", "NEXT_CLASS", "NEXT_OWNER")}
COVERED |= {name for name in STATEMENTS if "LEGS_DUE" in name}
DUE_AT = 1_000_000


@pytest.fixture(scope="module", params=[False, True], ids=["new", "analyzed"])
def filled(request, tmp_path_factory):
    """A database with a thousand rows of every kind."""
    with closing(fill(tmp_path_factory.mktemp("filled"), 1000)) as connection:
        if request.param:
            connection.execute("ANALYZE")
        yield connection


def fill(directory, many):
    """Make a database where `many` of each stage wait and a handful are due."""
    path = directory / "postmand.db"
    upgrade(f"sqlite:///{path}")
    connection = connect(path)
    connection.execute("BEGIN")
    for n in range(many):
        for stage in Stage:
            body = random_number()
            due = DUE_AT - n if n < 5 else DUE_AT + 60 * n
            tags = {
                Stage.POOL: (b"%016d" % (n % 10), n % 3),
                Stage.LEG: (b"%04d" % n, None),
            }
            pool = tags.get(stage, (None, None))
            card = SealedCard(b"k" * 112, b"c" * 1040)
            queue_rows.put_body(connection, BodyRow(body, None, b"b" * 1024))
            row = ItemRow(random_number(), body, stage, due, card, *pool)
            queue_rows.put(connection, [row])
    connection.execute("COMMIT")
    return connection


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_plans(filled, name):
    """Every statement finds its rows by an index, and sorts nothing."""
    sql = STATEMENTS[name]
    rows = filled.execute("EXPLAIN QUERY PLAN " + sql, [1] * sql.count("?"))
    plan = [row[3] for row in rows]
    assert not [step for step in plan if "TEMP B-TREE" in step]
    scans = [step for step in plan if step.startswith("SCAN")]
    if name in WHOLE:
        assert all("COVERING INDEX" in step for step in scans)
    else:
        assert not scans
    if name in COVERED:
        assert any("COVERING INDEX" in step for step in plan)
    if "NEXT_" in name:
        assert all("queue_items_in_pool" in step for step in plan)


def test_index_of_the_pool_is_the_pools(filled):
    """What is on its way has a tag, too, and stands in no one's way there."""
    (pooled,) = filled.execute(
        "SELECT count(*) FROM queue_items INDEXED BY queue_items_in_pool"
        " WHERE stage = 1"
    ).fetchone()
    assert pooled == 1000
    (sql,) = filled.execute(
        "SELECT sql FROM sqlite_master WHERE name = 'queue_items_in_pool'"
    ).fetchone()
    assert sql.endswith("WHERE stage = 1")


def cost(connection, ask):
    """Return how many steps of its machine SQLite takes."""
    steps = 0

    def step():
        nonlocal steps
        steps += 1

    connection.set_progress_handler(step, 1)
    ask()
    connection.set_progress_handler(None, 0)
    return steps


def costs(directory, many):
    """Return what each question and change costs, with so many of each waiting."""
    with closing(fill(directory, many)) as connection:
        bodies = None
        master = Postmaster(connection, bodies)
        waiting, other = queue_rows.due(connection, Stage.WAITING, DUE_AT, 2)
        ((leg, _),) = connection.execute(
            queue_rows.legs_due_but(0), (Stage.LEG, 0, 0, DUE_AT, 1)
        )
        body = connection.execute(
            "SELECT body_id FROM queue_items WHERE id = ?", (leg,)
        ).fetchone()[0]

        def release():
            number = queue_rows.take(
                connection, waiting, queue_rows.BEFORE_RELEASE, held=False
            )
            card = SealedCard(b"k", b"c")
            queue_rows.put(
                connection, [ItemRow(random_number(), number, Stage.LEG, 0, card)]
            )

        def settle():
            queue_rows.take(connection, leg, queue_rows.LEGS, held=True)
            assert queue_rows.drop_body(connection, body) == []

        asked = {
            "due": lambda: queue_rows.due(connection, Stage.WAITING, DUE_AT, 100),
            "legs": lambda: queue_rows.legs_due(
                connection, DUE_AT, 100, [b"%04d" % n for n in range(2)]
            ),
            "hold, node": lambda: queue_rows.hold(
                connection, other, queue_rows.BEFORE_RELEASE, after=queue_rows.BY_HAND
            ),
            "pool": lambda: queue_rows.pool(connection, 4),
            "page": lambda: connection.execute(postmaster.PAGE, (-1, 20)).fetchall(),
            "begin": lambda: queue_rows.begin(connection, leg),
            "land": lambda: queue_rows.land(connection),
            "hold": lambda: master.hold(leg),
            "let go": lambda: master.let_go(leg),
            "release": release,
            "settle": settle,
        }
        return {what: cost(connection, ask) for what, ask in asked.items()}


def test_cost_does_not_grow_with_what_waits(tmp_path_factory):
    """Ten times as many waiting: the same number of steps, for every question."""
    few = costs(tmp_path_factory.mktemp("few"), 150)
    many = costs(tmp_path_factory.mktemp("many"), 1500)
    assert all(few.values())
    for what, steps in few.items():
        assert many[what] <= 1.1 * steps + 20, what
