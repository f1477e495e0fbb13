"""A password that the node shows to others, from the place the configuration names."""

from __future__ import annotations

from pathlib import Path

from postmand.store import keyfile

_LONGEST = 300


class PasswordPlaceError(Exception):
    """There is no password at that place: one line with its mend, and no password."""


def read_password(source: str, state: Path) -> str:
    """Return the first line of what `source` names. Blocks.

    `source` is "file:PATH", beginning in `state`, for the node's user alone; or
    "credential:NAME", systemd's. Raises PasswordPlaceError.
    """
    kind, _colon, name = source.partition(":")
    try:
        if kind == "credential":
            octets = keyfile.read(keyfile.credential_path(name), private=False)
        else:
            octets = keyfile.read(state / Path(name).expanduser())
    except keyfile.OpenToOthersError as error:
        raise PasswordPlaceError(f"others may use {error}; chmod 600 it") from error
    except keyfile.NoCredentialError as error:
        raise PasswordPlaceError(f"{error.what}; {error.mend}") from error
    except OSError as error:
        raise PasswordPlaceError(
            f"{error.filename or source}: {error.strerror}; write the password there"
        ) from error
    return _line(octets, source)


def _line(octets: bytes, source: str) -> str:
    try:
        line = octets.partition(b"\n")[0].removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        line = ""
    if not (0 < len(line) <= _LONGEST and line.isprintable() and " " not in line):
        raise PasswordPlaceError(
            f"the first line at {source} is no password; it has 1 to {_LONGEST} "
            "characters that print, and no space"
        )
    return line
