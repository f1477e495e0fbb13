r"""Transcripts: what a client says and what the server must answer, as text files.

`#` begins a comment. First what is given, then what is said:

    set SECTION KEY NUMBER   a setting: `set limits protocol_errors 3`
    members NAME ...         accounts, all with the password "thepassword"
    letters NAME N           put N letters into a mailbox ("letter 1", ...)
    session SERVER           connect to `smtp`, `pop3` or `exchange` (a gateway's, see
                             internet.py); sessions count from 1
    turn N                   go on with session N
    login NAME               EHLO and AUTH, or USER and PASS
    c: LINE                  the client says a line
    c| OCTETS                octets with Python's escapes, no line end added
    c* N OCTETS              the same, N times
    burst ... end            what the client says in between goes out at once
    s: LINE                  the server says exactly this line
    s~ PREFIX                a line that begins so
    s/ REGEX                 a line that matches; its named groups become ${name}
    s...                     lines up to and with the one that is a single dot
    quiet                    the server says nothing more
    closed                   the server says nothing more and hung up
    close                    the client hangs up
    wait SECONDS             time goes by
    kept NAME N              a mailbox holds N messages
    holds NAME OCTETS        some message of the mailbox contains this
    lacks NAME OCTETS        no message of the mailbox does
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import ClassVar

from tests.dialogues.stage import PASSWORD, Session, Stage, plain


class MismatchError(AssertionError):
    """The server said something else."""


def octets(text: str) -> bytes:
    r"""Return text with `\r`, `\x00` and the like as octets."""
    return (
        text.encode("latin-1", "backslashreplace")
        .decode("unicode_escape")
        .encode("latin-1")
    )


class Play:
    """One transcript on its way through."""

    def __init__(self, path: Path, directory: Path, pace: str) -> None:
        self._path = path
        self._directory = directory
        self._pace = pace
        self._settings: dict[str, dict[str, int | float]] = {}
        self._names: dict[str, str] = {}
        self._stage: Stage | None = None
        self._sessions: list[tuple[str, Session]] = []
        self._turn = 0
        self._burst: list[bytes] | None = None
        self._number = 0

    def run(self) -> None:
        """Play the whole transcript; the first mismatch ends it."""
        lines = self._path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                self._number = number
                self._play(Template(line).safe_substitute(self._names))
        assert self._burst is None, "a burst has no end"

    def _play(self, line: str) -> None:
        for mark, step in self._MARKS.items():
            if line == mark.strip() or line.startswith(mark):
                step(self, line[len(mark) :])
                return
        raise MismatchError(f"{self._place()}: not understood: {line}")

    def _place(self) -> str:
        return f"{self._path.name}:{self._number}"

    @property
    def _on(self) -> Stage:
        if self._stage is None:
            self._stage = Stage(self._directory, self._pace, **self._settings)
        return self._stage

    @property
    def _session(self) -> Session:
        return self._sessions[self._turn][1]

    # What is given.

    def _set(self, rest: str) -> None:
        section, key, value = rest.split()
        number = float(value) if "." in value else int(value)
        self._settings.setdefault(section, {})[key] = number

    def _members(self, rest: str) -> None:
        for name in rest.split():
            self._on.add(name)

    def _letters(self, rest: str) -> None:
        name, count = rest.split()
        before = len(self._on.mailbox(name))
        for number in range(before + 1, before + int(count) + 1):
            self._on.put(name, f"letter {number}")

    def _connect(self, rest: str) -> None:
        self._sessions.append((rest, self._on.connect(rest)))
        self._turn = len(self._sessions) - 1

    def _to(self, rest: str) -> None:
        self._turn = int(rest) - 1

    # What the client does.

    def _client(self, rest: str) -> None:
        self._send(rest.encode() + b"\r\n")

    def _client_raw(self, rest: str) -> None:
        self._send(octets(rest))

    def _client_many(self, rest: str) -> None:
        count, _, text = rest.partition(" ")
        self._send(octets(text) * int(count))

    def _send(self, data: bytes) -> None:
        if self._burst is None:
            self._session.send(data)
        else:
            self._burst.append(data)

    def _begin(self, _: str) -> None:
        self._burst = []

    def _end(self, _: str) -> None:
        said, self._burst = self._burst or [], None
        self._session.send(b"".join(said))

    def _login(self, name: str) -> None:
        if self._sessions[self._turn][0] == "smtp":
            self._server_prefix("220 ")
            self._client("EHLO localhost")
            while not self._line().startswith("250 "):
                pass
            self._client("AUTH PLAIN " + plain(name))
            self._server_prefix("235 2.7.0 ")
        else:
            self._server("+OK ready")
            self._client(f"USER {name}")
            self._server(f"+OK Password required for {name}")
            self._client(f"PASS {PASSWORD}")
            self._server_prefix(f"+OK {name} has ")

    def _hang_up(self, _: str) -> None:
        self._session.hang_up()

    def _wait(self, rest: str) -> None:
        self._session.advance(float(rest))

    # What is expected.

    def _line(self) -> str:
        line = self._session.line()
        if line is None:
            state = "hung up" if self._session.link.closed else "waits"
            raise MismatchError(f"{self._place()}: no answer; the server {state}")
        return line.decode("utf-8", "backslashreplace")

    def _server(self, expected: str) -> None:
        said = self._line()
        if said != expected:
            raise MismatchError(f"{self._place()}: said {said!r}, not {expected!r}")

    def _server_prefix(self, expected: str) -> None:
        said = self._line()
        if not said.startswith(expected):
            raise MismatchError(f"{self._place()}: said {said!r}, not {expected!r}...")

    def _server_match(self, expected: str) -> None:
        said = self._line()
        match = re.fullmatch(expected, said)
        if match is None:
            raise MismatchError(
                f"{self._place()}: said {said!r}, not like {expected!r}"
            )
        self._names.update(match.groupdict())

    def _server_many(self, _: str) -> None:
        while self._line() != ".":
            pass

    def _quiet(self, _: str) -> None:
        said = self._session.rest()
        if said:
            raise MismatchError(f"{self._place()}: said {said!r}, should be quiet")

    def _closed(self, _: str) -> None:
        self._quiet("")
        if not self._session.link.closed:
            raise MismatchError(f"{self._place()}: the server did not hang up")

    def _kept(self, rest: str) -> None:
        name, count = rest.split()
        found = len(self._on.mailbox(name))
        if found != int(count):
            raise MismatchError(
                f"{self._place()}: {name} has {found} messages, not {count}"
            )

    def _holds(self, rest: str) -> None:
        if not self._contains(rest):
            raise MismatchError(f"{self._place()}: not in the mailbox: {rest}")

    def _lacks(self, rest: str) -> None:
        if self._contains(rest):
            raise MismatchError(f"{self._place()}: in the mailbox: {rest}")

    def _contains(self, rest: str) -> bool:
        name, _, text = rest.partition(" ")
        return any(octets(text) in message for message in self._on.mailbox(name))

    _MARKS: ClassVar[dict[str, Callable[[Play, str], None]]] = {
        "set ": _set,
        "members ": _members,
        "letters ": _letters,
        "session ": _connect,
        "turn ": _to,
        "login ": _login,
        "burst ": _begin,
        "end ": _end,
        "quiet ": _quiet,
        "closed ": _closed,
        "close ": _hang_up,
        "wait ": _wait,
        "kept ": _kept,
        "holds ": _holds,
        "lacks ": _lacks,
        "c: ": _client,
        "c| ": _client_raw,
        "c* ": _client_many,
        "s... ": _server_many,
        "s: ": _server,
        "s~ ": _server_prefix,
        "s/ ": _server_match,
    }
