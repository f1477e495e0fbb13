"""The mail system and the Internet around it, on one machine.

A mail host, gateways that are paired with it, the name system with their zone, and a
Postfix that is example.org: its mail exchanger, and its users' server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from postmand.link import new_identity
from tests.flow.abroad import QUICK, record
from tests.flow.house import House
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL, Section, free_port
from tests.peers.postfix import Internet
from tests.world.dns import World

MAIL = "127.0.0.30"
# A network of loopback for each gateway: one of them may be away.
_GATEWAYS = ("127.0.0.21", "127.0.0.22")
EXAMPLE = f"""\
@ MX 10 mail
mail A {MAIL}
@ TXT "v=spf1 ip4:{MAIL} -all"
"""


class Whole:
    """All of it, in directories below `base`; to be used in a `with`.

    In the DNS is what the gateways print to be published, and their mail leaves from
    where that says. `zones` come to those of i2pmail.org and example.org, `bogus` ones
    as the World has them. `gateway` are sections over the gateways' own, `host` over
    the mail host's.
    """

    def __init__(
        self,
        base: Path,
        *,
        members: Sequence[str] = ("alice",),
        zones: Mapping[str, str] | None = None,
        bogus: Sequence[str] = (),
        gateways: int = 2,
        postfix: bool = True,
        gateway: Mapping[str, Section] | None = None,
        host: Mapping[str, Section] | None = None,
    ) -> None:
        self.port, inbound = free_port(), free_port()
        (base / "host").mkdir()
        sections: dict[str, Any] = {**QUICK, **(host or {})}
        listen = [f"tcp:{inbound}:interface={LOCAL}"]
        sections["inbound"] = {**sections.get("inbound", {}), "listen": listen}
        self.house = House(base / "host", **sections)
        self.house.add(*members)
        self.dkim = record(self.house)
        self._sections = dict(gateway or {})
        names = [f"mx{number}.i2pmail.org" for number in range(1, gateways + 1)]
        self.gateways = [
            Gateway(
                *(base / f"gateway{number}", address, self.port, inbound),
                name=name,
                others=names,
            ).pair(self.house)
            for number, (name, address) in enumerate(
                zip(names, _GATEWAYS, strict=False), 1
            )
        ]
        ours = {"i2pmail.org": self._zone(), "example.org": EXAMPLE}
        self.world = World(base / "dns", {**ours, **(zones or {})}, bogus=bogus)
        self._wants_postfix = postfix
        self._base = base
        self.postfix: Internet | None = None

    def _zone(self) -> str:
        """Return what the operator publishes: DKIM's record in pieces of a line.

        What several gateways print alike is published once, as they print it.
        """
        name, text = (part.decode() for part in self.dkim)
        pieces = " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
        printed = [line for one in self.gateways for line in one.published]
        return "\n".join([f"{name} TXT {pieces}", *dict.fromkeys(printed)]) + "\n"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bring all up: first those whom the others ask."""
        self.world.start()
        # Before the gateways, which reach for it at once and then after a while.
        self.house.start()
        exits: dict[str, object] = {"resolver": self.world.resolver}
        for one in self.gateways:
            more = dict(self._sections)
            own = {**exits, "source": [one.address]}
            more["exit"] = {**own, **dict(more.get("exit", {}))}  # type: ignore[arg-type]
            one.configure(**more)
            one.start()
        if self._wants_postfix:
            ways = [(one.address, one.port) for one in self.gateways]
            self.postfix = Internet(new_identity(), MAIL, self.port, ways)

    def stop(self) -> None:
        """End all, the host first; all are ended, whatever one of them says."""
        with contextlib.ExitStack() as ending:
            ending.callback(self.world.stop)
            for one in self.gateways:
                ending.callback(one.stop)
            if self.postfix is not None:
                ending.callback(self.postfix.stop)
            ending.callback(self.house.stop)
