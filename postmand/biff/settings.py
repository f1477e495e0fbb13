"""What a session is to be like: from the config, with names as octets."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen


@frozen
class Settings:
    """Who we are on IRC, where, and how we log in.

    `login` is "none", "sasl" or "nickserv"; with "sasl" NickServ is asked where the
    server has no SASL now. `account` is the nick if empty. `password` returns the
    password at once each time it is called; it may raise, and then there is no login.
    `filtered`: the link drops lines that begin with tags, ACCOUNT, and SQUERY.
    """

    nick: bytes
    channels: tuple[bytes, ...]
    login: str = "none"
    account: bytes = b""
    password: Callable[[], bytes] = field(repr=False, default=lambda: b"")
    filtered: bool = True
    services: bytes = b"NickServ"
    services_host: bytes = b""
