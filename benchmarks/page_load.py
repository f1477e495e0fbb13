"""A crowd of browsers, or of attackers, at the pages: a process of its own.

`python -m benchmarks.page_load` reads Visitors as JSON from its input, keeps them all
at work until it is terminated, and prints what they Saw as JSON. Each comes from an
address of loopback of its own, as the visitors of an I2P tunnel do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import attrs
import cattrs
from attrs import Factory, field, frozen

_PATIENCE = 60.0
# What a browser is told over and over, and sends.
_BROWSER = (
    "Host: localhost\r\n"
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
)
_FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
_STYLE = re.compile(rb'href="(/static/[^"]+\.css)"')
_TOKEN = re.compile(rb'name="token" value="([^"]+)"')
_SLOW_HEADER = f"GET /login HTTP/1.1\r\n{_BROWSER}Cookie: "
_SLOW_BODY = f"POST /login HTTP/1.1\r\n{_BROWSER}{_FORM}Content-Length: 4000\r\n\r\n"


@frozen
class Visitors:
    """Who comes: members who log in, each once and in turn; without any, attackers.

    A member's browser loads the first page, its style, the login page, logs in and
    loads the account's page, a round trip (seconds) for each and one to connect. An
    attacker sends an octet of a header or a body each second.
    """

    port: int
    at_once: int
    round_trip: float
    members: tuple[str, ...] = ()
    password: str = ""
    # A visit's length, so that they are not in step; 0: all in the same moment.
    spread: float = 0.0


@frozen
class Saw:
    """What came of it. Latencies are the node's alone, in milliseconds.

    `pages` are those of each second. `closed` counts connections that the node ended.
    """

    pages: tuple[int, ...]
    visits: int
    p50: float
    p95: float
    longest: float
    closed: int
    errors: dict[str, int] = Factory(dict)


class PageError(Exception):
    """A page was not what a member expects; the text says which."""


@frozen
class Page:
    """What the node answered. Names of fields are in lower case."""

    status: int
    fields: Mapping[bytes, bytes]
    body: bytes


@attrs.define
class Browser:
    """One connection, kept open, with the one cookie of the site."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    round_trip: float
    latencies: list[float]
    cookie: str = field(default="", repr=False)

    async def get(self, path: str) -> Page:
        """Load a page."""
        return await self._asked(f"GET {path} HTTP/1.1\r\n{_BROWSER}", b"", 200)

    async def post(self, path: str, **fields: str) -> Page:
        """Send a form; the answer has to send on to another page."""
        body = urlencode(fields).encode()
        head = f"POST {path} HTTP/1.1\r\n{_BROWSER}{_FORM}"
        length = f"Content-Length: {len(body)}\r\n"
        return await self._asked(head + length, body, 303)

    async def _asked(self, head: str, body: bytes, expected: int) -> Page:
        cookie = f"Cookie: {self.cookie}\r\n" if self.cookie else ""
        await asyncio.sleep(self.round_trip / 2)
        began = time.perf_counter()
        self.writer.write(f"{head}{cookie}\r\n".encode() + body)
        page = await asyncio.wait_for(self._answer(), _PATIENCE)
        self.latencies.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(self.round_trip / 2)
        if page.status != expected:
            raise PageError(f"{head.partition(' HTTP')[0]}: {page.status}")
        if kept := page.fields.get(b"set-cookie"):
            self.cookie = kept.partition(b";")[0].decode()
        return page

    async def _answer(self) -> Page:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).splitlines()
        pairs = (line.partition(b":") for line in lines)
        fields = {name.lower(): value.strip() for name, _, value in pairs}
        body = await self.reader.readexactly(int(fields[b"content-length"]))
        return Page(int(first.split()[1]), fields, body)


class Crowd:
    """All the visitors of one kind."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        self._names = itertools.cycle(visitors.members)
        self._latencies: list[float] = []
        # How many pages there were at the end of each second.
        self._marks = [0]
        self._visits = self._closed = 0
        self._errors: Counter[str] = Counter()

    async def run(self) -> Saw:
        """Come again and again until the process is terminated."""
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        places = range(self._visitors.at_once)
        coming = [asyncio.ensure_future(self._come(place)) for place in places]
        coming.append(asyncio.ensure_future(self._mark()))
        await over.wait()
        for one in coming:
            one.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        return self._saw()

    async def _mark(self) -> None:
        for second in itertools.count(time.perf_counter() + 1):
            await asyncio.sleep(second - time.perf_counter())
            self._marks.append(len(self._latencies))

    async def _come(self, place: int) -> None:
        visitors = self._visitors
        await asyncio.sleep(visitors.spread * place / visitors.at_once)
        own = f"127.1.{place // 250}.{place % 250 + 1}"
        while True:
            await asyncio.sleep(visitors.round_trip)
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", visitors.port, local_addr=(own, 0)
                )
                try:
                    if visitors.members:
                        await self._visit(reader, writer)
                    else:
                        await self._drip(reader, writer, place)
                finally:
                    writer.transport.abort()
            except (OSError, EOFError, PageError, TimeoutError) as error:
                self._errors[str(error) or type(error).__name__] += 1

    async def _visit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        visitors = self._visitors
        browser = Browser(reader, writer, visitors.round_trip, self._latencies)
        home = await browser.get("/")
        await browser.get(_found(_STYLE, home))
        token = _found(_TOKEN, await browser.get("/login"))
        name = next(self._names)
        await browser.post("/login", token=token, name=name, password=visitors.password)
        account = await browser.get("/account")
        if name.encode() not in account.body:
            raise PageError("the account's page does not name the account")
        self._visits += 1

    async def _drip(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: int
    ) -> None:
        writer.write((_SLOW_HEADER, _SLOW_BODY)[place % 2].encode())
        while not reader.at_eof():
            writer.write(b"x")
            try:
                await asyncio.wait_for(reader.read(4096), 1.0)
            except TimeoutError:
                continue
        self._closed += 1

    def _saw(self) -> Saw:
        ordered = sorted(self._latencies) or [0.0]
        return Saw(
            pages=tuple(after - before for before, after in pairwise(self._marks)),
            visits=self._visits,
            p50=ordered[len(ordered) // 2],
            p95=ordered[len(ordered) * 95 // 100],
            longest=ordered[-1],
            closed=self._closed,
            errors=dict(self._errors),
        )


def _found(pattern: re.Pattern[bytes], page: Page) -> str:
    found = pattern.search(page.body)
    if found is None:
        raise PageError(f"there is no {pattern.pattern.decode()} in a page")
    return found[1].decode()


def main() -> None:
    """Read who comes, let them come, print what they saw."""
    visitors: Any = cattrs.structure(json.load(sys.stdin), Visitors)
    json.dump(attrs.asdict(asyncio.run(Crowd(visitors).run())), sys.stdout)


if __name__ == "__main__":
    main()
