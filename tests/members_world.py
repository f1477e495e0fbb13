"""A membership on a real store, behind a checker as the servers have it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import Any

from attrs import evolve
from pysequoia import Tsk
from twisted.internet.defer import Deferred

from postmand.config import Accounts as AccountsConfig
from postmand.config import Biff, Config, Gateway, Quota, Web
from postmand.counts import Counts
from postmand.members import Members, membership
from postmand.membership import (
    MembershipError,
    Visitor,
)
from postmand.postoffice import StampCounter
from postmand.rules import hashcash
from postmand.site import Clocks, Site
from tests.test_claims import ClaimsCase, CountedKeyring

PASSWORD = "a long password"
BITS = 4
CONFIG = Config(
    accounts=AccountsConfig(argon2_passes=1, argon2_memory_kib=8),
    web=Web(signup_bits=BITS),
    biff=Biff(),
    gateways=(Gateway("unix:gateway"),),
    quota=Quota(stamps={"5": 20, "6": 40}),
    aliases={"abuse-desk": "jondoe"},
)


class MembersCase(ClaimsCase):
    """Members on a real store, behind a checker as the servers have it."""

    config = CONFIG
    settings = evolve(ClaimsCase.settings, quota=CONFIG.quota)

    def setUp(self) -> None:
        """Make two accounts (their password is "secret")."""
        super().setUp()
        self.members = self.on_node()
        self.me = Visitor(self.jondoe.account, "jondoe", 1)

    def on_node(self, config: Config | None = None) -> Members:
        """Return the membership of a configuration."""
        config = config or self.config
        clocks = Clocks(self.loop.seconds, self.clock.seconds)
        work: Any = self.argon2
        site = Site(config, self.clock, clocks, random.Random(7), Counts(), work)
        assert self.store.quotas is not None
        counter = StampCounter(
            self.store.quotas,
            config.node.mail_domain,
            config.quota.stamp_days,
            self.loop.seconds,
        )
        self.codes = CountedKeyring(self.store.recovery)
        store = evolve(self.store, recovery=self.codes)
        counter_here = counter if config.gateways else None
        return membership(site, store, self.checker, self.argon2, counter_here)

    def minted(self, name: str, bits: int = BITS, use: str = "signup") -> str:
        """Make a stamp."""
        resource = f"{use}/{name}@mail.i2p".encode()
        seed = random.Random(f"{name} {bits} {random.random()}")
        while True:
            made = hashcash.mint(resource, bits, self.loop.seconds(), seed)
            if hashcash.zero_bits(made) >= bits:
                return made.decode()

    def sign_up(self, name: str, **more: str) -> str:
        """Sign up and wait."""
        sent = {"password": PASSWORD, "display_name": "", "stamp": None} | more
        stamp = sent["stamp"] if sent["stamp"] is not None else self.minted(name)
        code: str = self.wait(
            self.members.sign_up(name, sent["password"], sent["display_name"], stamp)
        )
        return code

    def refusal(self, deferred: Deferred[Any]) -> tuple[str, str]:
        """Return (field, text) of a refusal."""
        with self.assertRaises(MembershipError) as caught:
            self.wait(deferred)
        return caught.exception.field, str(caught.exception)

    def refused_name(self, name: str, **more: str) -> tuple[str, str]:
        """Return why a name can not be had."""
        with self.assertRaises(MembershipError) as caught:
            self.sign_up(name, **more)
        return caught.exception.field, str(caught.exception)

    def rows(self, sql: str) -> list[Any]:
        """Ask the database."""
        with closing(sqlite3.connect(self.state / "postmand.db")) as connection:
            return connection.execute(sql).fetchall()

    def login(self, name: str = "jondoe", password: str = "secret") -> Visitor:
        """Log in and wait."""
        visitor: Visitor = self.wait(self.members.login(name, password, "peer"))
        return visitor


def armored_key(name: str = "jondoe") -> str:
    """Return a key of an account, with a name that is not its."""
    key = Tsk.generate(user_ids=[f"<{name}@mail.i2p>", "Real <real@example.org>"])
    return str(key.extract_certificate())
