"""Mail on its way out: what is closed, and what the member is told."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import Outgoing, Recipient, StoreBusyError
from postmand.internet import Held, HeldBackError, Leg, Reply
from postmand.message.border import Border
from postmand.postoffice.release import Release, ReleaseSettings
from postmand.queue.clock import QueueClock
from postmand.rules.retry import EXPIRED, UNANSWERED
from tests.contracts.memory import MemoryStore
from tests.contracts.memory_queue import MemoryQueue

NOW = 1_795_262_400
SETTINGS = ReleaseSettings(b"smtp.postman.i2p", Border(b"mail.i2p", b"i2pmail.org"), 60)
REFUSED = Reply(550, "5.1.1", "no such user here")
A, B, C = b"a@example.org", b"b@example.org", b"c@example.org"
LEG = Leg(7, "jondoe", b"", b"example.org", (A, B, C), b"Subject: x\r\n\r\n", NOW)


class Body:
    """A body in one piece; it notes that it was closed."""

    def __init__(self, piece: bytes) -> None:
        self.pieces = [piece, b""]
        self.closed = False

    def next(self) -> Deferred[bytes]:
        """Return the next piece."""
        return succeed(self.pieces.pop(0))

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Queue:
    """A queue of one message."""

    def __init__(self) -> None:
        self.body = Body(b"x\r\n")
        self.legs: list[Leg] = []

    def open(self, item: int) -> Deferred[Held]:
        """Open it."""
        fields = ((b"Subject", b"x"),)
        return succeed(
            Held(item, 7, "jondoe", (A, B), fields, b"<i@mail.i2p>", 3, self.body)
        )

    def release(self, _item: int, legs: list[Leg], _now: int) -> Deferred[None]:
        """Note the legs."""
        self.legs = legs
        return succeed(None)


class Accounts:
    """A register of one account."""

    def recipient(self, name: str) -> Deferred[Recipient]:
        """Return it."""
        return succeed(Recipient(7, name, b"", 0))

    def credential(self, name: str) -> Deferred[None]:
        """Its account was removed since."""
        return succeed(None)


class Signer:
    """Signs, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def sign_hashed(self, _header: bytes, _body: Any) -> bytes:
        """Sign."""
        if self.error is not None:
            raise self.error
        return b"DKIM-Signature: x\r\n"


def in_thread(function: Any, *arguments: Any) -> Deferred[Any]:
    """Call it here."""
    try:
        return succeed(function(*arguments))
    except ValueError as error:
        return fail(error)


def making(queue: Any, accounts: Any, signer: Any = None) -> Release:
    """Return what releases."""
    clock = Clock()
    clock.advance(NOW)
    return Release(
        SETTINGS,
        queue,
        accounts,
        signer,
        seconds=clock.seconds,
        clock=QueueClock(clock.seconds, clock.seconds),
        random=random.Random(1),
        in_thread=in_thread,
    )


class ReleaseTest(SynchronousTestCase):
    """One message, released and reported on."""

    def setUp(self) -> None:
        """Make the queue."""
        self.queue = Queue()

    def making(self, signer: Any) -> Release:
        """Return what releases."""
        return making(self.queue, Accounts(), signer)

    def test_body_is_closed(self) -> None:
        """Signed, unsigned or when it goes wrong: no file stays open."""
        for signer, wrong in (
            (None, False),
            (Signer(), False),
            (Signer(ValueError()), True),
        ):
            self.queue = Queue()
            done = Deferred.fromCoroutine(self.making(signer).release(1))
            if wrong:
                self.failureResultOf(done, ValueError)
            else:
                self.successResultOf(done)
            self.assertTrue(self.queue.body.closed)
            self.assertEqual(len(self.queue.legs), 0 if wrong else 1)

    def test_whose_words(self) -> None:
        """What we say of a time that is over is not given as the far end's words."""
        said = Reply(EXPIRED.code, EXPIRED.enhanced, EXPIRED.text)
        told = Deferred.fromCoroutine(self.making(None).bounce(LEG, {A: said}))
        letter = b"".join(self.successResultOf(told).body).decode()
        self.assertIn("It said what follows", letter.replace("\r\n", " "))
        self.assertNotIn("No way", letter)
        failed = {A: REFUSED, B: EXPIRED, C: UNANSWERED}
        told = Deferred.fromCoroutine(self.making(None).bounce(LEG, failed))
        letter = b"".join(self.successResultOf(told).body).decode()
        self.assertEqual(letter.count("It said what follows"), 1)
        self.assertEqual(letter.count("Diagnostic-Code: "), 1)
        self.assertIn("no such user here", letter)
        self.assertEqual(letter.count("No way to the other side was found"), 2)
        self.assertEqual(letter.count("Once the connection broke"), 1)


class DisabledTests(SynchronousTestCase):
    """An account is closed while its mail waits."""

    def setUp(self) -> None:
        """A message of hers waits; the register is a real fake."""
        self.store = MemoryStore()
        self.member = self.store.add("jondoe", b"secret")
        self.queue = MemoryQueue(self.store._kept)
        self.making = making(self.queue, self.store.accounts)
        self.item = self.handed_in(self.member.account)

    def handed_in(self, account: int, *, pooled: bool = False) -> int:
        """Put a message in; return its item."""
        known = set(self.queue.items)
        self.queue.put(
            Outgoing(
                account=account,
                name="jondoe",
                recipients=(A,),
                fields=((b"Subject", b"x"),),
                message_id=b"<i@mail.i2p>",
                body=(b"x\r\n",),
                due=NOW,
                pooled=pooled,
            )
        )
        (item,) = set(self.queue.items) - known
        return item

    def released(self, item: int) -> Deferred[None]:
        """Release it."""
        return Deferred.fromCoroutine(self.making.release(item))

    def legs(self) -> int:
        """Return how many legs are due."""
        return len(self.successResultOf(self.queue.legs_due(NOW, 10)))

    def test_held_back(self) -> None:
        """Nothing of it leaves, nothing of it is lost, and its body is closed."""
        self.store.disable("jondoe")
        for item in (self.item, self.handed_in(self.member.account, pooled=True)):
            self.failureResultOf(self.released(item), HeldBackError)
            self.assertTrue(self.queue.items[item].held)
        self.assertEqual((self.legs(), len(self.queue.items)), (0, 2))
        self.assertTrue(all(body.closed for body in self.queue.given))
        self.store.enable("jondoe")
        self.failureResultOf(self.released(self.item), LookupError)

    def test_let_go_by_the_operator(self) -> None:
        """What they let go leaves, held before or not, and is not held once more."""
        self.store.disable("jondoe")
        self.failureResultOf(self.released(self.item), HeldBackError)
        self.queue.let_go(self.item)
        self.successResultOf(self.released(self.item))
        self.assertEqual(self.legs(), 1)

    def test_legs_go_on(self) -> None:
        """What was released before is with the courier: it is not called back."""
        self.successResultOf(self.released(self.item))
        self.store.disable("jondoe")
        self.assertEqual(self.legs(), 1)

    def test_removed(self) -> None:
        """Mail of an account that is gone leaves, whoever has its name now."""
        self.store.remove("jondoe")
        self.successResultOf(self.released(self.item))
        other = self.handed_in(self.member.account)
        self.store.add("jondoe", b"another")
        self.store.disable("jondoe")
        self.successResultOf(self.released(other))
        self.assertEqual(self.legs(), 2)

    def test_nobody_can_tell(self) -> None:
        """The store does not say whose it is: it waits as it did."""
        busy: Any = Accounts()
        busy.credential = lambda _: fail(StoreBusyError())
        done = Deferred.fromCoroutine(making(self.queue, busy).release(self.item))
        self.failureResultOf(done, StoreBusyError)
        self.assertEqual(self.successResultOf(self.queue.due(NOW, 10)), [self.item])
        self.assertTrue(all(body.closed for body in self.queue.given))
