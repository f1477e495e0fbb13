"""Where a command reads and writes: its streams, and how it asks for a secret.

A secret is read from a terminal without echo or from standard input, never from the
command line, and is never printed.
"""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol, TextIO

from attrs import field, frozen

# Longer than any password or recovery code may be.
_LINE_OCTETS = 4096


class CommandError(Exception):
    """A command that was not done. The text is one line that says what to do."""


@frozen(eq=False)
class Terminal:
    """The streams of one command; `ask` puts a question and reads without echo."""

    stdin: BinaryIO
    out: TextIO
    err: TextIO
    ask: Callable[[str], str] = field(repr=False)

    def say(self, text: str = "") -> None:
        """Write a line of the answer."""
        print(text, file=self.out)

    def note(self, text: str) -> None:
        """Write a line that is no part of the answer: an error, a word of advice."""
        print(text, file=self.err, flush=True)

    def prompt(self, question: str) -> str:
        """Ask for something that is no secret; returns "" at the end of the input."""
        print(question, end="", file=self.err, flush=True)
        return self.stdin.readline(_LINE_OCTETS).decode(errors="replace").strip()


def printable(text: str) -> str:
    """Return `text` on one line, without what could steer a terminal."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def standard() -> Terminal:
    """Return the terminal of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A display name must not end a command in a plain-ASCII terminal.
            stream.reconfigure(errors="backslashreplace")
    return Terminal(sys.stdin.buffer, sys.stdout, sys.stderr, _ask)


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to ask for a secret at; "
            "hand it in with --password-stdin"
        )
    return getpass.getpass(question)


class Secrets(Protocol):
    """Where the secrets of a command come from. `what` names one in a few words."""

    def known(self, what: str) -> bytes:
        """Return a secret that exists already."""

    def new(self, what: str) -> bytes:
        """Return a secret that is being chosen."""


@frozen(eq=False)
class Typed:
    """Secrets typed at the terminal; a new one twice."""

    _terminal: Terminal

    def known(self, what: str) -> bytes:
        """Ask for a secret."""
        return _octets(self._terminal.ask(f"{what}: "))

    def new(self, what: str) -> bytes:
        """Ask for a secret twice; raises CommandError if they differ."""
        first = self.known(what)
        if first != self.known(f"{what} again"):
            raise CommandError(
                "the two passwords differ; nothing was changed, begin anew"
            )
        return first


@frozen(eq=False)
class Lines:
    """Secrets that are the lines of standard input, in order, without line ends."""

    _terminal: Terminal

    def known(self, what: str) -> bytes:
        """Read the next line; raises CommandError when there is none."""
        line = self._terminal.stdin.readline(_LINE_OCTETS)
        if not line:
            raise CommandError(
                f"standard input ended before the {what.lower()}; "
                "write each secret on a line of its own"
            )
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def new(self, what: str) -> bytes:
        """Read the next line."""
        return self.known(what)


def _octets(text: str) -> bytes:
    # What was typed is not quoted in the error, as UnicodeEncodeError would.
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CommandError(
            "what was typed is not UTF-8; set a UTF-8 locale and type it again"
        ) from None
