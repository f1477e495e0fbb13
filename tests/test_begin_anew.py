"""What operating.rst has an operator do who has lost the node's key."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from postmand.store.nodekey import NodeKey, NodeKeyError
from postmand.store.nodekeys import NodeKeys, has_key
from tests.contracts.queue_cases import NODE_KEY, QueueCase
from tests.contracts.queues import a_message

OPERATING = Path(__file__).parents[1] / "docs" / "operating.rst"
OTHER = NodeKey.from_master(bytes(32))


class BeginAnewTests(QueueCase):
    """A store whose key is gone."""

    def told(self) -> str:
        """Return the program of the page."""
        indented = re.search(
            r"<<'END'\n(.*?)\n  END\n", OPERATING.read_text(), re.DOTALL
        )
        assert indented
        return "\n".join(line[2:] for line in indented[1].splitlines())

    @pytest.mark.long
    def test_as_told(self) -> None:
        """What the old key sealed is gone; all else is there, under a new one."""
        path = self.state / "postmand.db"
        self.add("jondoe")
        keys = NodeKeys(NODE_KEY, create_engine(f"sqlite:///{path}"))
        keys.verify()
        keys.put("dkim", b"secret")
        self.put(a_message())
        self.put(a_message(body=(b"one\r\n" * 40_000,)))
        self.assertEqual(len(self.files()), 1)
        self.store.close()
        other = NodeKeys(OTHER, create_engine(f"sqlite:///{path}"))
        self.assertRaises(NodeKeyError, other.verify)
        subprocess.run([sys.executable, "-c", self.told(), str(path)], check=True)
        self.assertFalse(has_key(path))
        other.verify()
        self.assertEqual(other.names(), ())
        self.store = self.opened()
        self.assertEqual((self.due(2**40), self.backlog.queued), ([], 0))
        self.assertEqual(self.files(), set())
        self.assertIsNotNone(self.unlock("jondoe"))
