"""What the pages tell of the node itself, to everybody."""

from __future__ import annotations

from attrs import frozen

from postmand.config import Config, Web


@frozen
class Node:
    """The node as templates see it.

    `internet` tells whether it has a way to the Internet, `biff` is the nick of its
    bot on IRC, empty for none. The tunnels are where an I2P router has them.
    """

    mail_domain: str
    internet_domain: str
    internet: bool
    default_delay: str
    min_password_length: int
    closed_name_days: int
    biff: str
    keys: bool
    smtp_tunnel: str
    pop3_tunnel: str

    @classmethod
    def from_config(cls, config: Config) -> Node:
        """Return what a configuration says."""
        web = config.web or Web()
        return cls(
            mail_domain=config.node.mail_domain,
            internet_domain=config.node.internet_domain,
            internet=bool(config.gateways),
            default_delay=config.delays.default,
            min_password_length=config.accounts.min_password_length,
            closed_name_days=web.closed_name_days,
            biff=config.biff.nick if config.biff else "",
            keys=web.keys,
            smtp_tunnel=web.smtp_tunnel,
            pop3_tunnel=web.pop3_tunnel,
        )
