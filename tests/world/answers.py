"""A resolver that knows what a test tells it."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from postmand.inbound import IResolver, Records

FAILED = Records("failed")
NO_NAME = Records("none", exists=False)


@implementer(IResolver)
class Answers:
    """Answers by "name kind"; a name that has no records of any kind does not exist.

    Questions whose text is in `held` wait until `release`. `asked` are all of them.
    """

    def __init__(self, zone: Mapping[str, Records | str | list[str]]) -> None:
        self.zone = dict(zone)
        self.asked: list[str] = []
        self.held: set[str] = set()
        self.silent = False
        self.waiting: list[tuple[str, Deferred[Records]]] = []

    def ask(self, name: str, kind: str) -> Deferred[Records]:
        """See IResolver."""
        question = f"{name} {kind}"
        self.asked.append(question)
        if self.silent or question in self.held:
            answer: Deferred[Records] = Deferred()
            self.waiting.append((question, answer))
            return answer
        return succeed(self._records(question))

    def release(self) -> None:
        """Answer what waits."""
        waiting, self.waiting = self.waiting, []
        for question, answer in waiting:
            if not answer.called:
                answer.callback(self._records(question))

    def _records(self, question: str) -> Records:
        known = self.zone.get(question)
        if isinstance(known, Records):
            return known
        if known is not None:
            texts = [known] if isinstance(known, str) else known
            return Records("found", tuple(texts))
        name = question.partition(" ")[0]
        exists = any(one.partition(" ")[0] == name for one in self.zone)
        return Records("none") if exists else NO_NAME
