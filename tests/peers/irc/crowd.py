"""A stage full of users who all have mail at once."""

from __future__ import annotations

import functools
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.flow.house import House
from tests.peers.irc.registry import watch
from tests.peers.irc.stage import NEWS, Stage, template
from tests.peers.irc.users import User

__all__ = ["NETWORKS", "NICKS", "begin"]

NICKS = int(os.environ.get("NICKS", "40"))
# An account has no more nicks than this.
_EACH = 90
_TICK = 5.0
NETWORKS = {
    "inspircd+atheme": ("strict", "filtered"),
    "inspircd+anope": ("default", "plain"),
    "ngircd+anope": ("default", "filtered"),
}
"""What is tested: a pair, its limits on floods, and the bot's line."""
_NAMES = [f"owner{number}" for number in range(NICKS)]
_STRANGERS = [f"stranger{number}" for number in range(max(4, NICKS // 8))]
_MEMBERS = [f"list{number}" for number in range(NICKS // _EACH + 1)]


class Crowd:
    """A stage full of users: owners, and strangers who have an owner's nick."""

    def __init__(self, base: Path, pair: str, like: House) -> None:
        limits, line = NETWORKS[pair]
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
            until = time.monotonic() + 60 + 6 * len(_NAMES)
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
        assert not self.stage.undue()
        assert not self.stage.watcher.heard(rb"^:biff!\S+ (QUIT|PART)")
        connections = [line for _, line in relay.said if line.startswith(b"USER ")]
        assert len(connections) == 1
        told = [when for when, line in relay.said if line.endswith(b"new mail")]
        print(f"{self.stage.pair}: {len(told)} in {told[-1] - told[0]:.0f} s")


@functools.cache
def begin(base: Path) -> dict[str, Future[None]]:
    """Have all networks play at the same time; return their outcomes at once."""
    like = template(base / "template", *_MEMBERS)
    pool = ThreadPoolExecutor(len(NETWORKS))

    def play(pair: str) -> None:
        Crowd(base / pair, pair, like).play()

    return {pair: pool.submit(play, pair) for pair in NETWORKS}
