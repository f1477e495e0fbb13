"""The browser and the node of the pages' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.peers.web.browser import chromium
from tests.peers.web.node import WebHouse
from tests.peers.web.person import Person


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run Chromium for all the tests that need one."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def web_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHouse]:
    """Run a node with pages for a module's tests, with the member alice."""
    house = WebHouse(tmp_path_factory.mktemp("web"))
    house.add("alice")
    house.start()
    try:
        yield house
    finally:
        house.stop()


def _person(
    house: WebHouse, browser: Browser, home: Path, *, scripts: bool
) -> Iterator[Person]:
    person = Person.come(house, browser, home, scripts=scripts)
    yield person
    person.window.close()


@pytest.fixture(scope="module")
def scripted(
    web_house: WebHouse, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Person]:
    """Bring a stranger whose browser runs scripts."""
    home = tmp_path_factory.mktemp("home")
    yield from _person(web_house, browser, home, scripts=True)


@pytest.fixture(scope="module")
def plain(
    web_house: WebHouse, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Person]:
    """Bring a stranger whose browser runs none."""
    home = tmp_path_factory.mktemp("home")
    yield from _person(web_house, browser, home, scripts=False)
