"""Mail for a crowd in one tick, on networks that throw out whoever floods.

`NICKS` in the environment is how large the crowd is: 40 by default, 500 is for a long
quarter of an hour.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flow.house import House
from tests.peers.irc.evidence import undue
from tests.peers.irc.registry import watch
from tests.peers.irc.stage import NEWS, Stage, template
from tests.peers.irc.users import User

_NICKS = int(os.environ.get("NICKS", "40"))
# An account has no more nicks than this.
_EACH = 90
_TICK = 5.0
_NETWORKS = {
    "inspircd+atheme": ("strict", "filtered"),
    "inspircd+anope": ("default", "plain"),
    "ngircd+anope": ("default", "filtered"),
}
_NAMES = [f"owner{number}" for number in range(_NICKS)]
_STRANGERS = [f"stranger{number}" for number in range(max(4, _NICKS // 8))]
_MEMBERS = [f"list{number}" for number in range(_NICKS // _EACH + 1)]


class Crowd:
    """A stage full of users: owners, and strangers who have an owner's nick."""

    def __init__(self, base: Path, pair: str, like: House) -> None:
        limits, line = _NETWORKS[pair]
        self.stage = Stage(
            base, pair, line, like, limits=limits,
            notice_seconds=_TICK, line_seconds=1.0, nicks_per_account=100,
        )  # fmt: skip
        everybody = _NAMES + _STRANGERS
        lists = {
            member: everybody[number :: len(_MEMBERS)]
            for number, member in enumerate(_MEMBERS)
        }
        watch(self.stage.house, lists)
        with ThreadPoolExecutor(50) as pool:
            self.owners = list(pool.map(self.stage.user, _NAMES))
            self.strangers = list(pool.map(self._stranger, _STRANGERS))

    def _stranger(self, nick: str) -> User:
        # Some are logged out, some are logged in to an account of another name.
        if int(nick.removeprefix("stranger")) % 2:
            user = self.stage.user(nick + "x", join=False)
            user.rename(nick)
            return user.join()
        return self.stage.user(nick, join=False).log_out().join()

    def play(self) -> None:
        """Mail for all at once; return when every owner was told, and a while later."""
        self.stage.start_bot()
        try:
            self.stage.mail(*_MEMBERS)
            until = time.monotonic() + 60 + 4 * len(_NAMES)
            for owner in self.owners:
                owner.hear(NEWS, seconds=max(1.0, until - time.monotonic()))
            time.sleep(2 * _TICK)
            self.check()
        finally:
            self.stage.stop()

    def check(self) -> None:
        """See who heard what."""
        for owner in self.owners:
            assert len(self.stage.from_bot(owner)) == 1, owner.nick
        for stranger in self.strangers:
            assert not self.stage.from_bot(stranger), stranger.nick
        relay = self.stage.relay
        assert not undue(relay.said, relay.heard, self.stage.lag)
        assert not self.stage.watcher.heard(rb"^:biff!\S+ (QUIT|PART)")
        connections = [line for _, line in relay.said if line.startswith(b"USER ")]
        assert len(connections) == 1
        told = [when for when, line in relay.said if line.endswith(b"new mail")]
        print(f"{self.stage.pair}: {len(told)} in {told[-1] - told[0]:.0f} s")


@pytest.fixture(scope="module")
def crowds(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """Have all networks play at the same time."""
    base = tmp_path_factory.mktemp("crowds")
    like = template(base / "template", *_MEMBERS)
    with ThreadPoolExecutor(len(_NETWORKS)) as pool:
        yield {
            pair: pool.submit(lambda pair=pair: Crowd(base / pair, pair, like).play())
            for pair in _NETWORKS
        }


@pytest.mark.parametrize("pair", _NETWORKS)
def test_flood(crowds: dict[str, Future[None]], pair: str) -> None:
    """The bot is not thrown out; each owner hears one line, a stranger none."""
    crowds[pair].result(120 + 6 * _NICKS)
