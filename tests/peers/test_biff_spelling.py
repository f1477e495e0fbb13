"""biff where the server takes two spellings for one nick and its services do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.irc.scenes import silent_after_mail
from tests.peers.irc.stage import BOT, NEWS, Stage, template


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Run InspIRCd, which compares by rfc1459, with an Atheme that does by ascii."""
    like = template(tmp_path / "like")
    made = Stage(
        tmp_path / "node", "inspircd+atheme", "filtered", like, services_fold="ascii"
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_two_accounts_of_one_nick(stage: Stage) -> None:
    """br[] and br{} are two accounts: neither sees or hears what is the other's."""
    member = stage.member()
    owner = stage.user("br[]")
    stage.register(owner, member)
    owner.rename("braway")
    other = stage.user("br{}")
    stage.ask(other, ".show", rb"watches no account")
    silent_after_mail(stage, member, other)
    # The server takes this for a change of case; the login stays that of br{}.
    other.rename("br[]")
    stage.ask(other, ".show", rb"can not see that this nick is identified")
    silent_after_mail(stage, member, other)
    assert not [one for one in stage.from_bot(other) if b"@mail" in one]
    other.rename("brother")
    mark = owner.mark()
    owner.rename("br[]")
    stage.hear(owner, NEWS, mark)
    mark = owner.tell(BOT, ".show")
    stage.hear(owner, rb"%s@mail\.i2p" % member.encode(), mark)
