"""Who is identified with NickServ: questions out, answers in, verdicts out. Pure.

A check is about an identity (a nick and an epoch, see `roll`) and says yes only when
the server or its services said so while that identity held: the connection behind the
nick was then logged in as the nick's owner. Every doubt is a no: a timeout, a nick
that is gone, an epoch that ended, an answer that can not be placed. The methods:

tags    the account-tag of the very line that wants something; nothing to wait for
state   accounts told by extended-join, ACCOUNT and WHOX, all three
whois   330 names an account that is the nick, at the end of the same WHOIS. 307 says
        nothing: a server may leave it on any nick while services are away
acc     Atheme's ACC, for a nick grouped to an account of another name
status  Anope's STATUS, for the same

Accounts are compared by the nick as its holder spells it (`Identity.name`): where the
server takes br[] and br{} for one nick, its services may have an account for each.

An answer of services counts only from their nick at their host: while they are away
anybody may take the nick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from postmand.biff.casemap import plain
from postmand.biff.events import Event, Noticed, Numeric, Said, Source, Up
from postmand.biff.oracle import Oracle, read_acc, read_status
from postmand.biff.roll import Identity, Roll

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

_WHOIS_END = 318
_WHOIS_ACCOUNT = 330
_NO_SUCH_NICK = 401


@frozen
class Terms:
    """How identities are checked: a part of [biff], in octets.

    Of `methods` those come in question, in their order, that the section allows.
    """

    methods: tuple[str, ...]
    services: bytes
    services_host: bytes
    check_seconds: float = 30.0
    # Checks under way at a time; more are refused.
    most: int = 16


@define(eq=False)
class Check:
    """One question: is this identity its nick's owner? `verdict` is None till known.

    While `asks` is true its next question is to be asked (`Checks.ask`); `cost` is
    what the server counts for it, in lines.
    """

    identity: Identity
    verdict: bool | None = None
    asks: bool = False
    cost: int = 1
    _methods: Iterator[str] = field(factory=lambda: iter(()))
    # The question that is open, when it is given up, and what was heard so far.
    _method: str = ""
    _deadline: float = float("inf")
    _fence: bytes = b""
    _matched: bool = False
    # The server itself says that the account has another name than the nick.
    _foreign: bool = False


class Checks:
    """All checks under way. Times (`now`) are seconds of any epoch that run forward.

    The roll must have been told of an event before the checks are.
    """

    def __init__(self, terms: Terms, roll: Roll, random: Random) -> None:
        self._terms = terms
        self._roll = roll
        self._services = terms.services.partition(b"@")[0]
        self._oracles = {
            "acc": Oracle(b"ACC", read_acc, random),
            "status": Oracle(b"STATUS", read_status, random),
        }
        self._under_way: dict[Identity, Check] = {}
        # Whether this server tells accounts in WHOIS: then silence is an answer, too.
        self._tells_accounts = False

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, identity: Identity, now: float, said: Said | None = None) -> Check:
        """Return a check of this identity, which may know its verdict already.

        `said` is the line that wants something. A check of the same identity that is
        under way is joined: it is the same connection's.
        """
        check = Check(identity, methods=iter(self._terms.methods))
        if not self._roll.holds(identity):
            check.verdict = False
            return check
        self._tag(check, said)
        if check.verdict is not None:
            return check
        joined = self._under_way.get(identity)
        if joined is not None:
            return joined
        if len(self._under_way) >= self._terms.most:
            check.verdict = False
            return check
        self._under_way[identity] = check
        self._go_on(check, now)
        return check

    def ask(self, check: Check, now: float) -> Sequence[tuple[bytes, ...]]:
        """Return the lines that ask the check's question, to be written at once.

        Each is a command and its parameters. None for a check that asks nothing.
        """
        if not check.asks:
            return ()
        check.asks = False
        check._deadline = now + self._terms.check_seconds
        nick = self._roll.spelled(check.identity)
        if check._method == "whois":
            return [(b"WHOIS", nick)]
        oracle = self._oracles[check._method]
        check._fence, to_ask = oracle.raise_fence()
        names = [check._fence, nick] if to_ask else [nick]
        services = self._terms.services
        return [(b"PRIVMSG", services, oracle.word + b" " + name) for name in names]

    def happened(self, event: Event, now: float) -> Sequence[Check]:
        """Take the next event; return the checks that have a verdict or ask anew."""
        if isinstance(event, Up):
            self._tells_accounts = False
            for oracle in self._oracles.values():
                oracle.reset()
        changed = [
            check
            for identity, check in self._under_way.items()
            if not self._roll.holds(identity)
        ]
        for check in changed:
            self._settle(check, verdict=False)
        match event:
            case Numeric(code, params) if len(params) >= 2:
                changed += self._numeric(code, params, now)
            case Noticed(source, _, text) if self._is_services_host(source):
                for oracle in self._oracles.values():
                    oracle.heard()
                if self._roll.same(source.nick, self._services):
                    changed += self._services_said(text, now)
        return changed

    def _is_services_host(self, source: Source) -> bool:
        host = self._terms.services_host.lower()
        return host != b"" and source.host.lower() == host

    def expired(self, now: float) -> Sequence[Check]:
        """Give up the questions whose time is over; return checks as `happened`."""
        late = [one for one in self._under_way.values() if now >= one._deadline]
        for check in late:
            oracle = self._oracles.get(check._method)
            if oracle is None:
                # A server that does not answer will not pass a question on, either.
                self._settle(check, verdict=False)
                continue
            if check._fence:
                oracle.silent(now)
            oracle.abandon()
            self._go_on(check, now)
        return late

    def give_up(self, check: Check) -> None:
        """Nobody waits for this check any more, or its question can not be asked."""
        if check.verdict is None:
            self._settle(check, verdict=False)

    def _settle(self, check: Check, *, verdict: bool) -> None:
        oracle = self._oracles.get(check._method)
        if oracle is not None and not check.asks and not verdict:
            # Whether or not the answer came: a fence too many is one line.
            oracle.abandon()
        check.verdict, check.asks = verdict, False
        if self._under_way.get(check.identity) is check:
            del self._under_way[check.identity]

    def _tag(self, check: Check, said: Said | None) -> None:
        if "tags" in self._terms.methods and said is not None and said.tagged:
            self._account(check, said.account)

    def _account(self, check: Check, account: bytes | None) -> None:
        """Judge by an account the server has told; b"" is nobody's."""
        if account is None:
            return
        if not account:
            self._settle(check, verdict=False)
        elif plain(account) == check.identity.name:
            self._settle(check, verdict=True)
        else:
            check._foreign = True

    def _go_on(self, check: Check, now: float) -> None:
        """Come to the next method that can tell; without one the verdict is no."""
        check._deadline, check._fence = float("inf"), b""
        check._matched = check.asks = False
        for method in check._methods:
            check._method = method
            if method == "state":
                self._account(check, self._roll.account(check.identity))
                if check.verdict is not None:
                    return
            elif method == "whois" and not check._foreign:
                # Servers take a WHOIS for more than a line.
                check.asks, check.cost = True, 2
                return
            elif method in self._oracles and self._oracles[method].listens(now):
                check.asks, check.cost = True, 2
                return
        check._method = ""
        self._settle(check, verdict=False)

    def _numeric(
        self, code: int, params: Sequence[bytes], now: float
    ) -> Sequence[Check]:
        nick = self._roll.fold(params[1])
        if code == _WHOIS_ACCOUNT and len(params) >= 3:
            self._tells_accounts = True
            for check in self._open("whois", nick):
                names = {plain(params[1]), plain(params[2])}
                check._matched = names == {check.identity.name}
                check._foreign = not check._matched
            return ()
        if code == _WHOIS_END:
            return [self._whois_over(one, now) for one in self._open("whois", nick)]
        if code == _NO_SUCH_NICK:
            gone = self._open("whois", nick)
            for check in gone:
                self._settle(check, verdict=False)
            return [*gone, *self._services_gone(nick, now)]
        return ()

    def _open(self, method: str, nick: bytes) -> Sequence[Check]:
        """Return the checks whose question by this method is open for this nick."""
        return [
            check
            for identity, check in self._under_way.items()
            if identity.nick == nick and check._method == method and not check.asks
        ]

    def _whois_over(self, check: Check, now: float) -> Check:
        if check._matched:
            self._settle(check, verdict=True)
        elif self._tells_accounts and not check._foreign:
            self._settle(check, verdict=False)
        else:
            self._go_on(check, now)
        return check

    def _services_gone(self, nick: bytes, now: float) -> Sequence[Check]:
        if nick != self._roll.fold(self._terms.services):
            return ()
        gone = [
            check
            for check in self._under_way.values()
            if check._method in self._oracles and not check.asks
        ]
        for check in gone:
            self._oracles[check._method].abandon()
            self._go_on(check, now)
        return gone

    def _services_said(self, text: bytes, now: float) -> Sequence[Check]:
        changed: list[Check] = []
        for method, oracle in self._oracles.items():
            answer = oracle.read(text)
            if answer is None:
                continue
            oracle.answered(answer.name)
            for check in self._under_way.values():
                if check._method == method and check._fence == answer.name:
                    check._fence = b""
            for check in self._open(method, self._roll.fold(answer.name)):
                if check._fence or plain(answer.name) != check.identity.name:
                    continue  # an answer to another question, or an older one
                changed.append(check)
                if answer.identified:
                    self._settle(check, verdict=True)
                else:
                    self._go_on(check, now)
        return changed
