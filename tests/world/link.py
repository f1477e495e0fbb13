"""The link of host and gateways, watched: on the wire, and in the counters."""

from __future__ import annotations

import contextlib
import tomllib
from types import TracebackType
from typing import Any, Self

from postmand.link import new_identity
from tests.flow.program import Program
from tests.world.counters import Counters
from tests.world.tap import Tap, shown_to
from tests.world.whole import Whole

_DELIVERED = 'postmand_relay_total{result="delivered"}'
_ACCEPTED = "postmand_accepted_total"


class WatchedLink:
    """What passes between the programs of a `whole` that is yet to be started.

    Both connections of each gateway, the host's to it and its own to the host, lead
    through a tap, and all programs show their counters. To be used in a `with`, around
    that of the whole.
    """

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        programs = (whole.house, *whole.gateways)
        self._counters = {one: Counters(one) for one in programs}
        for gateway in whole.gateways:
            gateway.configure(delays={"tick_seconds": 0.1})
        self._outward = [Tap(one.link_port) for one in whole.gateways]
        self._inward = [Tap(one.host_port) for one in whole.gateways]
        self._before: dict[Any, float] = {}
        config = whole.house.config
        text = config.read_text()
        for gateway, out, back in zip(
            whole.gateways, self._outward, self._inward, strict=True
        ):
            text = text.replace(f":{gateway.link_port}'", f":{out.port}'")
            text = text.replace(f':{gateway.link_port}"', f':{out.port}"')
            gateway.host_port = back.port
        config.write_text(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for tap in (*self._outward, *self._inward):
            tap.stop()

    def mark(self) -> None:
        """Note how things stand, so that the next proof tells of what comes after."""
        for tap in (*self._outward, *self._inward):
            self._before[tap] = tap.octets
        for program, counters in self._counters.items():
            for name in (_DELIVERED, _ACCEPTED):
                self._before[program, name] = counters.value(name)

    def out(
        self, number: int, octets: int, words: tuple[bytes, ...]
    ) -> tuple[str, ...]:
        """Return what proves that a mail went to gateway `number`; "" for a gap.

        It was of so many octets at least, and none of the `words` was to be seen.
        """
        gateway = self._whole.gateways[number - 1]
        pinned = _table(self._whole.house)["gateways"][number - 1]["pin"]
        return (
            self._seen(f"host -> mx{number}", self._outward[number - 1], octets, words),
            _keys(f"mx{number}", gateway.link_port, pinned),
            self._risen("mail host", self._whole.house, _DELIVERED),
            self._risen(f"mx{number}", gateway, _DELIVERED),
        )

    def back(
        self, number: int, octets: int, words: tuple[bytes, ...]
    ) -> tuple[str, ...]:
        """Return what proves that gateway `number` forwarded a mail, like `out`."""
        gateway, tap = self._whole.gateways[number - 1], self._inward[number - 1]
        pinned = _table(gateway)["link"]["host_pin"]
        return (
            self._seen(f"mx{number} -> host", tap, octets, words),
            _keys("the mail host", tap.target, pinned),
            self._risen(f"mx{number}", gateway, _ACCEPTED),
            self._risen("mail host", self._whole.house, _ACCEPTED),
        )

    def _seen(self, way: str, tap: Tap, octets: int, words: tuple[bytes, ...]) -> str:
        passages = list(tap.passages)
        passed = tap.octets - int(self._before[tap])
        protected = {one.protected for one in passages} == {"TLS 1.3"}
        if not protected or passed < octets or tap.holds(*words):
            return ""
        return (
            f"{way}, as a wiretap sees it: {len(passages)} connected, all TLS 1.3; "
            f"{passed} octets with this mail, no word of it"
        )

    def _risen(self, who: str, program: Program, name: str) -> str:
        """Return a counter's line once it is one more than it was."""
        before = self._before[program, name]
        count = self._counters[program].risen(name, before + 1)
        return f"{who}: {name} {before:g} -> {count:g}" if count == before + 1 else ""


def _keys(who: str, port: int, pinned: str) -> str:
    """Return that the pinned key is shown, and that a stranger's own is refused."""
    with contextlib.suppress(OSError):
        shown = shown_to(new_identity(), port)
        if shown.pin == pinned and shown.refusal:
            return f"{who} shows {pinned}, as pinned; to a stranger: {shown.refusal}"
    return ""


def _table(program: Program) -> dict[str, Any]:
    return tomllib.loads(program.config.read_text())
