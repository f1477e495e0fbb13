"""Sealed files: modes, times, syncs, orphans."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from postmand.store import bodies as bodies_module
from postmand.store.bodies import Bodies
from postmand.store.database import StoreInUseError


class BodiesTests(SynchronousTestCase):
    """The directory of long bodies."""

    def setUp(self):
        """An empty directory."""
        self.state = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.state)
        self.directory = self.state / "bodies"
        self.bodies = Bodies(self.directory)
        self.bodies.make()

    def test_written_is_read(self):
        """The pieces come back joined."""
        name = self.bodies.write([b"one", b"", b"two"])
        with self.bodies.open(name) as file:
            self.assertEqual(file.read(), b"onetwo")

    def test_nobody_else_may_look(self):
        """Directory 0700 and file 0600, whatever the umask."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.directory.rmdir()
        self.bodies.make()
        name = self.bodies.write([b"x"])
        modes = [
            stat.S_IMODE(path.stat().st_mode)
            for path in (self.directory, self.directory / name)
        ]
        self.assertEqual(modes, [0o700, 0o600])

    def test_open_directory_is_closed_off(self):
        """A directory that others could read is not left so."""
        self.directory.chmod(0o755)
        self.bodies.make()
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)

    def test_files_carry_no_time(self):
        """Neither arrival nor reading shows in a file's times."""
        name = self.bodies.write([b"x" * 100_000])
        with self.bodies.open(name) as file:
            file.read()
        told = (self.directory / name).stat()
        self.assertEqual((told.st_mtime_ns, told.st_atime_ns), (0, 0))

    def test_names_are_random(self):
        """Names are 32 hexadecimal digits, and no two are alike."""
        names = {self.bodies.write([b"x"]) for _ in range(20)}
        self.assertEqual(len(names), 20)
        for name in names:
            self.assertRegex(name, r"\A[0-9a-f]{32}\Z")

    def test_octets_are_synced_before_the_name_is_told(self):
        """Fsync comes after the last octet, and before write() returns."""
        sizes = []
        with mock.patch.object(
            bodies_module.os, "fsync", lambda fd: sizes.append(os.fstat(fd).st_size)
        ):
            self.bodies.write([b"x" * 70_000, b"y"])
        self.assertEqual(sizes, [70_001])

    def test_a_disk_that_takes_little_at_once(self):
        """What a call did not write the next ones do, and nothing twice."""
        write, writev = os.write, os.writev
        pieces = [bytes([number]) * 70_000 for number in range(40)]
        with (
            mock.patch.object(
                bodies_module.os, "writev", lambda fd, some: writev(fd, [some[0][:9]])
            ),
            mock.patch.object(
                bodies_module.os, "write", lambda fd, some: write(fd, some[:50_001])
            ),
        ):
            name = self.bodies.write(pieces)
        self.assertEqual((self.directory / name).read_bytes(), b"".join(pieces))

    def test_many_small_pieces(self):
        """More pieces than one call takes are written all the same."""
        name = self.bodies.write([b"x"] * 3_000)
        self.assertEqual((self.directory / name).stat().st_size, 3_000)

    def test_failing_disk_leaves_no_file(self):
        """An error in writing, or in fsync, is raised and nothing stays."""

        def pieces():
            yield b"one"
            raise OSError(28, "No space left on device")

        with self.assertRaises(OSError):
            self.bodies.write(pieces())
        with (
            mock.patch.object(bodies_module.os, "fsync", side_effect=OSError(5, "EIO")),
            self.assertRaises(OSError),
        ):
            self.bodies.write([b"x"])
        self.assertEqual(self.bodies.names(), set())

    def test_removing_what_is_gone(self):
        """A name that is gone already does not keep the others."""
        one, two = self.bodies.write([b"1"]), self.bodies.write([b"2"])
        self.bodies.remove(["0" * 32, one])
        self.assertEqual(self.bodies.names(), {two})
        with self.assertRaises(FileNotFoundError):
            self.bodies.open(one)

    def test_open_file_outlives_its_name(self):
        """Who reads a body while it is removed reads it to the end."""
        name = self.bodies.write([b"x" * 300_000])
        with self.bodies.open(name) as file:
            self.bodies.remove([name])
            self.assertEqual(len(file.read()), 300_000)

    def test_sweep(self):
        """What no row names goes, and nothing else."""
        kept = self.bodies.write([b"kept"])
        for _ in range(3):
            self.bodies.write([b"orphan"])
        self.assertEqual(self.bodies.sweep({kept, "0" * 32}), 3)
        self.assertEqual(self.bodies.names(), {kept})

    def test_one_node_at_a_time(self):
        """A second one is refused while the first holds the directory."""
        with self.bodies.lock(), self.assertRaises(StoreInUseError), self.bodies.lock():
            self.fail("two held one directory")
        with self.bodies.lock():
            pass
