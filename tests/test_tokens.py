"""One-time tokens: whose they are, for how long, and that they are good once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from twisted.internet.defer import gatherResults
from twisted.python.failure import Failure

from postmand.interfaces import Credential, StoreBusyError
from postmand.store.opening import open_registry
from postmand.store.recovery import print_code, read_code
from postmand.store.tokens import GOOD_SECONDS, PREFIX, Mint, read_token
from tests.contracts.queue_cases import NODE_KEY, RealQueueCase
from tests.contracts.stores import DAY
from tests.test_quotas import key

pytestmark = pytest.mark.long

DAY_SECONDS = 86_400


class TokenCase(RealQueueCase):
    """Two members, and a clock that a test sets."""

    def setUp(self) -> None:
        """Make the accounts."""
        super().setUp()
        self.mint = Mint(NODE_KEY)
        self.now = self.loop.seconds()
        self.loop.seconds = lambda: self.now  # type: ignore[method-assign]
        self.reopened()
        self.add("jondoe")
        self.add("alice")

    def credential(self, name: str = "jondoe") -> Credential:
        """Return the account as it is now."""
        found: Credential = self.get(self.store.accounts.credential(name))
        return found

    def make(self, name: str = "jondoe") -> bytes:
        """Return a token."""
        return self.mint.make(self.credential(name), self.now).encode()

    def spend(self, token: bytes, name: str = "jondoe") -> str | None:
        """Spend a token; return the name of the account that it opened."""
        assert self.store.tokens is not None
        opened = self.get(self.store.tokens.spend(name, token))
        return None if opened is None else opened.name

    def stamps(self) -> list[Any]:
        """Return the rows of what is spent."""
        with closing(sqlite3.connect(self.state / "postmand.db")) as connection:
            return connection.execute("SELECT tag, expires_day FROM stamps").fetchall()


class WrittenTest(TokenCase):
    """How a token looks."""

    def test_shape(self) -> None:
        """It has a name of its own, fits on a line of IRC, and no two are the same."""
        tokens = {self.make() for _ in range(20)}
        self.assertEqual(len(tokens), 20)
        for token in tokens:
            self.assertRegex(token, rb"\Abiff-[0-9A-Z]{5}(-[0-9A-Z]{5}){7}\Z")

    def test_written_otherwise(self) -> None:
        """In small letters, and with an O for a zero, it is the same, and good once."""
        token = self.make()
        other = PREFIX.encode() + token[5:].replace(b"0", b"o").lower()
        self.assertEqual(self.spend(other), "jondoe")
        self.assertIsNone(self.spend(token))

    def test_what_is_none(self) -> None:
        """Passwords and hostile octets are read as no token, and nothing is raised."""
        token = self.make()
        for text in (
            b"",
            b"biff-",
            b"correct horse",
            token[:-1],
            token + b"A",
            token.removeprefix(b"biff-"),
            token[:-1] + (b"1" if token[-1:] != b"1" else b"2"),
            b"\xff" + token,
            token + b"\xc3",
            b"biff-" + b"A" * 100_000,
            b"biff-" + "é".encode() * 20,
        ):
            self.assertIsNone(read_token(text), text[:60])
            self.assertIsNone(self.spend(text))
        self.assertEqual(self.stamps(), [])

    def test_nothing_is_shown(self) -> None:
        """A token that was read is in no repr."""
        token = self.make()
        read = read_token(token)
        assert read is not None
        self.assertNotIn(repr(read.octets)[2:-1], repr(read))


class SpendingTest(TokenCase):
    """Whose it is, and once."""

    def test_once(self) -> None:
        """It opens its account the first time, and nothing afterwards."""
        token = self.make()
        self.assertEqual(self.spend(token), "jondoe")
        self.assertIsNone(self.spend(token))
        self.reopened()
        self.assertIsNone(self.spend(token))

    def test_making_stores_nothing(self) -> None:
        """And spending stores a hash and a day alone."""
        token = self.make()
        self.assertEqual(self.stamps(), [])
        self.spend(token)
        ((tag, day),) = self.stamps()
        read = read_token(token)
        assert read is not None
        self.assertNotIn(tag, read.octets)
        self.assertEqual(day, DAY + 1)

    def test_another_does_not_end_it(self) -> None:
        """Who has shown one to others is told to use it up, not to make another."""
        first = self.make()
        self.assertEqual(self.spend(self.make()), "jondoe")
        self.assertEqual(self.spend(first), "jondoe")

    def test_two_at_once(self) -> None:
        """Of eight who bring it at one moment one gets in."""
        token, tokens = self.make(), self.store.tokens
        assert tokens is not None
        racing = [tokens.spend("jondoe", token) for _ in range(8)]
        opened = [one for one in self.get(gatherResults(racing)) if one is not None]
        self.assertEqual([one.name for one in opened], ["jondoe"])

    def test_anothers(self) -> None:
        """It opens no other account, and is not spent by the try."""
        token = self.make()
        self.assertIsNone(self.spend(token, "alice"))
        self.assertIsNone(self.spend(token, "nobody"))
        self.assertIsNone(self.spend(token, ""))
        self.assertEqual(self.spend(token), "jondoe")

    def test_another_nodes(self) -> None:
        """Without this node's key none can be made."""
        foreign = Mint(key(b"x")).make(self.credential(), self.now)
        self.assertIsNone(self.spend(foreign.encode()))

    def test_every_bit_counts(self) -> None:
        """Changed in any one bit, with check letters put right, it is worth nothing."""
        octets = read_code(self.make().decode().removeprefix(PREFIX))
        for bit in range(len(octets) * 8):
            number = int.from_bytes(octets, "big") ^ 1 << bit
            changed = PREFIX + print_code(number.to_bytes(len(octets), "big"))
            read = read_token(changed.encode())
            assert read is not None
            self.assertFalse(self.mint.is_good(read, self.credential(), self.now), bit)


class EndingTest(TokenCase):
    """What ends a token before it is used."""

    def test_ten_minutes(self) -> None:
        """It is good for that long to the second, and for no minute more."""
        for later, good in (
            (GOOD_SECONDS - 0.5, True),
            (GOOD_SECONDS + 60, False),
            (DAY_SECONDS, False),
        ):
            token, made = self.make(), self.now
            self.now = made + later
            self.assertEqual(self.spend(token), "jondoe" if good else None, later)
            self.now = made

    def test_a_clock_set_back(self) -> None:
        """It does not live longer for that."""
        token = self.make()
        self.now -= 3_600
        self.assertIsNone(self.spend(token))

    def test_over_midnight(self) -> None:
        """What is spent is remembered for longer than the token is good."""
        self.now = (DAY + 1) * DAY_SECONDS - 30.0
        token = self.make()
        self.spend(token)
        self.now += 60
        self.get(self.store.forget())
        self.assertIsNone(self.spend(token))
        ((_, day),) = self.stamps()
        self.assertEqual(day, DAY + 2)
        self.now += 2 * DAY_SECONDS
        self.get(self.store.forget())
        self.assertEqual(self.stamps(), [])

    def test_a_new_password(self) -> None:
        """Tokens made before it are worth nothing."""
        token = self.make()
        self.operator().set_password("jondoe", b"another one")
        self.assertIsNone(self.spend(token))
        self.assertEqual(self.spend(self.make()), "jondoe")

    def test_disabled(self) -> None:
        """Neither while it is closed nor once it is open again."""
        token = self.make()
        self.operator().disable("jondoe")
        closed = self.make()
        for one in (token, closed):
            self.assertIsNone(self.spend(one))
        self.operator().enable("jondoe")
        for one in (token, closed):
            self.assertIsNone(self.spend(one))

    def test_removed_and_made_again(self) -> None:
        """An account of the same name is another."""
        token = self.make()
        self.operator().remove("jondoe")
        self.assertIsNone(self.spend(token))
        self.add("jondoe")
        self.assertIsNone(self.spend(token))

    def test_changed_after_the_first_look(self) -> None:
        """Whoever spends it looks again: another hand may have been quicker."""
        token, tokens = self.make(), self.store.tokens
        assert tokens is not None
        asked = self.store.accounts.credential("jondoe")
        self.get(asked)
        registry = open_registry(self.url, self.state, self.settings)
        submit = self.store._writer.submit

        def late(job: Any) -> Any:
            registry.disable("jondoe")
            return submit(job)

        self.patch(self.store._writer, "submit", late)
        self.assertIsNone(self.get(tokens.spend("jondoe", token)))
        self.assertEqual(self.stamps(), [])

    def test_a_busy_store_spends_nothing(self) -> None:
        """It is told by name, and the token is good later."""
        token, tokens = self.make(), self.store.tokens
        assert tokens is not None
        submit = self.store._writer.submit

        def full(job: Any) -> Any:
            raise StoreBusyError("SQLITE_FULL")

        self.patch(self.store._writer, "submit", full)
        ended = self.get(tokens.spend("jondoe", token).addErrback(_its_error))
        self.assertIsInstance(ended, StoreBusyError)
        self.patch(self.store._writer, "submit", submit)
        self.assertEqual(self.spend(token), "jondoe")


def _its_error(failure: Failure) -> BaseException | None:
    return failure.value
