"""What a member sees: the dialogue with biff in irssi, kept in irc/dialogue.txt."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.irc.irssi import Irssi
from tests.peers.irc.stage import CHANNEL, Stage, template

_DIALOGUE = Path(__file__).with_name("irc") / "dialogue.txt"
# What is another in each run, and stands in the file as one that is nobody's.
_VARYING = (
    (r"(?<=i2p )biff-\S+", "biff-7KD2Q-M4XZP-..."),
    (r"\d{4}-\d\d-\d\d", "2026-11-22"),
    (r"\d+ bytes", "4096 bytes"),
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Run a network with services, and a bot on a slow and filtered line."""
    made = Stage(
        tmp_path / "node", "inspircd+anope", "filtered", template(tmp_path / "like")
    )
    try:
        made.start_bot()
        yield made
    finally:
        made.stop()


@pytest.fixture
def irssi() -> Iterator[Irssi]:
    """Run irssi for the nick alice."""
    made = Irssi("alice")
    try:
        yield made
    finally:
        made.stop()


def test_dialogue(stage: Stage, irssi: Irssi) -> None:
    """Irssi shows help, a registration by token, a notice, `.show` and `.cancel`."""
    irssi.type(f"/connect 127.0.0.1 {stage.network.port}")
    irssi.await_text("Welcome to the Test IRC Network")
    irssi.type("/msg NickServ REGISTER alices-own alice@irc.test")
    irssi.await_text("logged in as alice")
    irssi.type(f"/join {CHANNEL.decode()}", "/query biff", ".help")
    irssi.await_text("identified with NickServ")
    made = re.search(r"biff-\S+", stage.house.ctl("biff", "token", "alice"))
    assert made
    irssi.type(f".register alice@mail.i2p {made[0]}")
    irssi.await_text("From now on")
    stage.mail("alice")
    irssi.await_text("You have new mail")
    irssi.type(".show")
    irssi.await_text("bytes")
    irssi.type(".cancel alice@mail.i2p")
    irssi.await_text("of mail for alice@mail.i2p no more")
    shown = irssi.dialogue() + "\n"
    for pattern, instead in _VARYING:
        shown = re.sub(pattern, instead, shown)
    if os.environ.get("KEEP"):
        _DIALOGUE.write_text(shown)
    assert shown == _DIALOGUE.read_text()
