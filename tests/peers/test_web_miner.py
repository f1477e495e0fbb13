"""The stamps that a page makes, and how it makes them."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from postmand.rules.hashcash import weigh
from tests.peers.web.browser import Window
from tests.peers.web.node import WebHouse
from tests.peers.web.rounds import MINER, parts, rounds

_BITS = 9
# With these the salt, the counter and the end of the hash come to lie everywhere: in
# one block, in two, in three, and across the seam between.
_LENGTHS = range(1, 151)
_MAKE = """([resources, bits]) => {
  const miner = document.querySelector("script[data-miner]").dataset.miner;
  const made = (resource) => new Promise((fire, fail) => {
    const one = new Worker(miner);
    one.onerror = () => fail("no worker");
    one.onmessage = ({ data }) => {
      if (!data.stamp) return;
      one.terminate();
      fire(data.stamp);
    };
    one.postMessage({ bits, resource });
  });
  return resources.reduce(
    async (before, one) => [...await before, await made(one)], Promise.resolve([]));
}"""
# How often what a screen reader says was changed.
_COUNT = """(box) => {
  window.said = 0;
  new MutationObserver(() => { window.said += 1; })
    .observe(box.querySelector("[role=status]"), { childList: true });
}"""


@pytest.fixture
def page(web_house: WebHouse, browser: Browser) -> Iterator[Page]:
    """Open the page where an account is made."""
    window = Window.open(browser, web_house.url)
    window.page.goto("/create")
    yield window.page
    window.complaints.check()
    window.close()


def _box(page: Page) -> Locator:
    return page.locator("[data-mint]")


def _many_bits(page: Page) -> None:
    """Have the page make a stamp that it can not make in anybody's life."""
    _box(page).evaluate("box => { box.dataset.bits = '60'; }")


def test_rounds_are_those_written() -> None:
    """miner.js holds what rounds.py makes, to the octet."""
    assert parts(MINER.read_text())[1] == rounds()


def test_all_lengths(page: Page) -> None:
    """Whatever the stamp's length, it weighs what it says; no two have one salt.

    The browser's clock is fourteen hours ahead of UTC; the stamp's date is in UTC.
    """
    resources = ["x" * length for length in _LENGTHS]
    before = time.time()
    stamps: list[str] = page.evaluate(_MAKE, [resources, _BITS])
    dates = [time.strftime("%y%m%d", time.gmtime(at)) for at in (before, time.time())]
    for resource, stamp in zip(resources, stamps, strict=True):
        weighed = weigh(stamp.encode(), resource.encode(), time.time(), 1)
        assert weighed.bits == _BITS
        assert stamp.split(":")[2] in dates
    assert len({stamp.split(":")[5] for stamp in stamps}) == len(stamps)
    assert {len(stamp) // 64 for stamp in stamps} >= {0, 1, 2, 3}


def test_program_checks(page: Page, peer: Callable[..., str], tmp_path: Path) -> None:
    """hashcash(1) takes them, once."""
    resource = "quota/jondoe@mail.i2p"
    for stamp in page.evaluate(_MAKE, [[resource] * 3, 12]):
        check = [
            *(peer("hashcash"), "-cqd", "-f", str(tmp_path / "spent.sdb")),
            *("-e", "2d", "-b", "12", "-r", resource, stamp),
        ]
        answers = [
            subprocess.run(check, timeout=60, check=False, cwd=tmp_path).returncode
            for _ in range(2)
        ]
        assert answers[0] == 0
        assert answers[1] != 0


def test_progress_and_stop(page: Page) -> None:
    """It tells how long it takes, to the ear seldom, and stops when told to."""
    _many_bits(page)
    page.get_by_label("Name of the account").fill("newcomer")
    box = _box(page)
    box.evaluate(_COUNT)
    box.get_by_role("button", name="Make the stamp here").press("Enter")
    box.get_by_text("on average; luck").wait_for()
    # Several more changes of what is seen.
    seen = box.locator("[data-shown]")
    for _ in range(3):
        expect(seen).not_to_have_text(seen.inner_text())
    assert 0 <= box.get_by_role("progressbar").evaluate("bar => bar.value") < 1
    assert page.evaluate("said") <= 2
    stop = box.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    stop.press("Enter")
    expect(box.get_by_role("status")).to_have_text("Stopped.")
    expect(box.get_by_role("progressbar")).to_be_hidden()
    expect(page.get_by_label("The stamp", exact=True)).to_have_value("")


def test_other_name(page: Page) -> None:
    """A stamp is for one name: made for another it is forgotten; pasted it stays."""
    name = page.get_by_label("Name of the account")
    stamp = page.get_by_label("The stamp", exact=True)
    name.fill("newcomer")
    _box(page).get_by_role("button").click()
    expect(stamp).to_have_value(_any_stamp("newcomer"))
    name.fill("othername")
    expect(stamp).to_have_value("")
    expect(page.get_by_text("hashcash -m")).to_contain_text("signup/othername@")
    stamp.fill("1:pasted")
    name.fill("third")
    expect(stamp).to_have_value("1:pasted")


def test_no_name(page: Page) -> None:
    """Without a name, or with one that no account can have, nothing is begun."""
    name, button = (
        page.get_by_label("Name of the account"),
        _box(page).get_by_role("button"),
    )
    for wrong in ("", "Capital"):
        name.fill(wrong)
        button.click()
        expect(_box(page).get_by_role("status")).to_contain_text("First give")
        expect(name).to_be_focused()
        expect(button).to_have_text("Make the stamp here")


def test_sent_without_a_stamp(page: Page) -> None:
    """The stamp is made, and then the form goes by itself."""
    page.get_by_label("Name of the account").fill("hasty")
    page.get_by_label("Password", exact=True).fill("a few words are good")
    page.get_by_label("Password, again").fill("a few words are good")
    page.get_by_role("button", name="Create the account").click()
    page.get_by_role("heading", name="Your account is made").wait_for()


def _any_stamp(name: str) -> re.Pattern[str]:
    return re.compile(rf"^1:\d+:\d{{6}}:signup/{name}@mail\.i2p::\S+:\S{{8}}$")
