"""A message on its way in: bounded memory, a sealed file without a name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.queue.spool import PIECE, Memory, Spool
from tests.sessions import Work


class SpoolTest(SynchronousTestCase):
    """Writing, flushing, reading, closing."""

    def setUp(self) -> None:
        """Give each test a directory, some memory and threads that can be held."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.memory = Memory(1_000_000)
        self.work = Work()

    def spool(self, keep: int = 10_000) -> Spool:
        """Return a spool that keeps so much in memory."""
        return Spool(self.memory, keep, self.directory, self.work)

    def fill(self, spool: Spool, pieces: list[bytes]) -> None:
        """Write the pieces, flushing where it is asked for."""
        for piece in pieces:
            if spool.write(piece):
                self.successResultOf(Deferred.fromCoroutine(spool.flush()))

    def test_small(self) -> None:
        """A small message stays in memory, which is counted and given back."""
        spool = self.spool()
        self.fill(spool, [b"a" * 4_000, b"b" * 6_000])
        self.assertFalse(spool.on_disk)
        self.assertEqual(self.memory._free, 990_000)
        self.assertEqual(spool.read(), b"a" * 4_000 + b"b" * 6_000)
        self.assertEqual(spool.size, 10_000)
        spool.close()
        spool.close()
        self.assertEqual(self.memory._free, 1_000_000)

    def test_large(self) -> None:
        """A large one goes to the disk and comes back the same."""
        spool = self.spool()
        pieces = [os.urandom(50_000) for _ in range(20)]
        self.fill(spool, pieces)
        self.assertTrue(spool.on_disk)
        self.assertEqual(spool.read(), b"".join(pieces))
        self.assertEqual(spool.read(), b"".join(pieces))
        spool.close()
        self.assertFalse(spool.on_disk)
        self.assertEqual(self.memory._free, 1_000_000)

    def test_memory_is_bounded(self) -> None:
        """Whatever a message's size, about a piece of it is held at once."""
        spool = self.spool()
        for _ in range(100):
            self.fill(spool, [b"x" * 30_000])
            self.assertGreater(self.memory._free, 1_000_000 - PIECE - 60_000)
            held = sum(map(len, spool._pieces))
            self.assertLess(held, PIECE + 60_000)
        spool.close()

    def test_pieces_are_gathered(self) -> None:
        """Small chunks are gathered before they are sealed: few calls of threads."""
        spool = self.spool()
        self.fill(spool, [b"x" * 1_000] * 1_000)
        self.assertLess(self.work.calls, 10)
        self.assertEqual(spool.read(), b"x" * 1_000_000)
        spool.close()

    def test_tiny_pieces(self) -> None:
        """An octet at a time costs no more memory than the message."""
        spool = self.spool()
        self.fill(spool, [b"ab"] * 5_000)
        self.assertLess(len(spool._pieces), 5_000)
        self.assertEqual(spool.read(), b"ab" * 5_000)

    def test_no_memory(self) -> None:
        """Where the memory of all is spent, even a small message goes to the disk."""
        self.memory.take(1_000_000)
        spool = self.spool()
        self.assertTrue(spool.write(b"small"))
        self.successResultOf(Deferred.fromCoroutine(spool.flush()))
        self.assertTrue(spool.on_disk)
        self.assertEqual(spool.read(), b"small")
        spool.close()
        self.assertEqual(self.memory._free, 0)

    def test_sealed_without_a_name(self) -> None:
        """The file has no name, and no octet of the message stands in it."""
        spool = self.spool(keep=0)
        secret = b"a very secret line of text\r\n" * 20_000
        self.fill(spool, [secret])
        self.successResultOf(Deferred.fromCoroutine(spool.flush()))
        self.assertEqual(list(self.directory.iterdir()), [])
        sealed = spool._file
        assert sealed is not None
        data = os.pread(sealed._file.fileno(), 10**7, 0)
        self.assertGreater(len(data), len(secret))
        for window in range(40):
            self.assertNotIn(secret[window : window + 12], data)
        spool.close()

    def test_keys_differ(self) -> None:
        """The same message twice is not the same file."""
        found = []
        for _ in range(2):
            spool = self.spool(keep=0)
            self.fill(spool, [b"x" * PIECE])
            assert spool._file is not None
            found.append(os.pread(spool._file._file.fileno(), 10**6, 0))
            spool.close()
        self.assertNotEqual(found[0], found[1])

    def test_closed_while_it_is_written(self) -> None:
        """A spool closed during a flush lets its file and memory go after it."""
        spool = self.spool()
        spool.write(b"x" * (PIECE + 1))
        self.work.held = True
        flushed = Deferred.fromCoroutine(spool.flush())
        spool.close()
        self.assertNoResult(flushed)
        self.work.release()
        self.successResultOf(flushed)
        self.assertFalse(spool.on_disk)
        self.assertEqual(self.memory._free, 1_000_000)

    def test_disk_fails(self) -> None:
        """A flush that fails says so, and its memory is given back."""
        spool = self.spool()
        spool.write(b"x" * (PIECE + 1))
        self.work.fails = OSError(28, "No space left on device")
        self.failureResultOf(Deferred.fromCoroutine(spool.flush()), OSError)
        spool.close()
        self.assertEqual(self.memory._free, 1_000_000)

    def test_directory_is_gone(self) -> None:
        """A file that can not be made is an OSError, not a crash."""
        self.directory.rmdir()
        spool = self.spool(keep=0)
        spool.write(b"x" * (PIECE + 1))
        self.failureResultOf(Deferred.fromCoroutine(spool.flush()), OSError)
        spool.close()

    def test_memory(self) -> None:
        """Room is taken and given; there is never less than none."""
        memory = Memory(10)
        self.assertTrue(memory.take(10))
        self.assertFalse(memory.take(1))
        memory.give(4)
        self.assertTrue(memory.take(4))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=40), st.integers(0, 2_000))
def test_any_pieces(pieces: list[bytes], keep: int) -> None:
    """Whatever is written in whatever pieces is what is read, and memory balances."""
    memory = Memory(1_500)
    spool = Spool(memory, keep, Path(tempfile.gettempdir()), Work())
    for piece in pieces:
        if spool.write(piece):
            Deferred.fromCoroutine(spool.flush())
    assert spool.read() == b"".join(pieces)
    assert spool.size == sum(map(len, pieces))
    spool.close()
    assert memory._free == 1_500
