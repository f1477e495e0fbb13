"""The pages in a Chromium that runs no JavaScript: all of it works, stamps pasted."""

from __future__ import annotations

import pytest

from tests.peers.web.journey import STEPS, take
from tests.peers.web.person import Person


@pytest.mark.parametrize("step", STEPS)
def test_journey(plain: Person, step: str) -> None:
    """The same steps as with scripts."""
    take(plain, step)


def test_no_minter_is_shown(plain: Person) -> None:
    """What needs a script is not there without one."""
    plain.page.goto("/create")
    assert not plain.page.get_by_role("button", name="Make the stamp here").count()
