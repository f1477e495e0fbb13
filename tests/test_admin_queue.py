"""postmanctl's queue commands: what they show, never show, change and refuse."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from postmand.admin import queue as commands
from postmand.admin.queue import coarse
from postmand.interfaces import Outgoing
from postmand.internet import Leg
from postmand.store import queue_rows
from postmand.store.bodies import Bodies
from postmand.store.database import connect, make_directory
from postmand.store.nodekeys import open_node_keys
from postmand.store.queue_intake import put_step, sealed_message
from postmand.store.queue_opening import Opener
from postmand.store.upgrade import upgrade
from tests.contracts.queues import a_leg, a_message
from tests.test_admin import NOON, AdminCase

pytestmark = pytest.mark.long

NOW = int(NOON)
SECRETS = ("jondoe", "a@example", "b@example", "hello", "mail.i2p", "Subject")


class QueueCase(AdminCase):
    """A node's state with a queue in it; the node itself does not run."""

    def setUp(self) -> None:
        """Make the store and the node's key."""
        super().setUp()
        make_directory(self.state)
        self.database = self.config.database
        upgrade(f"sqlite:///{self.database}")
        self.bodies = Bodies(self.state / "bodies")
        self.bodies.make()
        source = self.config.node.key
        self.key = open_node_keys(self.database, source, self.state, None).key

    def put(self, outgoing: Outgoing) -> str:
        """Put a message into the queue; return its number as it is shown."""
        sealed = sealed_message(self.bodies, outgoing, self.key, 64 * 1024)
        with closing(connect(self.database)) as connection:
            put_step(sealed)(connection)
        return f"{sealed.item.item:016x}"

    def released(self, *legs: Leg) -> list[str]:
        """Put a message in and release it; return the legs' numbers."""
        item = int(self.put(a_message()), 16)
        opener = Opener(self.bodies, self.key)
        with closing(connect(self.database)) as connection:
            rows = opener.released(connection, item, legs, NOW)
            queue_rows.take(connection, item, queue_rows.BEFORE_RELEASE, held=False)
            queue_rows.put(connection, rows)
        return [f"{row.item:016x}" for row in rows]

    def answer(self, *arguments: str, told: str = "") -> str:
        """Run a command that succeeds; return its answer, which has no secret."""
        self.assertEqual(self.ctl("queue", *arguments, told=told), 0, self.err)
        for secret in SECRETS:
            self.assertNotIn(secret, self.out + self.err)
        return self.out

    def listed(self, *options: str) -> dict[str, dict[str, object]]:
        """Return what the list tells programs, by number."""
        items = json.loads(self.answer("list", "--json", *options))
        return {item["item"]: item for item in items}


class Looking(QueueCase):
    """queue list, queue show."""

    def test_an_empty_queue(self) -> None:
        """No line, a word of advice; an empty array for programs."""
        self.assertEqual(self.answer("list"), "")
        self.assertIn("empty", self.err)
        self.assertEqual(self.answer("list", "--json"), "[]\n")

    def test_lines(self) -> None:
        """A line each: number, stage, state, time, size, tries, people, domain."""
        waiting = self.put(a_message(due=NOW + 2280, body=(bytes(5000),)))
        pooled = self.put(a_message(due=NOW + 12_000, pooled=True))
        (leg,) = self.released(a_leg(b"example.org", b"x", b"y", b"z", attempts=2))
        self.answer("hold", leg)
        head, *lines = self.answer("list").splitlines()
        self.assertEqual(head.split(), list(commands._HEAD))
        found = {line.split()[0]: line.split()[1:] for line in lines}
        self.assertEqual(
            " ".join(found[waiting]), "waiting in about 40 min 5.0 KiB 0 2"
        )
        self.assertEqual(
            " ".join(found[pooled]), "pool in about 3 h 20 min 1.0 KiB 0 2"
        )
        *told, domain = found[leg]
        self.assertEqual(" ".join(told), "relay held now 1.0 KiB 2 3")
        self.assertRegex(domain, r"\A[0-9a-f]{8}\Z")
        self.assertNotIn("example", self.out)

    def test_domains_when_asked(self) -> None:
        """Domains stand there with --domains only; nobody's address ever does."""
        first, _ = self.released(a_leg(), a_leg(b"xn--e\x1b[2J.net"))
        self.assertIn("example.org", self.answer("list", "--domains"))
        self.assertNotIn("\x1b", self.out)
        self.assertIn("example.org", self.answer("show", first, "--domains"))
        self.assertNotIn("example.org", self.answer("show", first))
        self.assertEqual(self.listed("--domains")[first]["domain"], "example.org")
        tags = {item["domain"] for item in self.listed().values()}
        self.assertEqual(len(tags), 2)
        self.assertNotIn("example.org", tags)

    def test_json(self) -> None:
        """For programs the same, numbers as numbers, times as coarse."""
        waiting = self.put(a_message(due=NOW + 2280))
        self.assertEqual(
            self.listed()[waiting],
            {
                "item": waiting,
                "stage": "waiting",
                "held": False,
                "due_in_minutes": 40,
                "octets": 1024,
                "attempts": 0,
                "recipients": 2,
                "domain": "",
            },
        )

    def test_long_lists_page_by_page(self) -> None:
        """Each item once, however many pages; none of them is larger than asked."""
        self.patch(commands, "PAGE", 3)
        items = {self.put(a_message()) for _ in range(10)}
        self.assertEqual(set(self.listed()), items)
        lines = self.answer("list").splitlines()[1:]
        self.assertEqual(sorted(line.split()[0] for line in lines), sorted(items))

    def test_show(self) -> None:
        """One item, with what is done with it just now."""
        (leg,) = self.released(a_leg())
        self.assertIn("stage:        relay", self.answer("show", leg))
        with closing(connect(self.database)) as connection:
            queue_rows.begin(connection, int(leg, 16))
        self.assertIn("due:          being tried now", self.answer("show", leg))
        waiting = self.put(a_message())
        self.assertIn("(told at release)", self.answer("show", waiting))
        self.assertEqual(self.answer("show", waiting.upper()), self.out)


class Changing(QueueCase):
    """queue hold, release, retry, drop."""

    def due(self, stage: queue_rows.Stage, now: int = NOW) -> list[str]:
        """Return what the node would find due."""
        with closing(connect(self.database)) as connection:
            found = queue_rows.due(connection, stage, now, 100)
        return [f"{item:016x}" for item in found]

    def test_hold_and_release(self) -> None:
        """What is held is not due; what is let go is due at once."""
        item = self.put(a_message(due=NOW + 6000, pooled=True))
        self.answer("hold", item)
        self.assertEqual(self.due(queue_rows.Stage.WAITING, 2**40), [])
        self.answer("release", item)
        self.assertEqual(self.due(queue_rows.Stage.WAITING), [item])

    def test_without_the_key(self) -> None:
        """What changes the queue needs no key: it can be had where none is."""
        item = self.put(a_message())
        (self.state / "node.key").unlink()
        self.answer("hold", item)
        self.answer("release", item)
        self.answer("drop", item, "--yes")
        self.refused("queue", "list", says="the node's key")

    def test_retry(self) -> None:
        """One leg, or all that are not held."""
        legs = self.released(*[a_leg() for _ in range(3)])
        with closing(connect(self.database)) as connection:
            connection.execute("UPDATE queue_items SET due = ?", (NOW + 6000,))
        self.answer("retry", legs[0])
        self.assertEqual(self.due(queue_rows.Stage.LEG), legs[:1])
        self.answer("hold", legs[1])
        self.assertIn("1 more", self.answer("retry", "--all"))
        self.assertEqual(
            sorted(self.due(queue_rows.Stage.LEG)), sorted([legs[0], legs[2]])
        )
        waiting = self.put(a_message())
        self.refused("queue", "retry", waiting, says="not on its way")

    def test_drop(self) -> None:
        """Gone with its file, once the word was typed or --yes given."""
        first = self.put(a_message(body=(bytes(100_000),)))
        second = self.put(a_message())
        self.assertEqual(self.ctl("queue", "drop", first, told="yes\n"), 1)
        self.assertIn("not dropped", self.err)
        self.assertEqual(len(self.bodies.names()), 1)
        self.assertIn("gone for good", self.answer("drop", first, told="drop\n"))
        self.assertEqual(self.bodies.names(), set())
        self.answer("drop", second, "--yes")
        self.assertEqual(self.listed(), {})

    def test_unknown_items(self) -> None:
        """Whatever is asked of an item that is gone: one line, and nothing changed."""
        item = self.put(a_message())
        gone = "0123456789abcdef"
        for command in (("show",), ("hold",), ("release",), ("retry",)):
            self.refused("queue", *command, gone, says=f"{gone} is not")
        self.refused("queue", "drop", gone, "--yes", says=f"{gone} is not in the queue")
        self.assertEqual(self.due(queue_rows.Stage.WAITING, 2**40), [item])

    def test_no_numbers(self) -> None:
        """What is no item's number is a matter of usage."""
        for wrong in ("", "-1", "xyz", "0x12", "1_0", "f" * 16, "1" * 17, "\uff11"):
            self.assertEqual(self.ctl("queue", "hold", "--", wrong), 2, wrong)
            self.assertIn("hex digits", self.err)
        self.assertEqual(self.ctl("queue", "retry"), 2)
        self.assertEqual(self.ctl("queue", "retry", "12", "--all"), 2)


class NoStore(AdminCase):
    """Where there is no node."""

    def test_is_told_and_none_is_made(self) -> None:
        """A look at the queue makes neither store nor key."""
        self.refused("queue", "list", says="there is no store")
        self.refused("queue", "hold", "12", says="there is no store")
        self.assertFalse(self.state.exists())


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-1, "now"),
        (0, "now"),
        (1, "in about 10 min"),
        (899, "in about 10 min"),
        (901, "in about 20 min"),
        (3599, "in about 1 h"),
        (4200, "in about 1 h 10 min"),
        (86_400, "in about 24 h"),
    ],
)
def test_times_are_coarse(seconds: int, told: str) -> None:
    """Ten minutes are the finest that is shown."""
    assert coarse(NOW + seconds, float(NOW)) == told
