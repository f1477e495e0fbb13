"""What biff keeps in mind of those who are many and say much."""

from __future__ import annotations

import gc
import sys
from functools import partial
from types import FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from twisted.internet.testing import StringTransport

from postmand.biff import commands
from postmand.biff.budget import Budget
from postmand.biff.session import Session
from tests.biff_wire import SAID, Case, House

pytestmark = pytest.mark.long


class FloodTests(Case):
    """Many, and much: what biff keeps in mind of it has an end."""

    def flood(self, house: House, number: int) -> None:
        """One more of those who are many."""
        nick = b"%s%d" % (SAID, number)
        user = b":%s!u@h" % nick
        house.ircd.hear(
            b"".join(
                line + b"\r\n"
                for line in (
                    user + b" JOIN #mail.i2p",
                    *(user + b" PRIVMSG #mail.i2p :.help" for _ in range(8)),
                    *(user + b" PRIVMSG biff :.register alice x" for _ in range(8)),
                    user + b" NOTICE biff :" + b"x" * 5_000,
                    user + b" NICK :" + nick + b"x",
                    b":irc.test CAP * NEW :cap%d=%d" % (number, number),
                    b":irc.test 005 biff KEY%d=%d CASEMAPPING=%d :are"
                    % ((number,) * 3),
                    b":irc.test 401 biff " + nick,
                    b":irc.test 354 biff 77 %s %s" % (nick, b"a" * 5_000),
                    *([user + b"x QUIT :"] if number % 2 else []),
                )
            )
        )
        house.ircd.hear(b"y" * 20_000)
        house.ircd.hear(b"\n")

    def grown(self, filtered: bool) -> list[int]:
        """Return by how much one flood makes biff heavier, and another as long.

        Whatever else of the process can be reached from it was there before.
        """
        weights = []
        small = patch.object(commands, "Budget", partial(Budget, size=100))
        with small, self.house(filtered=filtered, users=100) as house:
            before = weigh(house.biff)
            for start in (0, 400):
                for number in range(start, start + 400):
                    self.flood(house, number)
                weights.append(weigh(house.biff) - before)
            assert len(house.server.wires) == 1
        return weights

    def test_memory(self) -> None:
        """The tables are full after the first flood; the second adds nothing."""
        for filtered in (True, False):
            first, second = self.grown(filtered)
            self.assertLess(second, first * 1.1)
            self.assertLess(second, 4_000_000)

    def test_it_is_measured(self) -> None:
        """Somebody who keeps all that is said is found."""
        original = Session.heard

        def heard(self: Any, line: Any) -> None:
            self.__dict__.setdefault("kept", []).append(line)
            original(self, line)

        with patch.object(Session, "heard", heard):
            first, second = self.grown(filtered=True)
        self.assertGreater(second, first * 1.5)


def weigh(*roots: Any) -> int:
    """Return the octets of all that can be reached, without code and the wire."""
    code = ModuleType, type, FunctionType, StringTransport
    seen: dict[int, Any] = {}
    todo = list(roots)
    while todo:
        one = todo.pop()
        if id(one) not in seen and not isinstance(one, code):
            seen[id(one)] = one
            todo += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))
