"""What every measured server is to those who measure."""

from __future__ import annotations

from typing import Protocol

DOMAIN = "mail.i2p"
PASSWORD = "one-that-nobody-guesses"


class Server(Protocol):
    """A server that runs. Its accounts have the same names and password everywhere."""

    name: str
    lags: bool
    """Whether one thread serves all sessions, so that one may wait for another."""

    @property
    def port(self) -> int:
        """Where it listens on loopback."""

    def renew(self) -> None:
        """Empty the store and forget every login: the server is as just started."""

    def settle(self) -> None:
        """Wait until what was accepted is where it is to be."""

    def stored(self) -> int:
        """Count the messages it really has."""

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far by all that serves here."""


def account_names(count: int) -> tuple[str, ...]:
    """Return the names of the accounts."""
    return tuple(f"member{number:05d}" for number in range(count))
