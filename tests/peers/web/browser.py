"""Debian's Chromium, headless and with no way out, and what it complains of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

from attrs import define, field
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
    sync_playwright,
)

from tests.conftest import need
from tests.peers.web.node import HOST

Scheme = Literal["light", "dark"]

_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Every other name is nobody's: what leaves for elsewhere fails, and is seen.
    f"--host-resolver-rules=MAP {HOST} 127.0.0.1,MAP * ~NOTFOUND,EXCLUDE 127.0.0.1",
)
_PATIENCE_MS = 10_000
PHONE = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 900}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser."""
    program = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=_OPTIONS,
            env={**os.environ, "TZ": "Pacific/Kiritimati", "LANG": "C.UTF-8"},
        )
        try:
            yield browser
        finally:
            browser.close()


# Playwright keeps marks of its own on what listens.
@define(slots=False)
class Complaints:
    """What went on in a context that must not: see `check`."""

    base: str
    console: list[str] = field(factory=list)
    elsewhere: list[str] = field(factory=list)
    broken: list[str] = field(factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Listen to all that the context's pages do."""
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.console.append(str(error.error)))

    def check(self) -> None:
        """See that nothing left for elsewhere, nothing broke, nothing was refused."""
        assert not self.elsewhere, self.elsewhere
        assert not self.broken, self.broken
        assert not self.console, self.console

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.base}/", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _failed(self, request: Request) -> None:
        # Who goes on to the next page does not wait for the picture of the last.
        if request.failure != "net::ERR_ABORTED":
            self.broken.append(f"{request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        # A page may refuse what was typed; a file of ours may not be missing.
        document = response.request.is_navigation_request()
        if response.status >= (500 if document else 400):
            self.broken.append(f"{response.url}: {response.status}")

    def _console(self, message: ConsoleMessage) -> None:
        told = message.text
        status = told.startswith("Failed to load resource: the server responded with")
        if message.type in ("error", "warning") and not status:
            self.console.append(f"{message.type}: {told}")


@define
class Window:
    """A browser of one person: its own cookies, one page."""

    context: BrowserContext
    page: Page
    complaints: Complaints

    @classmethod
    def open(
        cls,
        browser: Browser,
        base: str,
        *,
        scripts: bool = True,
        size: dict[str, int] = DESKTOP,
        scheme: Scheme = "light",
        cookies: StorageState | None = None,
    ) -> Window:
        """Open one; `scripts` is whether JavaScript runs in it.

        With the `cookies` of another's `storage_state` it goes on in its session.
        """
        context = browser.new_context(
            base_url=base,
            java_script_enabled=scripts,
            storage_state=cookies,
            viewport={"width": size["width"], "height": size["height"]},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        context.set_default_timeout(_PATIENCE_MS)
        complaints = Complaints(base)
        complaints.watch(context)
        return cls(context, context.new_page(), complaints)

    def close(self) -> None:
        """Close it."""
        self.context.close()
