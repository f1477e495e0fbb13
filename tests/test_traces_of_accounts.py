"""What a removed account, or an old password, leaves in the files: nothing."""

from __future__ import annotations

import pytest

from tests.contracts.stores import MailboxCase

pytestmark = pytest.mark.long


class TracesTest(MailboxCase):
    """The database's octets after changes and an orderly stop."""

    def keys(self) -> list[bytes]:
        """Return all wrapped keys as the rows have them."""
        rows = self.query("SELECT wrapped_key, recovery_wrapped_key FROM accounts")
        return [key for row in rows for key in row]

    def left(self, keys: list[bytes]) -> int:
        """Close the store and count those of the keys that stand in its files."""
        self.store.close()
        files = [path for path in self.state.rglob("*") if path.is_file()]
        kept = b"".join(path.read_bytes() for path in files)
        return sum(key in kept for key in keys)

    def test_removed(self) -> None:
        """The keys of removed accounts are overwritten, not left in free pages."""
        names = [f"member{number}" for number in range(40)]
        for name in names:
            self.store.registry.add(name, b"secret", day=20_000)
        keys = self.keys()
        for name in names:
            self.store.registry.remove(name)
        self.assertEqual(self.left(keys), 4)  # of jondoe and alice

    def test_changed(self) -> None:
        """After passwd the key under the old password is gone."""
        before = self.keys()
        self.store.registry.set_password("jondoe", b"secret", b"another")
        self.assertEqual(self.left(before), len(before) - 1)
