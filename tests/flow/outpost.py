"""A whole gateway as its own process, as a volunteer starts it."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.flow.house import House, Wire
from tests.flow.program import LOCAL, Program, Section, free_port, toml

# Everything else than a test may wait for: seconds where the Internet has minutes. And
# all who bring mail are of one network.
QUICK: dict[str, dict[str, object]] = {
    "exchange": {
        "banner_seconds": 0.1,
        "greylist_seconds": 1,
        "questions_per_network_minute": 10_000,
        "questions_per_network_hour": 10_000,
    },
    "exit": {"allowed_networks": ["127.0.0.0/8"], "mta_sts": False},
}


class Gateway(Program):
    """A gateway in a directory of its own: made by init, paired, configured, started.

    It is the Internet's at `address` and `port`; the mail host's at `link_port`, and it
    reaches that at `host_port`. `others` are the domain's gateways beside it,
    `overrides` sections over QUICK. Where `on_ipv6` is set before the start, it is the
    Internet's at ::1, too.
    """

    on_ipv6 = False

    def __init__(
        self,
        base: Path,
        address: str,
        port: int,
        host_port: int,
        *,
        name: str = "mx1.i2pmail.org",
        others: Sequence[str] = (),
        domain: str = "i2pmail.org",
        **overrides: Section,
    ) -> None:
        super().__init__(base)
        base.mkdir(exist_ok=True)
        self.name, self.address, self.port = name, address, port
        self.host_port = host_port
        self.link_port = free_port()
        self.records = self.ctl(
            *("gateway", "init", "--domain", domain, "--host-name", name),
            *("--address", address, "--state", str(self.state)),
            *(word for one in others for word in ("--mx", one)),
        )
        self.configure(**overrides)

    @property
    def published(self) -> list[str]:
        """The records that init printed, which their operator publishes."""
        lines = self.records.splitlines()
        return [line for line in lines if " IN " in line and not line.startswith(";")]

    def configure(self, **overrides: Section) -> None:
        """Write the configuration, what was paired kept; takes effect at a start."""
        sections: dict[str, Any] = tomllib.loads(self.config.read_text())
        places: dict[str, dict[str, object]] = {
            "exchange": {"listen": self._exchange()},
            "exit": {"port": self.port},
            "link": {
                "listen": [f"tcp:{self.link_port}:interface={LOCAL}"],
                "host": f"tcp:{LOCAL}:{self.host_port}",
            },
        }
        for more in (QUICK, places, overrides):
            for section, table in more.items():
                assert isinstance(table, Mapping)
                sections.setdefault(section, {}).update(table)
        self.config.write_text(toml(sections))

    def _exchange(self) -> list[str]:
        places = [f"tcp:{self.port}:interface={self.address}"]
        if self.on_ipv6:
            places.append(rf"tcp6:{self.port}:interface=\:\:1")
        return places

    def pair(self, house: House) -> Self:
        """Exchange the keys with a mail host, each end's text to the other."""
        told = house.ctl("gateway", "pair").strip()
        ours = self.ctl("gateway", "pair", told).strip()
        endpoint = f"tcp:{LOCAL}:{self.link_port}"
        house.ctl("gateway", "pair", ours, "--endpoint", endpoint)
        return self

    def start(self) -> Self:
        """Start it and wait until it greets the Internet."""
        self.launch()
        self.await_banner(self.port, self.address)
        return self

    @contextlib.contextmanager
    def wire(self, own: str = LOCAL) -> Any:
        """Open a bare connection from an address of ours; its banner is not read."""
        with Wire(self.port, self.address, own) as wire:
            yield wire
