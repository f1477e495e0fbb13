"""Every page to every reader: valid, accessible, light, and usable by keyboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import define, field
from playwright.sync_api import Browser, Page, Response

from tests.peers.web import looks
from tests.peers.web.browser import PHONE, Window
from tests.peers.web.node import WebHouse
from tests.peers.web.npm import Axe, installed, invalid
from tests.peers.web.person import Person
from tests.peers.web.walk import NAMES, walk

_FIRST_LOAD = 40_000
_KINDS = ("markup", "axe", "width", "keyboard")


@define
class Findings:
    """What was found, by kind and by the page's name."""

    found: dict[str, dict[str, list[str]]] = field(
        factory=lambda: {kind: {} for kind in _KINDS}
    )

    def add(self, kind: str, name: str, faults: list[str]) -> None:
        """Note faults of a page."""
        self.found[kind].setdefault(name, []).extend(faults)


@pytest.fixture(scope="module")
def modules() -> Path:
    """Have the packages of npm."""
    return installed()


@pytest.fixture(scope="module")
def findings(
    web_house: WebHouse,
    browser: Browser,
    modules: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Findings:
    """Walk through all pages once, and look at each in every way."""
    findings = Findings()
    axe = Axe(modules)
    home = tmp_path_factory.mktemp("home")
    person = Person.come(web_house, browser, home, scripts=True)
    served: dict[str, str] = {}
    documents: list[Response] = []
    person.page.on(
        "response",
        lambda one: one.request.is_navigation_request() and documents.append(one),
    )
    for name in walk(person):
        served[name] = documents[-1].text()
        _look(person.page, name, axe, findings)
    person.window.complaints.check()
    person.window.close()
    texts = tmp_path_factory.mktemp("texts")
    for name, faults in invalid(served, modules, texts).items():
        findings.add("markup", name, faults)
    return findings


def _look(page: Page, name: str, axe: Axe, findings: Findings) -> None:
    for size in looks.SIZES:
        for scheme in looks.SCHEMES:
            looks.dress(page, size, scheme)
            findings.add("axe", name, axe.faults(page))
        findings.add("width", name, looks.too_wide(page))
        looks.enlarge(page, 200)
        findings.add("width", name, looks.too_wide(page))
        looks.enlarge(page, 100)
        findings.add("keyboard", name, looks.misled(page))


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_page(findings: Findings, name: str, kind: str) -> None:
    """html-validate and axe-core find nothing; nothing is cut; the keyboard reaches all.

    On a phone and on a desktop, light and dark; width at 100 % and 200 % of text.
    """
    faults = findings.found[kind][name]
    assert not faults, "\n".join(faults)


@pytest.fixture
def phone(web_house: WebHouse, browser: Browser) -> Iterator[Page]:
    """Open a narrow window of somebody who was never here."""
    window = Window.open(browser, web_house.url, size=PHONE)
    yield window.page
    window.complaints.check()
    window.close()


def test_skip_link(phone: Page) -> None:
    """The first stop leads past the navigation to the content."""
    phone.goto("/login")
    phone.keyboard.press("Tab")
    skip = phone.get_by_role("link", name="Skip to the content")
    assert skip.is_visible()
    phone.keyboard.press("Enter")
    assert phone.evaluate("document.activeElement.id") == "main"
    phone.keyboard.press("Tab")
    assert phone.evaluate("document.activeElement.name") == "name"


def test_what_is_wrong_has_the_focus(phone: Page) -> None:
    """After a mistake the first thing heard is what to mend, with a way to it."""
    phone.goto("/recover")
    phone.get_by_label("Account").fill("nobody")
    phone.get_by_label("Recovery code").fill("ABCD")
    phone.get_by_label("New password", exact=True).fill("one of them")
    phone.get_by_label("New password, again").fill("another one")
    phone.get_by_role("button", name="Set the password").press("Enter")
    summary = phone.get_by_role("alert")
    summary.wait_for()
    assert phone.evaluate("document.activeElement.getAttribute('role')") == "alert"
    phone.keyboard.press("Tab")
    phone.keyboard.press("Enter")
    phone.keyboard.press("Tab")
    wrong = phone.get_by_label("New password, again")
    described = wrong.get_attribute("aria-describedby")
    assert wrong.get_attribute("aria-invalid") == "true"
    assert described
    assert "not the same" in phone.locator(f"#{described}").inner_text()


def test_weight(
    web_house: WebHouse, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first visit to any page is light, and takes few requests: all are printed."""
    lines = []
    for path in ("/", "/create", "/login", "/recover", "/clients"):
        window = Window.open(browser, web_house.url)
        weights: list[tuple[str, int]] = []

        def note(response: Response, to: list[tuple[str, int]] = weights) -> None:
            to.append((response.url, _octets(response.request.sizes())))

        window.page.on("response", note)
        window.page.goto(path, wait_until="networkidle")
        took = window.page.evaluate(
            "performance.getEntriesByType('navigation')[0].loadEventEnd"
        )
        total = sum(octets for _, octets in weights)
        lines.append(
            f"{path:10} {total:7,} octets in {len(weights)} requests, {took:.0f} ms"
        )
        window.close()
        assert total < _FIRST_LOAD, (path, weights)
        assert len(weights) <= 4, weights
    with capsys.disabled():
        print("\nA first visit, all header fields counted:", *lines, sep="\n  ")


def _octets(sizes: Mapping[str, int]) -> int:
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]
