"""A message on its way in: judged at its end, and only there."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Limits
from postmand.queue.spool import Memory, Spool
from postmand.rules.verdict import Verdict
from postmand.servers.intake import TOO_LARGE, Intake
from tests.sessions import Work


class IntakeTest(SynchronousTestCase):
    """One DATA."""

    def setUp(self) -> None:
        """Give each test threads that can fail."""
        self.work = Work()

    def intake(self, most: int = 10_000, keep: int = 100_000, **limits: int) -> Intake:
        """Return an intake with limits."""
        spool = Spool(Memory(10**7), keep, Path(self.mktemp()).parent, self.work)
        self.addCleanup(spool.close)
        return Intake(spool, most, evolve(Limits(), **limits))

    def verdict(self, intake: Intake, text: bytes) -> Verdict | None:
        """Return what is thought of a message, taken whole."""
        rest, _ = intake.take(text + b"\r\n.\r\nNOOP\r\n")
        self.assertEqual(rest, b"NOOP\r\n")
        return intake.verdict(bare_lf_is_refused=True)

    def test_sound(self) -> None:
        """A sound message is spooled as it was meant."""
        intake = self.intake()
        self.assertIsNone(self.verdict(intake, b"a\r\n..b"))
        self.assertEqual(intake.spool.read(), b"a\r\n.b\r\n")

    def test_refusals(self) -> None:
        """Each fault has its named reason and code."""
        for text, reason in (
            (b"a\0b", "nul"),
            (b"a\rb", "bare-cr"),
            (b"a\nb", "bare-lf"),
            (b"x" * 2_000, "long-line"),
            (b"xxx\r\n" * 3_000, "too-large"),
        ):
            verdict = self.verdict(self.intake(body_line_bytes=998), text)
            assert verdict is not None
            self.assertEqual(verdict.reason, reason)
            self.assertEqual(verdict.code, 552 if reason == "too-large" else 554)

    def test_the_size_is_the_first_reason(self) -> None:
        """Of a message that is too large nothing else is said."""
        intake = self.intake(most=100)
        self.assertEqual(self.verdict(intake, b"a\0b\r" * 100), TOO_LARGE)

    def test_nothing_is_kept_after_a_fault(self) -> None:
        """After a fault no more is spooled, and the end is found all the same."""
        intake = self.intake(most=10**6)
        intake.take(b"\0bad\r\n")
        intake.take(b"x" * 100_000)
        self.assertLess(intake.spool.size, 100)
        self.assertIsNotNone(intake.take(b"\r\n.\r\n")[0])

    def test_endless(self) -> None:
        """Twice the limit without an end is endless; once is not."""
        intake = self.intake(most=1_000)
        intake.take(b"x" * 1_900)
        self.assertFalse(intake.endless)
        intake.take(b"x" * 200)
        self.assertTrue(intake.endless)

    def test_rate(self) -> None:
        """Moving means: the smallest rate since it was asked last."""
        intake = self.intake(body_bytes_per_second=10, body_seconds=60)
        intake.take(b"x" * 600)
        self.assertTrue(intake.still_moving())
        intake.take(b"x" * 599)
        self.assertFalse(intake.still_moving())
        self.assertFalse(intake.still_moving())

    def test_no_smallest_rate(self) -> None:
        """With a rate of 0 any octet moves it, but silence does not."""
        intake = self.intake(body_bytes_per_second=0)
        intake.take(b"x")
        self.assertTrue(intake.still_moving())
        self.assertFalse(intake.still_moving())

    def test_disk_fails(self) -> None:
        """A disk that fails is for now: 452 at the end, whatever came between."""
        intake = self.intake(most=10**7, keep=4_096)
        self.work.fails = OSError(28, "No space left on device")
        flushes = 0
        for _ in range(20):
            _, first = intake.take(b"x" * 60_000 + b"\r\n")
            if first is not None:
                flushes += 1
                self.successResultOf(Deferred.fromCoroutine(first))
        self.assertEqual(flushes, 1)
        self.work.fails = None
        verdict = self.verdict(intake, b"x")
        assert verdict is not None
        self.assertEqual((verdict.code, verdict.enhanced), (452, "4.3.1"))
