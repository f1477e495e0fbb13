"""A mail host with its gateway, a real Postfix, and lenient servers all around."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.conftest import need
from tests.flow.program import LOCAL
from tests.world.lax import LENIENT, STRICT, LaxServer
from tests.world.whole import MAIL, Whole

PEER = "127.0.1.1"
NAMES = [*LENIENT, "strict"]
_PLACES = {name: f"127.0.0.{40 + number}" for number, name in enumerate(NAMES)}
_GOOD = f'@ MX 10 mx\nmx A {PEER}\n@ TXT "v=spf1 ip4:{PEER} -all"'
_SETTINGS: dict[str, dict[str, object]] = {
    "exchange": {
        "banner_seconds": 0.0,
        "greylist": False,
        "connections_per_peer": 1_000,
    },
    # The gateway's own address too: that it does not relay is not for want of a way.
    "exit": {"allowed_networks": [*_PLACES.values(), MAIL, PEER, "127.0.0.21"]},
}
_HOST: dict[str, dict[str, object]] = {
    "quota": {"per_day": 10_000, "first_day": 10_000},
    "aliases": {"postmaster": "alice"},
}


def need_all() -> None:
    """Skip the test where something of it is missing."""
    need("nsd")
    need("unbound")
    need("postconf", "postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix runs as root only")


class Lenient:
    """All of it, with a lenient server for each domain `<what it takes>.lax`.

    Mail from the Internet is of good.example, at PEER. `zones` come to these. To be
    used in a `with`.
    """

    def __init__(self, base: Path, zones: Mapping[str, str] | None = None) -> None:
        lax = {f"{name}.lax": f"@ MX 10 mx\nmx A {_PLACES[name]}" for name in NAMES}
        self.whole = Whole(
            base,
            members=("alice", "bob"),
            zones={"good.example": _GOOD, **lax, **(zones or {})},
            gateways=1,
            gateway=_SETTINGS,
            host=_HOST,
        )
        (self.gateway,), self.house = self.whole.gateways, self.whole.house
        self._ending = ExitStack()
        self.lax = {
            name: self._ending.enter_context(
                LaxServer(_PLACES[name], self.whole.port, LENIENT.get(name, STRICT))
            )
            for name in NAMES
        }
        # Where somebody would be who is reached against the rules.
        self._inside = self._ending.enter_context(LaxServer(LOCAL, self.whole.port))

    def calls(self) -> int:
        """Return how often anybody was called, and how much mail Postfix has."""
        assert self.whole.postfix
        stored = len(self.whole.postfix.collect(0))
        called = sum(one.calls for one in self.lax.values())
        return self._inside.calls + called + stored

    def __enter__(self) -> Self:
        self._ending.enter_context(self.whole)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.close()
