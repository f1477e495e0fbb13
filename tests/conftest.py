"""What the tests share: a running node, and the real mail programs beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.flow.house import House

_HERE = Path(__file__).parent
# Which rooms of the tests run a whole node.
_WITH_NODE = ("flow", "peers", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the room they stand in."""
    for item in items:
        room = item.path.relative_to(_HERE).parts[0]
        if room in _WITH_NODE:
            item.add_marker("flow")
        if room == "peers":
            item.add_marker("peers")


@pytest.fixture(autouse=True)
def directory_of_its_own(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run what calls trial's mktemp() where it leaves nothing in the tree."""
    if issubclass(request.cls or object, SynchronousTestCase):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))


def need(program: str, package: str | None = None) -> str:
    """Return the path of a peer; without it the test is skipped, in CI it fails."""
    found = shutil.which(program)
    if found is not None:
        return found
    reason = f"{program} is missing: install {package or program}, or run `make peers`"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def peer() -> Callable[..., str]:
    """Find real mail programs: `peer("msmtp")` or `peer("getmail", "getmail6")`."""
    return need


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a node for a module's tests, with the members jondoe, alice and bob."""
    house = House(tmp_path_factory.mktemp("house"))
    house.add("jondoe", "alice", "bob")
    house.start()
    try:
        yield house
    finally:
        house.stop()
