"""The pages in Chromium, with scripts: from a stranger to a member and away again."""

from __future__ import annotations

import pytest

from tests.peers.web.journey import STEPS, take
from tests.peers.web.person import Person


@pytest.mark.parametrize("step", STEPS)
def test_journey(scripted: Person, step: str) -> None:
    """Each step leads to the next; nothing leaves for elsewhere, nothing is refused."""
    take(scripted, step)
