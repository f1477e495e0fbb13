"""Somebody before the pages: finds things by their labels, as a screen reader does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from attrs import define
from playwright.sync_api import Browser, Locator, Page

from tests.conftest import need
from tests.peers.web.browser import Window
from tests.peers.web.node import WebHouse

# Making a stamp takes what luck makes of it.
STAMP_MS = 300_000
_WROTE = "I wrote it down"


@define
class Person:
    """A stranger who becomes a member. `code` is the newest recovery code.

    Without scripts all stamps come from hashcash(1). `lost` is the step that failed.
    """

    house: WebHouse
    window: Window
    scripts: bool
    home: Path
    name: str = "newcomer"
    password: str = "a few words are good"
    code: str = ""
    lost: str = ""

    @classmethod
    def come(
        cls, house: WebHouse, browser: Browser, home: Path, *, scripts: bool
    ) -> Person:
        """Open a browser at the first page."""
        window = Window.open(browser, house.url, scripts=scripts)
        window.page.goto("/")
        return cls(house, window, scripts, home)

    @property
    def page(self) -> Page:
        """What the person looks at."""
        return self.window.page

    @property
    def address(self) -> str:
        """The address the person gets."""
        return f"{self.name}@mail.i2p"

    # Looking.

    def sees(self, text: str) -> None:
        """See that the page shows a text."""
        self.page.get_by_text(text).first.wait_for()

    def heading(self) -> str:
        """Return the page's heading."""
        return self.page.get_by_role("heading", level=1).inner_text()

    def part(self, heading: str) -> Locator:
        """Return the part of the page under a heading."""
        return self.page.get_by_role("region", name=heading, exact=True)

    # Going about.

    def go(self, link: str) -> None:
        """Follow a link of the navigation."""
        self.page.get_by_role("navigation").get_by_role("link", name=link).click()

    def fill(self, **labelled: str) -> None:
        """Fill in fields by their names."""
        for name, text in labelled.items():
            self.page.locator(f"[name={name}]:not([type=hidden])").fill(text)

    def press(self, button: str, within: Locator | None = None) -> None:
        """Press a button, and wait for the next page."""
        (within or self.page).get_by_role("button", name=button, exact=True).click()
        self.page.wait_for_load_state()

    def say(self, field: str, text: str) -> None:
        """Fill in a field by its label."""
        self.page.get_by_label(field, exact=True).fill(text)

    def write_down(self) -> None:
        """Keep the recovery code that is shown, and confirm it."""
        self.code = self.page.locator(".code").inner_text()
        self.press("Go on")
        # The browser itself wants the confirmation before it goes on.
        assert self.page.locator(".code").is_visible()
        self.page.get_by_label(_WROTE).check()
        self.press("Go on")

    # Logging in.

    def log_in(self) -> None:
        """Log in with the password."""
        self.go("Log in")
        self.fill(name=self.name, password=self.password)
        self.press("Log in")

    def log_out(self) -> None:
        """Log out."""
        self.press("Log out")

    # Stamps.

    def mint(self) -> None:
        """Make a stamp in the page."""
        stamp = self.page.get_by_label("The stamp", exact=True)
        stamp.fill("")
        self.press("Make the stamp here")
        made = self.page.get_by_role("status").filter(has_text="The stamp is made")
        made.wait_for(state="attached", timeout=STAMP_MS)
        assert stamp.input_value().startswith("1:")

    def paste(self, bits: int) -> None:
        """Run the very line that the page shows, and paste what it prints."""
        shown = self.page.get_by_text(re.compile(rf"^hashcash .*-b {bits} "))
        line = shown.inner_text().replace("NAME@", f"{self.name}@").split()
        made = subprocess.run(
            [need("hashcash"), *line[1:]],
            capture_output=True,
            text=True,
            cwd=self.home,
            env={"HOME": str(self.home), "TZ": "UTC"},
            timeout=STAMP_MS / 1000,
            check=True,
        )
        self.say("The stamp", made.stdout.removeprefix("hashcash stamp: "))
