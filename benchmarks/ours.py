"""The node under measurement: its default settings, with more accounts than usual."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from benchmarks.processes import Program, free_port
from benchmarks.server import DOMAIN, PASSWORD
from postmand.config import load
from postmand.store.opening import open_registry
from postmand.store.settings import Settings

_CONFIG = """\
[node]
state = "{state}"
mail_domain = "{domain}"
[submission]
listen = ["tcp:{smtp}:interface=127.0.0.1"]
[pop3]
listen = ["tcp:{pop3}:interface=127.0.0.1"]
[web]
listen = ["tcp:{web}:interface=127.0.0.1"]
"""
_DAY = 86_400


class Ours:
    """A mail host of ours.

    Its accounts are made once; every renewal begins with a copy of that state.
    """

    name = "postmand"
    lags = True

    def __init__(self, directory: Path) -> None:
        self.port, self.pop3_port, self.web_port = (free_port() for _ in range(3))
        home = directory / "postmand"
        home.mkdir(mode=0o700)
        self._state, self._blank = home / "state", home / "blank"
        configuration = home / "postmand.toml"
        configuration.write_text(
            _CONFIG.format(
                state=self._state,
                domain=DOMAIN,
                smtp=self.port,
                pop3=self.pop3_port,
                web=self.web_port,
            )
        )
        self._config = load(str(configuration))
        twistd = str(Path(sys.executable).with_name("twistd"))
        options = ["-n", "--pidfile=", "postman", "--config", str(configuration)]
        self.program = Program([twistd, *options], home / "log")

    def add_accounts(self, names: Iterable[str]) -> None:
        """Make accounts as `postmanctl account add` does; they are there once renewed.

        Each costs two Argon2id.
        """
        database = self._blank / self._config.database.name
        registry = open_registry(
            f"sqlite:///{database}", self._blank, Settings.from_config(self._config)
        )
        day = int(time.time() // _DAY)

        def add(name: str) -> None:
            registry.add(name, PASSWORD.encode(), day=day)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(add, names))

    def start(self) -> None:
        """Start it."""
        self.program.start(self.port, self.pop3_port)

    def stop(self) -> None:
        """End it."""
        self.program.stop()

    def renew(self) -> None:
        """Begin anew with empty mailboxes and nothing remembered."""
        self.stop()
        shutil.rmtree(self._state, ignore_errors=True)
        shutil.copytree(self._blank, self._state)
        self.start()

    def restart(self) -> None:
        """Forget the logins, keep the mail."""
        self.stop()
        self.start()

    def settle(self) -> None:
        """What was accepted is in its mailbox already."""

    def stored(self) -> int:
        """Count the messages in the database whose body is there too."""
        address = f"file:{self._state / 'postman.db'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as rows:
            return sum(
                name is None or (self._state / "bodies" / name).is_file()
                for (name,) in rows.execute("SELECT file FROM messages")
            )

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return self.program.cpu_seconds()
