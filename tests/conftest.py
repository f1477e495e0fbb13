"""What the tests share: a running node, and the real mail programs beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase
from xdist.scheduler import LoadScopeScheduling

from tests import figures
from tests.figures import Tell
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


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker whole files: their tests share a house, and may share a play."""

    def _split_scope(self, nodeid: str) -> str:
        # The flood waits beside the scenes, and begins with them.
        return nodeid.partition("::")[0].replace("_flood", "")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Have files shared out among the workers."""
    return ByFile(config, log)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tell what was measured."""
    return partial(record_property, figures.NAME)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have told."""
    every = chain.from_iterable(terminalreporter.stats.values())
    if lines := list(figures.told(every)):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)


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
