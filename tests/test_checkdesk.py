"""The desk check@: one letter at a time, one of each account, no fault for others."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import Credential
from postmand.message.disclosure import Spoken
from postmand.message.sanitizer import Limits, parse, wash
from postmand.postoffice import CheckDesk, Stationery, checkdesk
from postmand.postoffice.checkdesk import Line
from postmand.postoffice.desks import Question, to_be_answered
from tests.fuzz_sanitizer import ME

_RAW = b"From: jondoe@mail.i2p\r\nX-Mailer: x/1.0\r\n\r\nhello\r\n"


def question(account: int = 1, raw: bytes = _RAW) -> Question:
    draft = parse(raw, Limits())
    return Question(
        Credential(account, "jondoe", 1, False, "", 0, "", b"", b"", 1, 8, b"", b""),
        draft,
        b"<given-out@mail.i2p>",
        ME,
        wash(draft, ME, {}, random.Random(1)),
        Spoken(),
        lambda: raw,
    )


@pytest.mark.parametrize(
    ("field", "answered"),
    [
        (b"X-Mailer: x", True),
        (b"Auto-Submitted: no", True),
        (b"Auto-Submitted: auto-replied", False),
        (b"Precedence: bulk", False),
        (b"Precedence: Junk", False),
        (b"precedence: list (x)", False),
        (b"Precedence: first-class", True),
        (b"X-Auto-Response-Suppress: All", False),
        (b"X-Auto-Response-Suppress: DR, OOF", False),
        (b"X-Auto-Response-Suppress: None", True),
        (b"List-Id: <a.b.i2p>", False),
    ],
)
def test_automatic_mail(field: bytes, answered: bool) -> None:
    """What a program or a list sent is not answered: it might answer the answer."""
    draft = parse(field + b"\r\n" + _RAW, Limits())
    assert to_be_answered(["check"], draft) == (["check"] if answered else ())


class CheckDeskTest(SynchronousTestCase):
    """What is asked of it at once, and what goes wrong."""

    def setUp(self) -> None:
        """Open a desk whose thread is held."""
        self.running: list[tuple[Deferred[Any], Any]] = []
        self.events: list[Any] = []
        log = Logger("check", observer=LogPublisher(self.events.append))
        paper = Stationery(b"mail.i2p", lambda: 1_795_342_851.0, random.Random(1))
        self.desk = CheckDesk(paper, self.in_thread, Line(3), log)

    def in_thread(self, function: Any, *given: Any) -> Deferred[Any]:
        """Hold a call."""
        done: Deferred[Any] = Deferred()
        self.running.append((done, lambda: function(*given)))
        return done

    def step(self) -> None:
        """Let the call that is held do its work."""
        done, call = self.running.pop(0)
        try:
            result = call()
        except Exception as error:  # as a thread's errors come
            done.errback(error)
        else:
            done.callback(result)

    def ask(self, account: int = 1) -> Deferred[tuple[bytes, bytes]]:
        """Ask the desk."""
        return Deferred.fromCoroutine(self.desk.answer(question(account)))

    def test_one_at_a_time(self) -> None:
        """Three accounts are answered, one after the other."""
        asked = [self.ask(account) for account in (1, 2, 3)]
        for one in asked:
            self.assertEqual(len(self.running), 1)
            self.assertNoResult(one)
            self.step()
            self.assertIn(b"of 100", self.successResultOf(one)[0])
        self.assertEqual(self.running, [])

    def test_one_of_each_account(self) -> None:
        """A second letter of the same account is answered at once, and briefly."""
        first = self.ask()
        head, body = self.successResultOf(self.ask())
        self.assertIn(b"was not looked at", head)
        self.assertIn(b"send this mail again", body)
        self.assertEqual(len(self.running), 1)
        self.step()
        self.assertIn(b"of 100", self.successResultOf(first)[0])
        again = self.ask()
        self.step()
        self.assertIn(b"of 100", self.successResultOf(again)[0])

    def test_line_is_bounded(self) -> None:
        """Who comes when it is full is told so; who stands in it is served."""
        asked = [self.ask(account) for account in (1, 2, 3)]
        self.assertIn(b"was not looked at", self.successResultOf(self.ask(4))[0])
        for one in asked:
            self.step()
            self.successResultOf(one)

    def test_fault(self) -> None:
        """What goes wrong is logged without a word of the mail, and answered."""

        def broken(*given: Any) -> Any:
            raise MemoryError("marys-laptop")

        self.patch(checkdesk, "disclose", broken)
        asked = self.ask()
        self.step()
        head, body = self.successResultOf(asked)
        self.assertIn(b"could not be looked at", head)
        self.assertIn(b"fault of ours", body)
        (event,) = self.events
        self.assertIn("MemoryError", event["fault"])
        self.assertNotIn("marys-laptop", str(event["fault"]))
        self.patch(checkdesk, "report", lambda told: "fine")
        self.patch(checkdesk, "disclose", lambda *given: type("D", (), {"score": 1}))
        asked = self.ask()
        self.step()
        self.assertIn(b"1 of 100", self.successResultOf(asked)[0])
