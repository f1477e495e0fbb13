"""Room for large messages: bounded, in turn, given back whatever happens."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.queue.room import Room


class RoomTest(SynchronousTestCase):
    """What is asked of a room of 100."""

    def setUp(self) -> None:
        """Nobody is inside."""
        self.room = Room(100)
        self.inside: list[str] = []

    def enter(self, name: str, octets: int) -> tuple[Deferred[None], Deferred[None]]:
        """Ask for room; return what lets the holder go, and when it has gone."""
        leave: Deferred[None] = Deferred()

        async def hold() -> None:
            async with self.room.of(octets):
                self.inside.append(name)
                await leave
                self.inside.remove(name)

        return leave, Deferred.fromCoroutine(hold())

    def test_in_turn(self) -> None:
        """A small one does not overtake a large one that waits."""
        first, _ = self.enter("first", 60)
        self.enter("large", 60)
        self.enter("small", 10)
        self.assertEqual(self.inside, ["first"])
        first.callback(None)
        self.assertEqual(self.inside, ["large", "small"])

    def test_over_all(self) -> None:
        """What is larger than the room waits until it is alone, and then has it all."""
        small, _ = self.enter("small", 1)
        huge, _ = self.enter("huge", 1_000)
        self.enter("next", 1)
        self.assertEqual(self.inside, ["small"])
        small.callback(None)
        self.assertEqual(self.inside, ["huge"])
        huge.callback(None)
        self.assertEqual(self.inside, ["next"])

    def test_given_back_after_a_fault(self) -> None:
        """A holder that fails keeps nothing."""
        leave, gone = self.enter("first", 100)
        self.enter("second", 100)
        leave.errback(RuntimeError())
        self.failureResultOf(gone, RuntimeError)
        self.assertIn("second", self.inside)
