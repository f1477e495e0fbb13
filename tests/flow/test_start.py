"""Starting a node: what is wrong is told in one line, and the command beside it."""

from __future__ import annotations

import os
import poplib
import subprocess
from pathlib import Path

import pytest

from tests.flow.house import BIN, SURROUNDINGS, House, password


def refused(house: House) -> str:
    """Start a node that cannot start; return the one line it says."""
    house.log.unlink(missing_ok=True)
    assert house.launch().wait(60) not in (0, None)
    house.process = None
    lines = house.told().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"submission": {"lisen": ["x"]}}, ("[submission]", "lisen")),
        ({"pop3": {"listen": "tcp:1110"}}, ("[pop3]", "listen")),
        ({"limits": {"connections": "many"}}, ("[limits]", "connections")),
        ({"nodes": {"state": "x"}}, ("nodes",)),
        ({"pop3": {"listen": ["tcp:no:port"]}}, ("[pop3]", "listen", "tcp:no:port")),
        ({"store": {"url": "mysql://x"}}, ("[store]", "url")),
        ({"mailboxes": {"max_bytes": 0}}, ("[mailboxes]", "max_bytes")),
    ],
)
def test_faults_of_the_config(
    tmp_path: Path, overrides: dict[str, dict[str, object]], words: tuple[str, ...]
) -> None:
    """One line that names file, section and key, and nothing is started."""
    house = House(tmp_path, **overrides)
    line = refused(house)
    for word in (str(house.config), *words):
        assert word in line
    assert not house.state.exists()


def test_no_config_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    house = House(tmp_path)
    house.config.unlink()
    assert str(house.config) in refused(house)


def test_port_in_use(house: House, tmp_path: Path) -> None:
    """Another's port is told with its section; the node beside it goes on."""
    second = House(tmp_path)
    second.smtp_port = house.smtp_port
    second.configure()
    line = refused(second)
    for word in (str(second.config), "[submission]", "listen", str(house.smtp_port)):
        assert word in line
    assert house.collect("bob") == []


def test_state_in_use(house: House, tmp_path: Path) -> None:
    """Two nodes do not share a state directory."""
    second = House(tmp_path)
    second.configure(node={"state": str(house.state)})
    assert str(house.state) in refused(second)
    assert house.collect("bob") == []


def test_unwritable_state(tmp_path: Path) -> None:
    """A state directory that cannot be made is told."""
    (tmp_path / "file").write_text("")
    house = House(tmp_path)
    house.configure(node={"state": str(tmp_path / "file" / "state")})
    line = refused(house)
    for word in (str(house.config), "[node]", "state"):
        assert word in line


def test_command_while_the_node_runs(house: House) -> None:
    """Accounts are made, closed, opened and removed beside the running node."""
    house.add("guest")
    house.submit("guest", ["guest@mail.i2p"], b"Subject: to myself\r\n\r\ntext\r\n")
    assert "guest" in house.ctl("account", "list")
    house.ctl("account", "disable", "guest")
    with pytest.raises(poplib.error_proto, match="AUTH"):
        house.collect("guest")
    house.ctl("account", "enable", "guest")
    assert len(house.collect("guest", delete=False)) == 1
    house.ctl("account", "display-name", "guest", "A Guest")
    house.submit("guest", ["bob@mail.i2p"], b"Subject: named\r\n\r\ntext\r\n")
    (message,) = house.collect("bob")
    assert b"\r\nFrom: A Guest <guest@mail.i2p>\r\n" in message
    maildir = house.base / "exported"
    house.ctl(
        *("export", "guest", "--maildir", str(maildir), "--password-stdin"),
        told=password("guest") + "\n",
    )
    (letter,) = [file for file in maildir.rglob("*") if file.is_file()]
    assert b"Subject: to myself\n" in letter.read_bytes()
    house.ctl("doctor")


def test_the_log_is_silent(house: House) -> None:
    """In normal work there is no line a message, a login or a connection."""
    before = house.log.read_bytes()
    house.submit("jondoe", ["bob@mail.i2p"], b"Subject: unseen\r\n\r\ntext\r\n")
    house.collect("bob")
    with house.greet(house.pop_port) as wire:
        wire.say("USER bob", "PASS wrong", "QUIT")
        assert b"-ERR" in wire.file.read()
    assert house.log.read_bytes() == before


def test_twistd_knows_the_plugin() -> None:
    """`twistd --help` lists postman: the plugin is installed with the package."""
    environment = {**SURROUNDINGS, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(BIN / "twistd"), "--help"],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        check=True,
    )
    assert "\n    postman " in done.stdout
