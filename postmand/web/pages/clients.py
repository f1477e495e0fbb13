"""Your mail client: what to type into it, and what today's clients disclose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from attrs import frozen

from postmand.message.disclosure import MEANINGS, SCORE_RULE
from postmand.message.disclosure.advice import ADVICE, ALWAYS
from postmand.web.site import Ask, Pages

_ORDER = (
    *("thunderbird", "mutt", "susimail", "claws-mail", "evolution", "kmail"),
    *("sylpheed", "alpine", "msmtp"),
)


@frozen
class Settings:
    """One program's, with the node's own names and ports in them."""

    title: str
    connect: Sequence[str]
    quiet: Sequence[str]


def add(pages: Pages) -> None:
    """Add the room's page."""
    rows = _rows()

    @pages.page("/clients")
    async def clients(ask: Ask) -> bytes:
        node = pages.desk.node
        visitor = ask.session.visitor
        name = visitor.name if visitor else "you"
        settings = _settings(
            node.smtp_tunnel, node.pop3_tunnel, f"{name}@{node.mail_domain}"
        )
        return ask.render(
            "clients.html",
            name=name,
            settings=settings,
            rows=rows,
            always=ALWAYS,
            meanings=MEANINGS,
            rule=SCORE_RULE,
        )


def _settings(smtp: str, pop3: str, address: str) -> list[Settings]:
    smtp_host, _, smtp_port = smtp.rpartition(":")
    pop3_host, _, pop3_port = pop3.rpartition(":")
    words = {
        "smtp_host": smtp_host,
        "smtp_port": smtp_port,
        "pop3_host": pop3_host,
        "pop3_port": pop3_port,
        "address": address,
    }
    return [
        Settings(
            ADVICE[name].title,
            [text.format_map(words) for text in ADVICE[name].connect],
            ADVICE[name].quiet,
        )
        for name in _ORDER
    ]


def _rows() -> list[dict[str, Any]]:
    """Return the table made from captures: see tests/corpus_table.py."""
    file = resources.files("postmand.web").joinpath("clients.json")
    rows: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return rows
