"""Senders with a queue of numbered messages, who try again what got no answer."""

from __future__ import annotations

import random
import smtplib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from attrs import Factory, define, frozen

_PAUSE = 0.2
# Before each message, at most so many seconds: what goes wrong is to find some there.
_LEISURE = 2.0


@frozen
class Note:
    """One message to be sent: its envelope and its text, CRLF line ends, no dots."""

    sender: str
    recipient: str
    text: bytes


@define
class Told:
    """What senders know, by number.

    `unsure` counts the tries of each message whose last dot was said and not answered.
    """

    kept: set[int] = Factory(set)
    refused: set[int] = Factory(set)
    unsure: Counter[int] = Factory(Counter)


class Senders:
    """Threads that hand in messages by `number`, over sessions that `enter` opens.

    Each is tried until it was answered 250, or refused for good. What had no answer to
    its last dot is tried again if they are `stubborn`.
    """

    def __init__(
        self,
        numbers: Iterable[int],
        enter: Callable[[], smtplib.SMTP],
        note: Callable[[int], Note],
        *,
        stubborn: bool,
        threads: int,
    ) -> None:
        self.told = Told()
        self._waiting = deque(numbers)
        self._pending = set(self._waiting)
        self._enter = enter
        self._note = note
        self._stubborn = stubborn
        self._given_up = False
        self._wrong: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, daemon=True) for _ in range(threads)
        ]

    def __len__(self) -> int:
        """Return how many messages wait for an answer."""
        return len(self._pending)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Leave off; a surprise of theirs is raised here."""
        self._given_up = True
        for thread in self._threads:
            thread.join()
        if self._wrong:
            raise self._wrong[0]

    def _run(self) -> None:
        try:
            while self._pending and not self._given_up:
                # Who listens there may be killed at any word.
                with (
                    suppress(OSError, smtplib.SMTPException),
                    self._enter() as session,
                ):
                    while self._waiting and not self._given_up:
                        time.sleep(random.uniform(0, _LEISURE))
                        self._send(session)
                time.sleep(_PAUSE)
        except BaseException as error:
            self._wrong.append(error)

    def _send(self, session: smtplib.SMTP) -> None:
        try:
            number = self._waiting.popleft()
        except IndexError:
            return  # another took it
        before = self.told.unsure[number]
        done = False
        try:
            done = self._try(session, number)
        finally:
            given_up = self.told.unsure[number] > before and not self._stubborn
            if done or given_up:
                self._pending.discard(number)
            else:
                self._waiting.append(number)

    def _try(self, session: smtplib.SMTP, number: int) -> bool:
        """Say a message; tell whether it was answered for good."""
        note = self._note(number)
        for command in (
            f"MAIL FROM:<{note.sender}>",
            f"RCPT TO:<{note.recipient}>",
            "DATA",
        ):
            code = _said(session.docmd(command))
            if code >= 500:
                self.told.refused.add(number)
            if code >= 400:
                session.rset()
                time.sleep(_PAUSE)
                return code >= 500
        self.told.unsure[number] += 1
        session.send(note.text + b".\r\n")
        code = _said(session.getreply())
        self.told.unsure[number] -= 1
        if code == 250:
            self.told.kept.add(number)
        elif code >= 500:
            self.told.refused.add(number)
        else:
            time.sleep(_PAUSE)
        return code == 250 or code >= 500


def _said(reply: tuple[int, bytes]) -> int:
    """Return a reply's code; a farewell is an end like others."""
    if reply[0] in (-1, 421):
        raise smtplib.SMTPServerDisconnected(reply[1])
    return reply[0]
