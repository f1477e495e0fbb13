"""A gateway's own keys: files in its state directory, worth nothing to the members.

Who takes them can be shut out of the link by one command on the mail host, and can say
to be this gateway on port 25 until its name leaves the DNS.
"""

from __future__ import annotations

from pathlib import Path

from postmand.config import Config, ConfigError
from postmand.delivery.link import new_identity, pin_of
from postmand.store import keyfile

LINK_NAME = "link.pem"
EXCHANGE_NAME = "exchange.pem"


class GatewayKeys:
    """The keys of the gateway that `config` describes."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = config.state

    def make(self) -> None:
        """Make what is not there yet."""
        self.link()
        self.exchange()

    def link(self) -> bytes:
        """Return the link's key and certificate as PEM, made at first use."""
        return self._kept(LINK_NAME)

    def exchange(self) -> bytes:
        """Return key and certificate of port 25 as PEM: those given, or our own.

        Raises ConfigError where the given ones can not be read.
        """
        settings = self._config.exchange
        if settings is None or not settings.certificate:
            return self._kept(EXCHANGE_NAME)
        try:
            private = Path(settings.private_key or settings.certificate).read_bytes()
            return private + b"\n" + Path(settings.certificate).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{self._config.source}: [exchange] certificate: {error.filename}: "
                f"{error.strerror}; name files that this user may read"
            ) from None

    def tls_pin(self) -> str:
        """Return the pin of the key on port 25."""
        return pin_of(self.exchange())

    def _kept(self, name: str) -> bytes:
        path = self._state / name
        if not path.exists():
            keyfile.make(path, new_identity())
        return keyfile.read(path)
