"""The page about mail clients, and the table in it."""

from __future__ import annotations

import json
from importlib import resources

from postmand.message.disclosure import MEANINGS
from postmand.message.disclosure.advice import ADVICE
from tests.corpus_table import text
from tests.web_world import World


def _kept() -> str:
    return resources.files("postmand.web").joinpath("clients.json").read_text("utf-8")


def test_table_is_current() -> None:
    """The table is what the captures give: else see tests/corpus_table.py."""
    assert _kept() == text()


def test_table_is_about_clients() -> None:
    """Every row counts its captures; no octets of a file or a text are in it."""
    rows = json.loads(_kept())
    assert sum(row["captures"] for row in rows) == 51
    assert {one["category"] for row in rows for one in row["tells"]} <= set(MEANINGS)
    assert all(0 < row["lowest"] <= row["highest"] < 100 for row in rows)
    assert "IMG_2026" not in _kept()
    assert "GPS" not in _kept()


def test_page_for_strangers() -> None:
    """Settings with the tunnels' ports, the table, and where to send a check."""
    page = World().browser().get("/clients")
    assert page.status == 200
    for words in ("check@mail.i2p", "127.0.0.1:7659", "127.0.0.1:7660", "you@mail.i2p"):
        assert words in page.text
    titles = [row["title"] for row in json.loads(_kept())]
    for title in (*titles, ADVICE["thunderbird"].title, ADVICE["susimail"].title):
        assert title in page.text
    assert "{smtp" not in page.text
    assert "{pop3" not in page.text


def test_page_for_members() -> None:
    """A member's own address stands in the settings."""
    page = World().member("jondoe").get("/clients")
    assert "smtp://jondoe@mail.i2p@127.0.0.1:7659/" in page.text
