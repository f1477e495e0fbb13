"""A mail host and a gateway with a link of ours between them, and a sink beyond."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.conftest import need
from tests.faults.crawl import Link
from tests.flow.house import House
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL, Section
from tests.flow.sink import Sink
from tests.world.whole import Whole

_PATIENCE = 300.0
# Where a sender of the Internet is, and who vouches for it.
PEER, SENDER = "127.77.66.51", "robert@comes.test"
# Any number of domains with one server, which is the sink.
ZONES = {
    "sink.test": f"* MX 10 mx\nmx A {LOCAL}",
    "comes.test": f'@ MX 10 mx\nmx A {LOCAL}\n@ TXT "v=spf1 ip4:127.77.0.0/16 -all"',
}


@frozen
class Apart:
    """All that runs. `inward` is called by the gateway, `outward` by the host."""

    whole: Whole
    sink: Sink
    inward: Link
    outward: Link

    @property
    def house(self) -> House:
        """The mail host."""
        return self.whole.house

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        return self.whole.gateways[0]

    @property
    def lying(self) -> int:
        """How many crates the gateway keeps sealed."""
        return sum(1 for _ in (self.gateway.state / "sealed").glob("[0-9a-f]*"))

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way, as far as disks tell."""
        return not (self.lying or self.house.ctl("queue", "list"))


@contextlib.contextmanager
def apart(
    base: Path,
    *,
    members: Sequence[str],
    host: Mapping[str, Section],
    gateway: Mapping[str, Section],
    pace: float | None = None,
    seconds: float = 0.0,
    sink: Callable[[int], Sink] = Sink,
    on_a_clock: bool = False,
) -> Iterator[Apart]:
    """Run all of it. `pace` and `seconds` are the links' (see Link).

    With `on_a_clock` the host's clocks can be moved.
    """
    need("nsd")
    need("unbound")
    whole = Whole(
        base,
        members=members,
        zones=ZONES,
        gateways=1,
        postfix=False,
        gateway=gateway,
        host=host,
    )
    if on_a_clock:
        whole.house.on_a_clock()
    outpost = whole.gateways[0]
    inward = Link(outpost.host_port, pace, seconds)
    outward = Link(outpost.link_port, pace, seconds)
    lead_through(whole.house, outpost.link_port, outward)
    outpost.host_port = inward.port
    far = sink(whole.port)
    with contextlib.ExitStack() as ending:
        for one in (far, inward, outward):
            ending.callback(one.stop)
            one.start()
        ending.enter_context(whole)
        yield Apart(whole, far, inward, outward)


def lead_through(house: House, port: int, link: Link) -> None:
    """Have a mail host find its gateway at the other end of a link."""
    before, after = f"tcp:{LOCAL}:{port}", f"tcp:{LOCAL}:{link.port}"
    text = house.config.read_text()
    assert text.count(before) == 1, text
    house.config.write_text(text.replace(before, after))


class Patience:
    """Is lost when nothing moves for long; how long all of it takes is no matter."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = time.monotonic()

    def see(self, now: object) -> None:
        """Look how things are."""
        if now != self._seen:
            self._seen, self._since = now, time.monotonic()
        waited = time.monotonic() - self._since
        assert waited < _PATIENCE, f"nothing moves any more: {now}"


def wait_for(true: Callable[[], bool], moves: Callable[[], object]) -> None:
    """Wait until something is true, for as long as something else changes."""
    patience = Patience()
    while not true():
        patience.see(moves())
        time.sleep(0.5)
