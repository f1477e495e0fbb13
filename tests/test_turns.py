"""Whose turn it is, where networks share what is done at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.servers.turns import Turns, in_turn

pytestmark = pytest.mark.long

ONE, SAME, OTHER, THIRD = "192.0.2.1", "192.0.2.9", "198.51.100.1", "203.0.113.1"


class TurnsTests(SynchronousTestCase):
    """Places, and who waits for them."""

    def setUp(self) -> None:
        """Note whose turn it was, in order."""
        self.had: list[str] = []

    def take(self, turns: Turns, *peers: str) -> list[Deferred[None]]:
        """Take a turn for each."""
        taken = [turns.take(peer) for peer in peers]
        for turn, peer in zip(taken, peers, strict=True):
            turn.addCallback(lambda _, peer=peer: self.had.append(peer))
        return taken

    def test_share_of_a_network(self) -> None:
        """Who has its share waits, whatever its address; another does not."""
        turns = Turns(10, 2)
        self.take(turns, ONE, SAME, ONE, OTHER)
        self.assertEqual(self.had, [ONE, SAME, OTHER])
        turns.give(SAME)
        self.assertEqual(self.had, [ONE, SAME, OTHER, ONE])

    def test_no_crowd_comes_first(self) -> None:
        """Of those who wait it is the turn of whose network has least."""
        turns = Turns(3, 2)
        self.take(turns, ONE, SAME, THIRD, ONE, ONE, THIRD, OTHER)
        for peer in (ONE, THIRD, OTHER):
            turns.give(peer)
        self.assertEqual(self.had, [ONE, SAME, THIRD, OTHER, THIRD, ONE])

    def test_cancelled(self) -> None:
        """Who waits no more is passed over."""
        turns = Turns(1, 1)
        _, gone, _ = self.take(turns, ONE, ONE, OTHER)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        turns.give(ONE)
        self.assertEqual(self.had, [ONE, OTHER])

    def test_given_back_at_once(self) -> None:
        """Thousands that wait, and give theirs back at once, are no deep recursion."""
        turns = Turns(1, 1)
        turns.take(ONE)
        for _ in range(5_000):
            turns.take(ONE).addCallback(lambda _: turns.give(ONE))
        turns.give(ONE)
        self.take(turns, ONE)
        self.assertEqual(self.had, [ONE])

    def test_nobody_is_remembered(self) -> None:
        """With the last turn of a network nothing of it is known any more."""
        turns = Turns(1, 1)
        self.take(turns, ONE, OTHER)
        turns.give(ONE)
        turns.give(OTHER)
        self.assertEqual((dict(turns._taken), turns._waiting), ({}, {}))


class InTurnTests(SynchronousTestCase):
    """Work in threads."""

    def test_ends_with_the_work(self) -> None:
        """Who stops waiting for its work has no other turn before that has ended."""
        turns = Turns(1, 1)
        begun: list[Callable[[], Any]] = []

        class _Reactor:
            def callFromThread(self, call: Any, *arguments: Any) -> None:
                call(*arguments)

        def threads(work: Callable[[], Any]) -> Deferred[Any]:
            begun.append(work)
            return Deferred()

        def work() -> Deferred[Any]:
            return Deferred.fromCoroutine(
                in_turn(turns, ONE, threads, _Reactor(), lambda: 1)
            )

        first, second = work(), work()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(begun), 1)
        self.assertEqual(begun[0](), 1)
        self.assertEqual(len(begun), 2)
        second.cancel()
        self.failureResultOf(second, CancelledError)
