"""IRCv3 capabilities: what a server offers, what we ask for, what it granted."""

from __future__ import annotations

from collections.abc import Sequence

# Through the I2P router's IRC tunnel a line that begins with tags, and ACCOUNT, are
# dropped whole: who has asked for tags there is deaf from then on.
FILTERED = (b"extended-join",)
UNFILTERED = (b"extended-join", b"account-notify", b"account-tag")

# Names a server may offer; beyond that it is no server of good will.
_OFFERS = 200


class Capabilities:
    """One connection's negotiation, CAP LS 302 and after.

    `granted` are those in force. Values are kept of "sasl" only.
    """

    def __init__(self, wanted: Sequence[bytes]) -> None:
        self.granted: set[bytes] = set()
        self.mechanisms: bytes | None = None
        self._wanted = wanted
        self._offered: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._listed = False

    @property
    def is_settled(self) -> bool:
        """Whether the offers are heard to the end and every question is answered."""
        return self._listed and not self._asked

    @property
    def can_plain(self) -> bool:
        """Whether SASL PLAIN is granted, as far as the server tells its mechanisms."""
        names = (self.mechanisms or b"PLAIN").upper().split(b",")
        return b"sasl" in self.granted and b"PLAIN" in names

    def heard(self, params: Sequence[bytes]) -> tuple[bytes, ...]:
        """Take a CAP line's parameters; return the capabilities to be asked for now."""
        if len(params) < 3:
            return ()
        verb, names = params[1].upper(), params[-1].split()
        if verb == b"LS":
            self._offers(names)
            if params[2] != b"*" or len(params) == 3:
                self._listed = True
                return self._ask()
        elif verb == b"NEW":
            self._offers(names)
            return self._ask()
        elif verb == b"ACK":
            self._answered(names, granted=True)
        elif verb in (b"NAK", b"DEL"):
            self._answered(names, granted=False)
        return ()

    def _offers(self, names: Sequence[bytes]) -> None:
        for word in names[: _OFFERS - len(self._offered)]:
            name, _, value = word.partition(b"=")
            self._offered.add(name)
            if name == b"sasl":
                self.mechanisms = value

    def _ask(self) -> tuple[bytes, ...]:
        asked = tuple(
            name
            for name in self._wanted
            if name in self._offered and name not in self.granted | self._asked
        )
        self._asked.update(asked)
        return asked

    def _answered(self, names: Sequence[bytes], *, granted: bool) -> None:
        for word in names:
            name = word.lstrip(b"-~=")
            self._asked.discard(name)
            if granted and name in self._wanted and not word.startswith(b"-"):
                self.granted.add(name)
            else:
                self.granted.discard(name)
                self._offered.discard(name)
