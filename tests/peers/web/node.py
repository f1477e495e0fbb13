"""A mail host whose pages a browser can reach, with all that its pages can show."""

from __future__ import annotations

import base64
import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.flow.house import House, Section, free_port
from tests.flow.program import PATIENCE

# The name of the guide: a browser trusts localhost more than what comes through I2P,
# and pages that need that trust would work here only.
HOST = "hq.postman.i2p"

# Of few bits, so that a slow machine makes them in a moment.
SIGNUP_BITS = 18
STAMPS = {"18": 20, "19": 40, "20": 80}


class WebHouse(House):
    """A node with pages, quotas and a biff, whose gateway and IRC server are nobody."""

    def __init__(self, base: Path, **overrides: Section) -> None:
        self.web_port = free_port()
        nobody = f"tcp:127.0.0.1:{free_port()}"
        sections: dict[str, Section] = {
            "web": {
                "listen": [f"tcp:{self.web_port}:interface=127.0.0.1"],
                "signup_bits": SIGNUP_BITS,
            },
            "quota": {"stamps": STAMPS},
            "gateways": [{"endpoint": nobody}],
            "biff": {"endpoint": nobody},
        }
        super().__init__(base, **{**sections, **overrides})

    @property
    def url(self) -> str:
        """Where the pages are, as a browser of `browser.Chromium` finds them."""
        return f"http://{HOST}:{self.web_port}"

    def start(self) -> Self:
        """Start the node and wait until its servers greet and its pages answer."""
        super().start()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), self.greet(self.web_port) as wire:
                wire.say("GET /robots.txt HTTP/1.1", f"Host: {HOST}", "")
                if wire.line().startswith("HTTP/1.1 "):
                    return self
            time.sleep(0.02)
        raise AssertionError(f"no page from {self.web_port}:\n{self.told()}")

    def fetch(self, path: str, login: tuple[str, str]) -> tuple[str, bytes]:
        """Ask for a path as a mail program does; return media type and octets.

        It has no session, and shows the login. Any status but 200 is a failure.
        """
        pair = base64.b64encode(":".join(login).encode()).decode()
        with self._asked(path, {"Authorization": f"Basic {pair}"}) as answer:
            assert answer.status == 200, (path, answer.status)
            return answer.headers["Content-Type"], answer.read()

    def refuses(self, path: str) -> int:
        """Ask for a path as a stranger does; return the status."""
        with self._asked(path, {}) as answer:
            return answer.status

    @contextlib.contextmanager
    def _asked(
        self, path: str, fields: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        link = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=PATIENCE)
        with contextlib.closing(link):
            link.request("GET", path, headers={"Host": HOST, **fields})
            yield link.getresponse()
