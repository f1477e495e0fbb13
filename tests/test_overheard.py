"""What a session keeps of a client's own words, for check@."""

from __future__ import annotations

from postmand.message.disclosure import Spoken
from postmand.servers.overheard import Overheard


def heard(*lines: bytes, more: bool = False) -> Spoken:
    """Return what is kept of these command lines."""
    overheard = Overheard()
    for line in lines:
        overheard.command(line, more=more)
    return overheard.spoken()


def test_lines_as_they_were_sent() -> None:
    """Verbs keep their case, and the last of each kind counts."""
    kept = heard(b"EHLO one", b"ehlo two", b"auth plain AGEAYg==", b"mail FROM:<a@b>")
    assert kept == Spoken(b"ehlo two", b"mail FROM:<a@b>", b"plain", b"", False)


def test_password_is_not_kept() -> None:
    """Of AUTH only the mechanism is, and nothing of it is printed."""
    kept = heard(b"AUTH PLAIN AGpvbmRvZQB0aGVwYXNzd29yZA==", b"EHLO marys-laptop")
    assert "AGpv" not in repr(kept)
    assert "laptop" not in repr(kept)
    assert kept.mechanism == b"PLAIN"


def test_pipelining() -> None:
    """Commands behind MAIL before it is answered, and those only."""
    assert heard(b"EHLO x", b"MAIL FROM:<a@b>", more=True).pipelined
    assert not heard(b"EHLO x", more=True).pipelined


def test_bounded() -> None:
    """However long a line is, little of it is kept."""
    assert len(heard(b"EHLO " + b"x" * 10_000).hello) == 512
