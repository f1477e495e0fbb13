"""A gateway's own keys: files in its state directory, worth nothing to the members.

Who takes them can be shut out of the link by one command on the mail host, and can say
to be this gateway on port 25 until its name leaves the DNS.
"""

from __future__ import annotations

from postmand.config import Config, ConfigError, Exchange
from postmand.link import new_identity
from postmand.store import certificates, keyfile

LINK_NAME = "link.pem"


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

        Raises ConfigError where they can not be read.
        """
        settings = self._config.exchange or Exchange()
        try:
            return certificates.identity(
                self._state,
                settings.host_name,
                settings.certificate,
                settings.private_key,
            )
        except certificates.CertificateError as error:
            raise ConfigError(
                f"{self._config.source}: [exchange] certificate: {error}"
            ) from None

    def tlsa(self) -> str:
        """Return the TLSA record's data for the key on port 25."""
        return certificates.tlsa(self.exchange())

    def _kept(self, name: str) -> bytes:
        path = self._state / name
        try:
            if not path.exists():
                keyfile.make(path, new_identity())
            return keyfile.read(path)
        except keyfile.OpenToOthersError:
            fault = f"{path}: others may use it; chmod 600 {path}"
        except OSError as error:
            where = error.filename or path
            fault = f"{where}: {error.strerror}; let the gateway's user use it"
        raise ConfigError(f"{self._config.source}: [node] state: {fault}")
