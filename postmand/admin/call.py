"""One call of postmanctl: what was asked for, and what a command needs to answer."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import cached_property

from attrs import define

from postmand.admin.terminal import CommandError, Lines, Secrets, Terminal, Typed
from postmand.config import Config, load
from postmand.store.opening import open_registry
from postmand.store.registry import Registry
from postmand.store.settings import Settings


@define(eq=False, slots=False)
class Call:
    """The parsed command line, where to answer, and the time (seconds since 1970)."""

    options: Namespace
    terminal: Terminal
    seconds: Callable[[], float]

    @cached_property
    def config(self) -> Config:
        """The configuration the call names; raises ConfigError."""
        return load(self.options.config)

    @cached_property
    def secrets(self) -> Secrets:
        """Where the call's secrets come from."""
        given = self.options.password_stdin or getattr(
            self.options, "recovery_code_stdin", False
        )
        return Lines(self.terminal) if given else Typed(self.terminal)

    def registry(self, *, make: bool = False) -> Registry:
        """Open the accounts' register, which is made only where `make` says so.

        Raises CommandError where there is none, else as open_registry does.
        """
        config = self.config
        if not make and not config.database.exists():
            raise CommandError(
                f"{config.source}: there is no store at {config.database}; name the "
                "node's file with --config, or begin with: postmanctl account add NAME"
            )
        url = f"sqlite:///{config.database}"
        return open_registry(url, config.state, Settings.from_config(config))


Command = Callable[[Call], int]
"""Does what a call asks for; returns the exit status."""
