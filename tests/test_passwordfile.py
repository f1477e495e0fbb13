"""A password in a file or a credential: read, and refused without being shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmand.store.passwordfile import PasswordPlaceError, read_password

SECRET = "pässword-of-biff"


def kept(path: Path, octets: bytes, mode: int = 0o600) -> None:
    """Write a file."""
    path.write_bytes(octets)
    path.chmod(mode)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore\n"])
def test_the_first_line(tmp_path: Path, end: bytes) -> None:
    """Without its end, whatever that is; the path begins in the state directory."""
    kept(tmp_path / "secret", SECRET.encode() + end)
    assert read_password("file:secret", tmp_path) == SECRET
    assert read_password(f"file:{tmp_path}/secret", Path("/nowhere")) == SECRET


def test_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode of one is systemd's own is its own; the mend names the unit's line."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    kept(tmp_path / "irc", SECRET.encode(), 0o440)
    assert read_password("credential:irc", Path("/nowhere")) == SECRET
    with pytest.raises(PasswordPlaceError, match="LoadCredentialEncrypted=other:"):
        read_password("credential:other", tmp_path)
    with pytest.raises(PasswordPlaceError, match="is no name of a credential"):
        read_password("credential:../irc", tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(PasswordPlaceError, match="handed over no credentials"):
        read_password("credential:irc", tmp_path)


def test_open_to_others(tmp_path: Path) -> None:
    """A file that others may read holds no secret."""
    kept(tmp_path / "secret", SECRET.encode(), 0o640)
    with pytest.raises(PasswordPlaceError, match=r"others may use .*; chmod 600"):
        read_password("file:secret", tmp_path)


def test_not_there(tmp_path: Path) -> None:
    """The file is named, with what to do."""
    with pytest.raises(PasswordPlaceError, match=r"secret: No such file .*; write"):
        read_password("file:secret", tmp_path)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\nsecond", b"two words", b"a\0b", b"\xff\xfe", b"x" * 301, b"a\rb"],
)
def test_what_is_no_password(tmp_path: Path, octets: bytes) -> None:
    """What could end a line of IRC, or is none, is refused and not repeated."""
    kept(tmp_path / "secret", octets)
    with pytest.raises(PasswordPlaceError, match="is no password") as caught:
        read_password("file:secret", tmp_path)
    assert "two words" not in str(caught.value)
