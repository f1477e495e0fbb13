"""Fixtures of the peers' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.house import House
from tests.peers.clients import Home
from tests.peers.web.fixtures import browser, plain, scripted, web_house

__all__ = ["browser", "plain", "scripted", "web_house"]


@pytest.fixture
def home(tmp_path: Path, house: House) -> Home:
    """Make a home for a mail program; the members' mailboxes are empty."""
    for name in ("jondoe", "alice", "bob"):
        house.collect(name)
    return Home(tmp_path / "home", house)


@pytest.fixture(scope="session")
def crowds_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the crowds of test_biff_flood keep what is theirs."""
    return tmp_path_factory.mktemp("crowds")
