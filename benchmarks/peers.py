"""Which real servers can be measured beside ours here, and why others can not."""

from __future__ import annotations

import os

from benchmarks import dovecot, postfix


def has_dovecot() -> bool:
    """Whether Dovecot can be started here."""
    return os.geteuid() == 0 and dovecot.PROGRAM.exists()


def has_postfix() -> bool:
    """Whether Postfix can be started here, with Dovecot for its logins."""
    return has_dovecot() and postfix.PROGRAM.exists()


def missing() -> list[str]:
    """Return, for each peer that can not be measured here, one line that says why."""
    if os.geteuid() != 0:
        return ["Postfix and Dovecot are left out: they start as root only."]
    without = {
        "postfix": (postfix.PROGRAM, "Postfix is"),
        "dovecot-core": (
            dovecot.PROGRAM,
            "Dovecot, and with it Postfix (its logins), is",
        ),
        "dovecot-pop3d": (dovecot.POP3_PROGRAM, "Dovecot's POP3 is"),
    }
    return [
        f"{what} left out: apt install {package}"
        for package, (program, what) in without.items()
        if not program.exists()
    ]
