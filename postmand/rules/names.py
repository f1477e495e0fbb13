"""What an account, and the name shown beside its address, may be called."""

from __future__ import annotations

import re

MAX_NAME = 64  # RFC 5321 4.5.3.1.1: the longest local part
MAX_DISPLAY_NAME = 100

_ALLOWED = re.compile(r"[a-z0-9._-]+")

# RFC 2142 3 and 4, RFC 5321 4.5.1: these belong to the operator, not to a member.
_ROLES = ("abuse", "hostmaster", "noc", "postmaster", "security", "support")
# Who reads their mail is given certificates for the domain (CA/Browser Forum's Baseline
# Requirements 3.2.2.4.4; the last ones by older customs).
_CERTIFIED = (
    *("admin", "administrator", "webmaster"),
    *("ssladmin", "ssladministrator", "sslwebmaster", "sysadmin"),
)
# The node's own, and those that programs take for it.
_NODES = ("biff", "check", "mailer-daemon", "noreply", "quota", "root")
RESERVED = frozenset((*_ROLES, *_CERTIFIED, *_NODES))


class BadNameError(ValueError):
    """The name breaks a rule; the text says which, in words for the user."""


def check_name(name: str) -> str:
    """Return `name` if an account may be called so; raise BadNameError if not.

    It is spelt as a name is, and none of the operator's own.
    """
    if check_spelling(name) in RESERVED:
        raise BadNameError("this name is kept for the operator")
    return name


def check_spelling(name: str) -> str:
    """Return `name` if it is spelt as an account's; raise BadNameError if not.

    1 to 64 of a-z, 0-9, dot, underscore and dash; the first and the last a letter or
    a digit; no two dots in a row. Capitals are refused, not folded: who asks for a name
    must see the one that is given.
    """
    if not name:
        raise BadNameError("the name is empty")
    if len(name) > MAX_NAME:
        raise BadNameError(f"the name is longer than {MAX_NAME} characters")
    if not _ALLOWED.fullmatch(name):
        raise BadNameError("a name is made of a-z, 0-9, dot, underscore and dash")
    if not (name[0].isalnum() and name[-1].isalnum()):
        raise BadNameError("a name starts and ends with a letter or a digit")
    if ".." in name:
        raise BadNameError("a name has no two dots in a row")
    return name


def check_display_name(text: str) -> str:
    """Return `text` if it may stand beside an address; raise BadNameError if not.

    At most 100 characters, printable, no space at either end; empty means none.
    """
    if len(text) > MAX_DISPLAY_NAME:
        raise BadNameError(
            f"the display name is longer than {MAX_DISPLAY_NAME} characters"
        )
    if not text.isprintable():
        raise BadNameError("the display name holds a character that does not print")
    if text != text.strip():
        raise BadNameError("the display name starts or ends with a space")
    return text
