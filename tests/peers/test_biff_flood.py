"""Mail for a crowd in one tick, on networks that throw out whoever floods.

`NICKS` in the environment is how large the crowd is: 40 by default; 500 takes the
better part of an hour.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.irc.crowd import NETWORKS, NICKS, begin


@pytest.mark.parametrize("pair", NETWORKS)
def test_flood(crowds_base: Path, pair: str) -> None:
    """The bot is not thrown out; each owner hears one line, a stranger none."""
    begin(crowds_base)[pair].result(120 + 8 * NICKS)
