"""Every IMembership keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.contracts.membership import MembershipCalls
from tests.members_world import BITS, MembersCase
from tests.web_world import MemoryMembership


class RealMembershipTest(MembershipCalls, MembersCase):
    """On the real store."""

    def setUp(self) -> None:
        """Make it; its stamps are real ones."""
        super().setUp()
        self.stamp = lambda name, use="signup": self.minted(name, BITS + 2, use)

    def fired(self, call: Callable[[], Any]) -> Any:
        """Wait for it."""
        return self.wait(call())


class MemoryMembershipTest(MembershipCalls, SynchronousTestCase):
    """In memory, as the pages' own tests have it."""

    def setUp(self) -> None:
        """Make it."""
        self.members = MemoryMembership()
        self._made = 0

    def stamp(self, name: str, use: str = "signup") -> str:
        """Return what it takes for a stamp."""
        self._made += 1
        return f"1:26:261122:{use}/{name}@mail.i2p::salt:{self._made}"

    def fired(self, call: Callable[[], Any]) -> Any:
        """Return what has fired already."""
        found: list[Any] = []
        call().addBoth(found.append)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]
