"""Every page to every reader: valid, accessible, light, and usable by keyboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import define, field
from playwright.sync_api import Browser, Page, Response

from tests.figures import Tell
from tests.flow.house import password
from tests.peers.web import looks
from tests.peers.web.browser import PHONE, Window
from tests.peers.web.node import WebHouse
from tests.peers.web.npm import Axe, installed, invalid
from tests.peers.web.person import Person
from tests.peers.web.walk import NAMES, walk

_FIRST_LOAD = 40_000
# The page, its style, its icon; and the script of a page that makes stamps.
_MOST_REQUESTS = 4
_OPEN = ("/", "/create", "/login", "/recover", "/clients")
_MEMBERS = ("/account", "/quota", "/keys", "/account/key", "/knows")
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
    """Its markup is valid, axe-core finds nothing, all is in sight and has the focus.

    On a phone and on a desktop, light and dark, its text at 100 % and at 200 %.
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


def test_weight(web_house: WebHouse, browser: Browser, tell: Tell) -> None:
    """A first visit to any page is light, and takes few requests: all are printed."""
    alice = Window.open(browser, web_house.url)
    alice.page.goto("/login")
    alice.page.get_by_label("Account").fill("alice")
    alice.page.get_by_label("Password").fill(password("alice"))
    alice.page.get_by_role("button", name="Log in").click()
    alice.page.wait_for_url("**/account")
    cookies = alice.context.storage_state()
    alice.close()
    visits = [
        *(_visit(Window.open(browser, web_house.url), path) for path in _OPEN),
        *(
            _visit(Window.open(browser, web_house.url, cookies=cookies), path)
            for path in _MEMBERS
        ),
    ]
    tell("\n  ".join(["A first visit, all header fields counted:", *visits]))


def _visit(window: Window, path: str) -> str:
    """Visit a page with an empty cache; return what it took."""
    responses: list[Response] = []

    def note(response: Response) -> None:
        responses.append(response)

    window.page.on("response", note)
    window.page.goto(path, wait_until="networkidle")
    took = window.page.evaluate(
        "performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    assert window.page.url.endswith(path)
    weight = sum(_octets(one.request.sizes()) for one in responses)
    window.close()
    assert weight < _FIRST_LOAD, (path, weight)
    assert len(responses) <= _MOST_REQUESTS, [one.url for one in responses]
    return f"{path:12} {weight:7,} octets, {len(responses)} requests, {took:4.0f} ms"


def _octets(sizes: Mapping[str, int]) -> int:
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]
