"""postmanctl's quotas and stamps."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from random import Random
from unittest import mock

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from postmand.admin import stamp as stamps
from postmand.admin.terminal import Terminal
from postmand.config import Quota
from postmand.rules import hashcash
from postmand.rules.hashcash import challenge, mint, resource, weigh, zero_bits
from tests.test_admin import NOON, AdminCase, Answer

pytestmark = pytest.mark.long

TOO_FEW = 6
SLOW = 1  # with this seed 16 bits are found in the 34th stretch
PRICES = {"8": 20, "9": 40}
MINE = resource("jondoe", "mail.i2p")


def made(bits: int = 8, name: str = "jondoe", now: float = NOON, seed: int = 1) -> str:
    """Return a stamp."""
    return mint(resource(name, "mail.i2p"), bits, now, Random(seed)).decode()


class QuotaCase(AdminCase):
    """A node with cheap stamps and two accounts."""

    def setUp(self) -> None:
        """Make the accounts."""
        super().setUp()
        self.config = evolve(self.config, quota=Quota(stamps=PRICES, first_day=5))
        self.add("jondoe")
        self.add("alice")

    def left(self, name: str = "jondoe") -> int:
        """Return what an account has left."""
        self.assertEqual(self.ctl("quota", "show", name, "--json"), 0, self.err)
        left: int = json.loads(self.out)["left"]
        return left

    def done(self, *arguments: str) -> str:
        """Run a command that succeeds; return what it says."""
        self.assertEqual(self.ctl(*arguments), 0, self.err)
        self.assertEqual(self.err, "")
        return self.out


class Showing(QuotaCase):
    """quota show."""

    def test_shows_all_there_is(self) -> None:
        """On its first day the account has the first day's."""
        self.assertEqual(
            self.done("quota", "show", "jondoe"),
            "left:         5\n"
            "today:        0 of 5 spent\n"
            "bought:       0 left\n"
            "bought today: 0 of 160\n",
        )

    def test_shows_until_when(self) -> None:
        """Bought ones are shown with their end, in UTC and to the minute."""
        self.done("quota", "buy", "jondoe", made())
        shown = self.done("quota", "show", "jondoe")
        self.assertIn("left:         25\n", shown)
        self.assertIn("20 left, good until 2026-11-23 12:00 UTC\n", shown)
        self.assertIn("bought today: 20 of 160\n", shown)

    def test_json(self) -> None:
        """For programs: numbers, and no time where nothing ends."""
        table = json.loads(self.done("quota", "show", "jondoe", "--json"))
        self.assertEqual((table["left"], table["own"], table["spent"]), (5, 5, 0))
        self.assertIsNone(table["bought_until"])

    def test_no_such_account(self) -> None:
        """Each command says so, and makes nothing."""
        stamp = made(name="nobody")
        for rest in (("show", "nobody"), ("grant", "nobody", "1"), ("buy", "nobody")):
            more = (stamp,) if rest[0] == "buy" else ()
            self.refused("quota", *rest, *more, says="there is no account nobody")
        self.refused("stamp", "check", "nobody", stamp, says="there is no account")


class Granting(QuotaCase):
    """quota grant."""

    def test_adds(self) -> None:
        """Gifts add up."""
        said = self.done("quota", "grant", "jondoe", "10")
        self.assertIn("15 more recipients; 10 of them", said)
        self.done("quota", "grant", "jondoe", "2")
        self.assertEqual((self.left(), self.left("alice")), (17, 5))

    def test_numbers(self) -> None:
        """What is no number of recipients is an error of usage."""
        for number in ("0", "-1", "x", "1.5", "1000001", "٣", ""):
            self.assertEqual(self.ctl("quota", "grant", "jondoe", number), 2, number)
        self.assertEqual(self.left(), 5)

    def test_too_many(self) -> None:
        """More than anybody may have is refused with what to do."""
        self.done("quota", "grant", "jondoe", "1000000")
        self.refused("quota", "grant", "jondoe", "1", says="grant fewer")


class Buying(QuotaCase):
    """quota buy."""

    def refuses(self, name: str, stamp: str, says: str) -> None:
        """Neither command takes the stamp; both give the reason; nothing changes."""
        before = self.left(name)
        for command in ("stamp", "check"), ("quota", "buy"):
            self.refused(*command, name, stamp, says=says)
        self.assertEqual(self.left(name), before)

    def test_buys_once(self) -> None:
        """A stamp buys what its bits say, and then nothing for anybody."""
        self.assertIn("25 more", self.done("quota", "buy", "jondoe", made()))
        self.refuses("jondoe", made(), "has bought something already")
        self.assertIn("45 more", self.done("quota", "buy", "jondoe", made(9)))

    def test_smaller_is_unspent(self) -> None:
        """A purchase that would lose something is refused, and its stamp stays good."""
        self.done("quota", "buy", "jondoe", made(9))
        self.refuses("jondoe", made(), "does not add up")
        self.refused("quota", "buy", "jondoe", made(), says="the stamp is not spent")
        with closing(sqlite3.connect(self.state / "postman.db")) as connection:
            found = connection.execute("SELECT count(*) FROM stamps").fetchone()
        self.assertEqual(found, (1,))

    def test_reasons(self) -> None:
        """Each fault of a stamp by its name."""
        week = 7 * 86_400
        lying = next(
            text
            for number in range(100)
            if zero_bits(
                (text := f"1:9:261122:quota/jondoe@mail.i2p::s:{number}").encode()
            )
            < 9
        )
        for stamp, name in (
            (made(name="alice"), "wrong-resource"),
            (made(now=NOON - week), "too-old"),
            (made(now=NOON + week), "in-the-future"),
            (made(TOO_FEW), "too-few-bits"),
            (lying, "lying-bits"),
            ("0:261122:quota/jondoe@mail.i2p:x", "wrong-version"),
            ("hello\x1b[2J", "malformed"),
            ("1" * 100_000, "too-long"),
        ):
            self.refuses("jondoe", stamp, f"({name})")

    def test_spaces_around(self) -> None:
        """A stamp that was pasted with its line end is the same stamp."""
        self.done("quota", "buy", "jondoe", f" {made()}\n")
        self.refuses("jondoe", made(), "already")

    def test_while_others_write(self) -> None:
        """A writer that holds the database is waited for; then it is told in words."""
        with closing(sqlite3.connect(self.state / "postman.db")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with mock.patch("postmand.store.database.BUSY_SECONDS", 0.0):
                self.refused("quota", "buy", "jondoe", made(), says="try again")
        self.done("quota", "buy", "jondoe", made())


class Checking(QuotaCase):
    """stamp check."""

    def test_tells_what_it_would_buy(self) -> None:
        """It is not spent by being looked at."""
        for _ in range(2):
            said = self.done("stamp", "check", "jondoe", made(9))
            self.assertIn("a good stamp of 9 bits: it would buy 40 recipients", said)
        self.assertEqual(self.left(), 5)
        self.done("quota", "buy", "jondoe", made(9))


class Minting(QuotaCase):
    """stamp mint."""

    def test_stamp_alone_on_standard_output(self) -> None:
        """A script gets a stamp that buys, and nothing beside it."""
        stamp = self.done("stamp", "mint", "jondoe").removesuffix("\n")
        self.assertEqual(weigh(stamp.encode(), MINE, NOON, 0).bits, 8)
        self.done("quota", "buy", "jondoe", stamp)

    def test_bits(self) -> None:
        """As many as are asked for; the default is the fewest that buy."""
        stamp = self.done("stamp", "mint", "jondoe", "--bits", "11").strip()
        self.assertEqual(weigh(stamp.encode(), MINE, NOON, 0).bits, 11)
        for bits in ("0", "161", "x", "-1", "1.5"):
            self.assertEqual(self.ctl("stamp", "mint", "jondoe", "--bits", bits), 2)

    def test_nothing_for_sale(self) -> None:
        """Where stamps buy nothing there is no default."""
        self.config = evolve(self.config, quota=Quota(stamps={}))
        self.refused("stamp", "mint", "jondoe", says="buy nothing here")
        self.done("stamp", "mint", "jondoe", "--bits", "3")

    def test_domain_of_the_node(self) -> None:
        """The resource has the node's own domain."""
        node = evolve(self.config.node, mail_domain="node.i2p")
        self.config = evolve(self.config, node=node)
        self.assertIn(":quota/bob@node.i2p:", self.done("stamp", "mint", "bob"))

    def test_names(self) -> None:
        """A name that no account can have is told, not minted for."""
        self.refused("stamp", "mint", "a:b", says="a name is made of")
        self.refused("stamp", "mint", "Jondoe", says="a name is made of")

    def test_no_store_needed(self) -> None:
        """A stamp can be made where no node is."""
        node = evolve(self.config.node, state=str(self.base / "other"))
        self.config = evolve(self.config, node=node)
        self.done("stamp", "mint", "jondoe")
        self.assertFalse((self.base / "other").exists())

    def test_bar_on_a_terminal_only(self) -> None:
        """A terminal sees how far it is; the line is gone at the end."""
        with mock.patch.object(stamps, "STRETCHES", 1):
            for terminal in (True, False):
                arguments = "stamp", "mint", "jondoe", "--bits", "15"
                for _ in range(20):
                    self.assertEqual(self.ctl(*arguments, terminal=terminal), 0)
                    if self.err:
                        break
                self.assertEqual(bool(self.err), terminal)
                if terminal:
                    self.assertRegex(self.err, r"\A\r\[[#.]{30}\] +\d+%, .* tries/s")
                    self.assertTrue(self.err.endswith("\r" + " " * 78 + "\r"))


class Bars(SynchronousTestCase):
    """The bar by itself."""

    def setUp(self) -> None:
        """Set up a terminal and a clock."""
        self.err = Answer(terminal=True)
        self.now = 0.0
        terminal = Terminal(io.BytesIO(), io.StringIO(), self.err, lambda what: what)
        self.bar = stamps.Bar(terminal, 20, lambda: self.now)

    def shown(self, tries: int) -> str:
        """Return the line for so many tries."""
        self.err.truncate(self.err.seek(0))
        self.bar.show(tries)
        return self.err.getvalue()

    def test_estimate(self) -> None:
        """How likely it was over, the rate, and what is left by that rate."""
        self.now = 1.0
        line = self.shown(1 << 20)
        self.assertEqual(
            line.rstrip(),
            "\r[##################............]  63%, 1.0 M tries/s, about 1 s to go",
        )
        self.now = 50.0
        self.assertIn("about 100 s to go", self.shown(1 << 19))

    def test_keeps_its_width(self) -> None:
        """However long it takes, the line keeps its width and its rate is finite."""
        for tries in (1, 1 << 20, 1 << 22, 1 << 30):
            for self.now in (0.0, 1.0, 1e6):
                self.assertEqual(len(self.shown(tries)), 79)

    def test_spans(self) -> None:
        """Seconds, minutes, hours."""
        spans = [stamps._span(s) for s in (0.4, 119, 120, 5_000, 7_200, 1e6)]
        self.assertEqual(spans, ["0 s", "119 s", "2 min", "83 min", "2 h", "278 h"])


class Inline:
    """An executor whose calls are done when they are submitted."""

    def __init__(self, processes: int, *context: object, initializer: object) -> None:
        self.processes = processes

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to do."""

    def submit(
        self, run: Callable[..., bytes | None], *arguments: object
    ) -> Future[bytes | None]:
        """Run it."""
        future: Future[bytes | None] = Future()
        future.set_result(run(*arguments))
        return future

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        """Nothing is left to stop."""


class Together(SynchronousTestCase):
    """A search shared out to processes."""

    def test_finds(self) -> None:
        """Each stretch is tried by one of them, until one has found a stamp."""
        begun = challenge(MINE, 16, NOON, Random(SLOW))
        told: list[int] = []
        tried: list[int] = []

        def search(begun: bytes, bits: int, first: int, stretches: int) -> bytes | None:
            tried.append(first)
            return hashcash.search(begun, bits, first, stretches)

        with mock.patch.multiple(
            stamps,
            ProcessPoolExecutor=Inline,
            BITS_FOR_ONE=1,
            STRETCHES=2,
            search=search,
        ):
            stamp = stamps.found(begun, 16, 2, told.append)
        self.assertTrue(stamp.startswith(begun))
        self.assertEqual(weigh(stamp, MINE, NOON, 0).bits, 16)
        self.assertEqual(tried, list(range(0, 2 * len(tried), 2)))
        self.assertTrue(told)
        self.assertEqual(told, sorted(told))
        self.assertLess(told[-1], len(tried) * 2 * hashcash.STRETCH)

    def test_few_bits_need_no_process(self) -> None:
        """To start one takes longer than the search."""
        begun = challenge(MINE, 8, NOON, Random(3))
        with mock.patch.object(stamps, "ProcessPoolExecutor", None):
            stamp = stamps.found(begun, 8, 64, lambda _: None)
        self.assertEqual(weigh(stamp, MINE, NOON, 0).bits, 8)
