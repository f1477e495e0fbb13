"""What NickServ says of a nick, and which of its answers may be believed.

Services answer in the order in which they were asked, but through a link of their own:
an answer of theirs may come after lines of the server that make it wrong. Within one
check this does no harm (the question was asked after the nick's holder was seen to
take it). An answer to an earlier question that nobody waits for any more would: the
nick may have changed hands since. So after such a question a fence is asked first, a
name nobody bears, and answers count only when the fence's own answer has come. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# The level that means "has shown the nick's password" (2 is an address list's match).
_IDENTIFIED = b"3"
# Services that did not answer a fence in time are not asked for so many seconds, or
# until they are heard of again; those that do not know the word, for so many at least.
_DEAF_SECONDS = 600.0


@frozen
class Answer:
    """What the services said of a name: whether its holder is logged in to its owner.

    `name` is spelled as they spelled it.
    """

    name: bytes
    identified: bool


def read_acc(text: bytes) -> Answer | None:
    """Read Atheme's answer to a plain `ACC nick`, None for any other text.

    "alice ACC 3 ", or with another level and words behind it. The forms with an arrow
    ("alice -> mallory ACC 3") answer other questions, and 3 means less there.
    """
    words = text.split()
    if len(words) < 3 or words[1] != b"ACC" or not words[2].isdigit():
        return None
    return Answer(words[0], words[2] == _IDENTIFIED)


def read_status(text: bytes) -> Answer | None:
    """Read Anope's answer to `STATUS nick`, None for any other text.

    "STATUS alice 3 alice"; the account at the end is missing at lower levels.
    """
    words = text.split()
    if not 3 <= len(words) <= 4 or words[0] != b"STATUS" or not words[2].isdigit():
        return None
    return Answer(words[1], words[2] == _IDENTIFIED)


class Oracle:
    """One word to ask the services by, and the fences of its questions.

    `word` goes before the nick, `read` reads the answer.
    """

    def __init__(
        self, word: bytes, read: Callable[[bytes], Answer | None], random: Random
    ) -> None:
        self.word = word
        self.read = read
        self._random = random
        self.reset()

    def reset(self) -> None:
        """A new link: nobody knows what was asked before us under our name."""
        self._doubt = True
        self._fence = b""
        self._deaf_until = float("-inf")
        self._has_heard = self._is_unknown = False

    def listens(self, now: float) -> bool:
        """Whether it is worth asking."""
        return now >= self._deaf_until

    def abandon(self) -> None:
        """A question was asked whose answer nobody waits for any more."""
        self._doubt = True

    def raise_fence(self) -> tuple[bytes, bool]:
        """Return the name that has to be answered first (b"": none), and if to ask it.

        Called just before a question is asked.
        """
        if not self._doubt:
            return self._fence, False
        self._doubt = self._has_heard = False
        name = "q" + "".join(self._random.choices(_LETTERS, k=8))
        self._fence = name.encode()
        return self._fence, True

    def answered(self, name: bytes) -> None:
        """Something was said of `name`: the latest fence may fall by it."""
        if name == self._fence:
            self._fence = b""
        # However late: whoever answers knows the word and is there.
        self._deaf_until = float("-inf")
        self._is_unknown = False

    def heard(self) -> None:
        """The services said something, to whom and of what does not matter."""
        self._has_heard = True
        if not self._is_unknown:
            self._deaf_until = float("-inf")

    def silent(self, now: float) -> None:
        """No answer came to a fence: the services are away, or know not the word.

        Away they are where nothing at all was heard of them since.
        """
        self._is_unknown = self._has_heard
        self._deaf_until = now + _DEAF_SECONDS
