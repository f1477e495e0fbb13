"""What a check found: one line of `postmanctl doctor`."""

from __future__ import annotations

from attrs import frozen

from postmand.admin.terminal import printable

OK, WARN, FAIL = "ok", "warn", "FAIL"


@frozen
class Finding:
    """A thing looked at, how it stands (OK, WARN or FAIL), and what mends it."""

    level: str
    what: str
    mend: str = ""

    def line(self) -> str:
        """Return `ok|warn|FAIL  what  - mend`."""
        line = f"{self.level:<4}  {printable(self.what)}"
        return f"{line}  - {printable(self.mend)}" if self.mend else line


def ok(what: str) -> Finding:
    """Return the finding of a thing that is as it should be."""
    return Finding(OK, what)


def warn(what: str, mend: str) -> Finding:
    """Return the finding of a thing that works, and could be better."""
    return Finding(WARN, what, mend)


def fail(what: str, mend: str) -> Finding:
    """Return the finding of a thing that is broken or unsafe."""
    return Finding(FAIL, what, mend)
